// Env on a POSIX system: the only file of core/ that calls it.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "klog/env.h"

namespace klog {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

Code code_of(int number) {
    switch (number) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:  // a limit on the size of files: the same to those who write
            return Code::disk_full;
        case ENOENT:
            return Code::not_found;
        case EACCES:
        case EPERM:
        case EROFS:
            return Code::not_allowed;
        default:
            return Code::io;
    }
}

Error system_error(std::string_view what, const std::string& path, int number) {
    std::string message = "cannot ";
    message.append(what).append(" ").append(path).append(": ");
    message.append(std::generic_category().message(number));
    return Error{code_of(number), std::move(message), {}};
}

template <class Call>
auto retry_interrupted(Call call) {
    decltype(call()) result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

// Closed when it goes. What close() could report, sync_data() has reported before.
class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_;
};

class PosixFile final : public File {
public:
    PosixFile(Descriptor fd, std::string path, bool sync)
        : fd_(std::move(fd)), path_(std::move(path)), sync_(sync) {}

    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override {
        std::size_t done = 0;
        while (done < buffer.size()) {
            const ssize_t n = retry_interrupted([&] {
                return ::pread(fd_.get(), buffer.data() + done, buffer.size() - done,
                               static_cast<off_t>(offset + done));
            });
            if (n < 0) return system_error("read", path_, errno);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    void will_read(std::uint64_t offset, std::uint64_t bytes) const override {
        // A hint that is not taken costs its reader time, nothing else.
        static_cast<void>(::posix_fadvise(fd_.get(), static_cast<off_t>(offset),
                                          static_cast<off_t>(bytes), POSIX_FADV_WILLNEED));
    }

    Status write_at(std::uint64_t offset, std::string_view data) override {
        while (!data.empty()) {
            const ssize_t n = retry_interrupted([&] {
                return ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
            });
            if (n < 0) return system_error("write", path_, errno);
            // Nothing written and no reason given: without this a broken driver means a hang.
            if (n == 0) return system_error("write", path_, EIO);
            data.remove_prefix(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
        return {};
    }

    Status sync_data() override {
        if (!sync_) return {};
        if (retry_interrupted([&] { return ::fdatasync(fd_.get()); }) < 0) {
            return system_error("sync", path_, errno);
        }
        return {};
    }

    Status reserve(std::uint64_t from, std::uint64_t to) override {
        if (from >= to) return {};
        int number = EINTR;  // returned, not in errno
        while (number == EINTR) {
            number = ::posix_fallocate(fd_.get(), static_cast<off_t>(from),
                                       static_cast<off_t>(to - from));
        }
        if (number != 0) return system_error("take room for", path_, number);
        return {};
    }

    Status truncate(std::uint64_t size) override {
        const auto length = static_cast<off_t>(size);
        if (retry_interrupted([&] { return ::ftruncate(fd_.get(), length); }) < 0) {
            return system_error("truncate", path_, errno);
        }
        return {};
    }

    [[nodiscard]] Result<std::uint64_t> size() const override {
        struct stat info {};
        if (::fstat(fd_.get(), &info) < 0) return system_error("stat", path_, errno);
        return static_cast<std::uint64_t>(info.st_size);
    }

private:
    Descriptor fd_;
    std::string path_;
    bool sync_;
};

// The kernel drops the lock with the descriptor, also when the process is killed.
class PosixLock final : public FileLock {
public:
    explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

private:
    Descriptor fd_;
};

// The folder that holds `path`: "." for a bare name, "/" for the root itself.
std::string parent_of(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    path.resize(std::max<std::size_t>(slash, 1));
    return path;
}

class PosixEnv final : public Env {
public:
    explicit PosixEnv(const PosixEnvOptions& options) : sync_(options.sync) {}

    Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
        int flags = O_CLOEXEC;
        flags |= mode == OpenMode::read ? O_RDONLY : O_RDWR;
        if (mode == OpenMode::create_new) flags |= O_CREAT | O_EXCL;
        Descriptor fd(retry_interrupted([&] { return open_untimed(path, flags); }));
        if (fd.get() < 0) {
            const int number = errno;
            if (mode != OpenMode::create_new) return system_error("open", path, number);
            Error error = system_error("create", path, number);
            if (number == EEXIST) error.code = Code::locked;
            return error;
        }
        return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(fd), path, sync_));
    }

    Status rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) < 0) {
            return system_error("rename", from + " to " + to, errno);
        }
        return {};
    }

    Status remove(const std::string& path) override {
        if (::unlink(path.c_str()) < 0) return system_error("remove", path, errno);
        return {};
    }

    Result<bool> exists(const std::string& path) override {
        struct stat info {};
        if (::stat(path.c_str(), &info) == 0) return true;
        if (errno == ENOENT || errno == ENOTDIR) return false;
        return system_error("look for", path, errno);
    }

    Result<std::vector<std::string>> list_dir(const std::string& path) override {
        DIR* const folder = ::opendir(path.c_str());
        if (folder == nullptr) return system_error("list", path, errno);
        const std::unique_ptr<DIR, CloseFolder> closer(folder);
        std::vector<std::string> names;
        while (true) {
            errno = 0;
            const dirent* const entry = ::readdir(folder);
            if (entry == nullptr) break;
            std::string name(static_cast<const char*>(entry->d_name));
            if (name != "." && name != "..") names.push_back(std::move(name));
        }
        if (errno != 0) return system_error("list", path, errno);
        std::sort(names.begin(), names.end());
        return names;
    }

    // A try that was interrupted between a mkdir and its sync leaves a folder whose own name is
    // not durable yet. It is always the deepest that exists, and nothing is in it, so the parent of
    // an empty one is synced as well.
    Status create_dirs(const std::string& path) override {
        struct stat info {};
        if (::stat(path.c_str(), &info) == 0) {
            if (!S_ISDIR(info.st_mode)) return system_error("create folder", path, ENOTDIR);
            return is_empty(path) ? sync_existing(parent_of(path)) : Status{};
        }
        if (errno != ENOENT) return system_error("create folder", path, errno);
        const std::string parent = parent_of(path);
        if (parent == path) return system_error("create folder", path, ENOENT);
        KLOG_TRY(create_dirs(parent));
        if (::mkdir(path.c_str(), kFolderMode) < 0 && errno != EEXIST) {
            return system_error("create folder", path, errno);
        }
        return sync_dir(parent);
    }

    Status sync_dir(const std::string& path) override {
        if (!sync_) return {};
        const int number = sync_folder(path);
        if (number != 0) return system_error("sync folder", path, number);
        return {};
    }

    [[nodiscard]] std::uint64_t free_bytes(const std::string& folder) override {
        struct statvfs info {};
        if (retry_interrupted([&] { return ::statvfs(folder.c_str(), &info); }) < 0) {
            return std::numeric_limits<std::uint64_t>::max();
        }
        return std::uint64_t{info.f_bavail} * info.f_frsize;
    }

    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
        bool created = false;
        const auto open_file = [&] {
            const int there = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
            if (there >= 0 || errno != ENOENT) return there;
            const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
            created = made >= 0;
            if (made >= 0 || errno != EEXIST) return made;
            return ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // somebody was faster
        };
        Descriptor fd(retry_interrupted(open_file));
        if (fd.get() < 0) return system_error("lock", path, errno);
        KLOG_TRY(take_lock(fd, path));
        if (!created) return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(std::move(fd)));
        // Whoever found no file holds the folder. A folder that cannot be locked is held by nobody.
        const Status held = lock_folder(parent_of(path), nullptr);
        if (held.ok() || held.error().code != Code::locked) {
            return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(std::move(fd)));
        }
        if (::unlink(path.c_str()) < 0) return system_error("remove", path, errno);
        return held.error();
    }

    Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override {
        for (;;) {
            Descriptor fd = open_to_lock(path);
            if (fd.get() >= 0) {
                KLOG_TRY(take_lock(fd, path));
                return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(std::move(fd)));
            }
            if (errno != ENOENT) return system_error("lock", path, errno);
            std::unique_ptr<FileLock> folder;
            KLOG_TRY(lock_folder(parent_of(path), &folder));
            // Made in between, by somebody who saw the folder free.
            KLOG_TRY_ASSIGN(const bool made, exists(path));
            if (!made) return folder;
        }
    }

    [[nodiscard]] std::string database_path(const std::string& path) override { return path; }

    [[nodiscard]] Time now() override {
        const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
        return Time{std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count()};
    }

    [[nodiscard]] std::uint64_t monotonic_micros() override {
        const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(since_start).count());
    }

    // Going on with a key that can be guessed would be worse than ending.
    void random(std::span<std::uint8_t> out) override {
        while (!out.empty()) {
            const ssize_t n =
                retry_interrupted([&] { return ::getrandom(out.data(), out.size(), 0); });
            KLOG_ASSERT(n > 0);
            out = out.subspan(static_cast<std::size_t>(n));
        }
    }

private:
    struct CloseFolder {
        void operator()(DIR* folder) const { ::closedir(folder); }
    };

    static Status take_lock(const Descriptor& fd, const std::string& path) {
        if (retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) >= 0) return {};
        if (errno != EWOULDBLOCK) return system_error("lock", path, errno);
        return Error{Code::locked, path + " is locked by another holder", {}};
    }

    // Nobody needs the time of a read, and noting it is a part of what a small one costs. Only the
    // file's owner may leave it out.
    static int open_untimed(const std::string& path, int flags) {
        const int fd = ::open(path.c_str(), flags | O_NOATIME, kFileMode);
        if (fd >= 0 || errno != EPERM) return fd;
        return ::open(path.c_str(), flags, kFileMode);
    }

    // For writing where that is allowed, since some file systems lock nothing else. -1: see errno.
    static Descriptor open_to_lock(const std::string& path) {
        const int fd = retry_interrupted([&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); });
        if (fd >= 0 || code_of(errno) != Code::not_allowed) return Descriptor(fd);
        return Descriptor(
            retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
    }

    // Held through `lock`; null: only until this returns.
    static Status lock_folder(const std::string& path, std::unique_ptr<FileLock>* lock) {
        Descriptor fd(retry_interrupted(
            [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
        if (fd.get() < 0) return system_error("lock", path, errno);
        KLOG_TRY(take_lock(fd, path));
        if (lock != nullptr) *lock = std::make_unique<PosixLock>(std::move(fd));
        return {};
    }

    // 0 or the errno.
    static int sync_folder(const std::string& path) {
        const Descriptor fd(retry_interrupted(
            [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
        if (fd.get() < 0) return errno;
        return retry_interrupted([&] { return ::fsync(fd.get()); }) < 0 ? errno : 0;
    }

    // True as well where nobody can tell.
    static bool is_empty(const std::string& path) {
        DIR* const folder = ::opendir(path.c_str());
        if (folder == nullptr) return true;
        bool empty = true;
        while (const dirent* const entry = ::readdir(folder)) {
            const std::string_view name(static_cast<const char*>(entry->d_name));
            if (name != "." && name != "..") empty = false;
            if (!empty) break;
        }
        ::closedir(folder);
        return empty;
    }

    // Syncs a folder that may be somebody else's: one which we may not open, which is read-only,
    // or which cannot be synced at all holds no name that we made.
    Status sync_existing(const std::string& path) const {
        if (!sync_) return {};
        const int number = sync_folder(path);
        if (number == 0 || number == EINVAL || code_of(number) == Code::not_allowed) return {};
        return system_error("sync folder", path, number);
    }

    bool sync_;
};

}  // namespace

std::unique_ptr<Env> make_posix_env(const PosixEnvOptions& options) {
    return std::make_unique<PosixEnv>(options);
}

}  // namespace klog
