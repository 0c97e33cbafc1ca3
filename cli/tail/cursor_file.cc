#include "cli/tail/cursor_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "cli/options.h"

namespace klog::cli {
namespace {

constexpr mode_t kNewFileMode = 0666;
constexpr mode_t kModeBits = 07777;
// A number of 64 bits and some white space.
constexpr std::size_t kContentBytesMax = 64;
// How often another tail's rename may come between open and flock before we call it held.
constexpr int kLockTries = 100;

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Where a symbolic link points, so that a rename takes the place of the file and not of the link.
std::string resolve(const std::string& path) {
    char* real = ::realpath(path.c_str(), nullptr);
    if (real == nullptr) return path;
    std::string resolved = real;
    std::free(real);  // NOLINT(cppcoreguidelines-no-malloc): realpath's own way
    return resolved;
}

bool sync_directory(const std::string& path) {
    const int fd = ::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool synced = ::fsync(fd) == 0;
    ::close(fd);
    return synced;
}

// False with errno set. The file's new name stands only once everything before it is on disk.
bool put_in_place(int fd, const std::string& content, const std::string& temporary,
                  const std::string& path) {
    return ::flock(fd, LOCK_EX | LOCK_NB) == 0 &&
           ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
           ::fdatasync(fd) == 0 && ::rename(temporary.c_str(), path.c_str()) == 0 &&
           sync_directory(path);
}

}  // namespace

CursorFile::~CursorFile() {
    if (thread_.joinable()) {
        thread_.request_stop();
        thread_.join();
    }
    if (fd_ >= 0) ::close(fd_);
}

Status CursorFile::failed(const std::string& what) const {
    return Error{Code::io, "cursor file " + path_ + ": " + what + ": " + std::strerror(errno), ""};
}

Status CursorFile::open(const std::string& path) {
    path_ = resolve(path);
    KLOG_TRY(lock_current());
    return read_cursor();
}

Status CursorFile::lock_current() {
    for (int i = 0; i < kLockTries; ++i) {
        fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, kNewFileMode);
        if (fd_ < 0) return failed("cannot open it for writing");
        struct stat opened = {};
        if (::fstat(fd_, &opened) != 0) return failed("cannot look at it");
        if (!S_ISREG(opened.st_mode)) {
            return Error{Code::io, "cursor file " + path_ + " is no regular file", ""};
        }
        if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK) return failed("cannot lock it");
            return Error{Code::locked, "another tail keeps its cursor in " + path_,
                         "one cursor file for each tail"};
        }
        // Another tail may have renamed a new file into place before we had the lock.
        struct stat named = {};
        if (::stat(path_.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
            named.st_dev == opened.st_dev) {
            return {};
        }
        ::close(fd_);
        fd_ = -1;
    }
    return Error{Code::locked, "another tail keeps its cursor in " + path_, ""};
}

Status CursorFile::read_cursor() {
    std::array<char, kContentBytesMax + 1> content = {};
    const ssize_t got = ::pread(fd_, content.data(), content.size(), 0);
    if (got < 0) return failed("cannot read it");
    std::string_view text(content.data(), static_cast<std::size_t>(got));
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    if (text.empty() && got <= static_cast<ssize_t>(kContentBytesMax)) return {};
    cursor_ = parse_digits(text);
    if (cursor_) return {};
    return Error{Code::bad_record, "cursor file " + path_ + " holds something else than a cursor",
                 "klog head > " + path_};
}

Status CursorFile::write(std::uint64_t cursor) {
    const std::string temporary = path_ + ".tmp." + std::to_string(::getpid());
    const int fd =
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kNewFileMode);
    if (fd < 0) return failed("cannot write " + temporary);
    struct stat status = {};
    if (::fstat(fd_, &status) == 0) {
        // A file of another user's keeps working without its mode.
        [[maybe_unused]] const int changed = ::fchmod(fd, status.st_mode & kModeBits);
    }
    if (!put_in_place(fd, std::to_string(cursor) + "\n", temporary, path_)) {
        const int problem = errno;
        ::close(fd);
        ::unlink(temporary.c_str());
        errno = problem;
        return failed("cannot write it");
    }
    ::close(fd_);
    fd_ = fd;
    return {};
}

Status CursorFile::begin(std::uint64_t cursor) {
    KLOG_TRY(write(cursor));
    wanted_ = cursor;
    written_ = cursor;
    thread_ = std::jthread([this](const std::stop_token& stop) { keep(stop); });
    return {};
}

void CursorFile::keep(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return wanted_ != written_; })) {
        const std::uint64_t cursor = wanted_;
        lock.unlock();
        auto wrote = write(cursor);
        lock.lock();
        if (!wrote) {
            problem_ = std::move(wrote).error();
            return;
        }
        written_ = cursor;
        // A sync for every record would hold the disk up for nothing.
        changed_.wait_for(lock, stop, kPause, [] { return false; });
        if (stop.stop_requested()) return;
    }
}

Status CursorFile::set(std::uint64_t cursor) {
    const std::lock_guard lock(mutex_);
    if (problem_) return *problem_;
    wanted_ = cursor;
    changed_.notify_all();
    return {};
}

Status CursorFile::close() {
    if (!thread_.joinable()) return {};
    thread_.request_stop();
    thread_.join();
    const std::lock_guard lock(mutex_);
    if (problem_) return *problem_;
    if (wanted_ != written_) KLOG_TRY(write(wanted_));
    written_ = wanted_;
    return {};
}

}  // namespace klog::cli
