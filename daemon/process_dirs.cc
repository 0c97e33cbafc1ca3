#include "daemon/process_dirs.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace klog {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "klog-ephemeral-";
constexpr std::string_view kMarker = "/ephemeral.lock";
constexpr std::string_view kPidFile = "/daemon.pid";
constexpr std::string_view kSocketName = "/klog.sock";
constexpr std::size_t kSocketBytesMax = sizeof(sockaddr_un::sun_path) - 1;
// Enough for "klog-ephemeral-", a process id, "-XXXXXX" and the socket's name.
constexpr std::size_t kEphemeralBytes = 48;
// Another start may take a new folder for a dead one's before it is locked, but not so often.
constexpr int kTriesMax = 16;

Error io_error(const std::string& what, int number) {
    const Code code = number == ENOSPC || number == EDQUOT ? Code::disk_full : Code::io;
    return Error{code, what + ": " + std::generic_category().message(number), ""};
}

std::string temporary_root() {
    const char* named = std::getenv("TMPDIR");
    std::string root = named == nullptr ? "" : named;
    if (!root.starts_with('/') || root.size() + kEphemeralBytes > kSocketBytesMax) return "/tmp";
    return root;
}

std::optional<pid_t> to_pid(std::string_view text) {
    pid_t pid = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (failure != std::errc() || end == text.data() || pid <= 0) return std::nullopt;
    return pid;
}

bool is_alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

bool is_own_folder(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid();
}

// True if the marker at path is there, whichever file it is.
bool has_file(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

// Removes the folder of a daemon that ended without doing so. A folder that is not locked yet
// belongs to a living process, whose id stands in its name.
void remove_if_dead(Env& env, const std::string& path, std::string_view rest) {
    const auto pid = to_pid(rest);
    if (!pid || !is_own_folder(path)) return;
    const std::string marker = path + std::string(kMarker);
    std::unique_ptr<FileLock> held;
    if (has_file(marker)) {
        auto lock = env.lock(marker);
        if (!lock) return;
        held = std::move(*lock);
    } else if (is_alive(*pid)) {
        return;
    }
    // What cannot be removed now is tried again by the next start.
    std::error_code ignored;
    fs::remove_all(path, ignored);
}

void remove_dead_ones(Env& env, const std::string& root) {
    const auto names = env.list_dir(root);
    if (!names) return;
    for (const std::string& name : *names) {
        if (!name.starts_with(kPrefix)) continue;
        remove_if_dead(env, root + "/" + name, std::string_view(name).substr(kPrefix.size()));
    }
}

}  // namespace

Result<std::string> absolute_path(const std::string& path) {
    std::error_code failure;
    const fs::path whole = fs::absolute(path, failure).lexically_normal();
    if (failure) return Error{Code::io, "cannot resolve " + path + ": " + failure.message(), ""};
    std::string text = whole.string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Status make_folders(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    if (const std::string parent = folder_of(path); parent != path && parent != ".") {
        KLOG_TRY(make_folders(parent));
    }
    if (::mkdir(path.c_str(), S_IRWXU) == 0 || errno == EEXIST) return {};
    return io_error("cannot make the folder " + path, errno);
}

Status check_socket_path(const std::string& path, const std::string& hint) {
    if (path.size() <= kSocketBytesMax) return {};
    return Error{Code::config,
                 "the socket path " + path + " has " + std::to_string(path.size()) +
                     " bytes, but a Unix socket's may have at most " +
                     std::to_string(kSocketBytesMax),
                 hint};
}

Status write_pid(const std::string& data_dir) {
    const std::string path = data_dir + std::string(kPidFile);
    errno = 0;
    std::ofstream file(path, std::ios::trunc);
    file << ::getpid() << '\n';
    file.close();
    if (!file) return io_error("cannot write " + path, errno);
    return {};
}

std::optional<int> read_pid(const std::string& data_dir) {
    std::ifstream file(data_dir + std::string(kPidFile));
    std::string text;
    if (!std::getline(file, text)) return std::nullopt;
    // Who was killed left its own behind, and a read-only daemon writes none.
    const auto pid = to_pid(text);
    return pid && is_alive(*pid) ? pid : std::nullopt;
}

int process_id() { return ::getpid(); }

void remove_pid(const std::string& data_dir) {
    std::error_code ignored;  // a left-over only misleads people, and the next start replaces it
    fs::remove(data_dir + std::string(kPidFile), ignored);
}

void raise_descriptor_limit() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    // Where the system says no, the old limit stands and serves fewer connections.
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

Status write_and_close(int fd, const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const int number = errno;
            ::close(fd);
            return io_error("cannot write to descriptor " + std::to_string(fd), number);
        }
        done += static_cast<std::size_t>(n);
    }
    ::close(fd);
    return {};
}

EphemeralDir::EphemeralDir(std::string path, std::unique_ptr<FileLock> lock)
    : path_(std::move(path)), lock_(std::move(lock)) {}

EphemeralDir::~EphemeralDir() {
    // The marker goes with the rest while it is still locked; a rest is removed by the next start.
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

Result<std::unique_ptr<EphemeralDir>> EphemeralDir::make(Env& env) {
    const std::string root = temporary_root();
    remove_dead_ones(env, root);
    for (int i = 0; i < kTriesMax; ++i) {
        std::string path =
            root + "/" + std::string(kPrefix) + std::to_string(::getpid()) + "-XXXXXX";
        if (::mkdtemp(path.data()) == nullptr) {
            return io_error("cannot make a folder in " + root, errno);
        }
        const std::string marker = path + std::string(kMarker);
        auto lock = env.lock(marker);
        if (!lock && lock.error().code != Code::locked && lock.error().code != Code::not_found) {
            return std::move(lock).error();
        }
        // Whoever removed the folder in between held the marker's lock or saw no marker.
        if (!lock || !has_file(marker)) continue;
        KLOG_TRY(check_socket_path(path + std::string(kSocketName), "a shorter TMPDIR"));
        return std::unique_ptr<EphemeralDir>(new EphemeralDir(path, std::move(*lock)));
    }
    return Error{Code::io, "cannot keep a folder in " + root, ""};
}

}  // namespace klog
