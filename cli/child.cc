#include "cli/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>

#include "cli/output.h"

namespace klog::cli {
namespace {

constexpr int kNotFoundCode = 127;
constexpr int kNotExecutableCode = 126;
constexpr int kSignalCode = 128;

Error io_error(const std::string& what, int number) {
    return Error{Code::io, what + ": " + std::generic_category().message(number), ""};
}

int code_of(int status) {
    return WIFSIGNALED(status) ? kSignalCode + WTERMSIG(status) : WEXITSTATUS(status);
}

// True if the terminal sent it: then the command, which is in the same group, has it already.
bool is_from_terminal(const struct signalfd_siginfo& info) { return info.ssi_code > 0; }

}  // namespace

Status Pipe::open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return io_error("cannot make a pipe", errno);
    reader_ = ends[0];
    writer_ = ends[1];
    return {};
}

Pipe::~Pipe() {
    close_reader();
    close_writer();
}

void Pipe::close_reader() {
    if (reader_ >= 0) ::close(release_reader());
}

void Pipe::close_writer() {
    if (writer_ >= 0) ::close(release_writer());
}

std::string Pipe::read_all(std::size_t bytes_max) const {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.size() < bytes_max) {
        const ssize_t n = ::read(reader_, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return text;
}

Status ChildSignals::block() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) {
        ::sigaddset(&set, number);
    }
    // Where the caller ignores SIGCHLD, a child's exit code would be lost.
    if (::signal(SIGCHLD, SIG_DFL) == SIG_ERR) return io_error("cannot watch children", errno);
    if (const int failure = ::pthread_sigmask(SIG_BLOCK, &set, &before_); failure != 0) {
        return io_error("cannot block signals", failure);
    }
    fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) return io_error("cannot watch for signals", errno);
    return {};
}

ChildSignals::~ChildSignals() {
    if (fd_ >= 0) ::close(fd_);
}

void ChildSignals::restore() const {
    static_cast<void>(::pthread_sigmask(SIG_SETMASK, &before_, nullptr));
}

int ChildSignals::wait_for(pid_t pid) const {
    for (;;) {
        struct pollfd waited {
            fd_, POLLIN, 0
        };
        static_cast<void>(::poll(&waited, 1, -1));
        struct signalfd_siginfo info {};
        while (::read(fd_, &info, sizeof info) == sizeof info) {
            const int number = static_cast<int>(info.ssi_signo);
            if (number == SIGCHLD || is_from_terminal(info)) continue;
            ::kill(pid, number);
        }
        int status = 0;
        if (::waitpid(pid, &status, WNOHANG) == pid) return code_of(status);
    }
}

Result<pid_t> fork_child(const std::function<int()>& work) {
    const pid_t pid = ::fork();
    if (pid < 0) return io_error("cannot start a process", errno);
    if (pid == 0) ::_exit(work());
    return pid;
}

Result<Started> start_command(
    const std::vector<std::string>& command,
    const std::vector<std::pair<std::string, std::optional<std::string>>>& environment,
    const ChildSignals& signals) {
    Pipe trouble;
    KLOG_TRY(trouble.open());
    std::vector<char*> arguments;
    for (const std::string& argument : command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));  // NOLINT: execvp's signature
    }
    arguments.push_back(nullptr);
    Started started;
    KLOG_TRY_ASSIGN(started.pid, fork_child([&] {
                        for (const auto& [name, value] : environment) {
                            if (value) {
                                ::setenv(name.c_str(), value->c_str(), 1);
                            } else {
                                ::unsetenv(name.c_str());
                            }
                        }
                        signals.restore();
                        ::execvp(arguments[0], arguments.data());
                        const int number = errno;
                        const ssize_t told = ::write(trouble.writer(), &number, sizeof number);
                        return told == sizeof number ? 0 : kNotExecutableCode;
                    }));
    trouble.close_writer();
    const std::string told = trouble.read_all(sizeof(int));
    if (told.size() != sizeof(int)) return started;
    int number = 0;
    std::memcpy(&number, told.data(), sizeof number);
    static_cast<void>(wait_code(started.pid));
    const bool missing = number == ENOENT;
    started.failed_code = missing ? kNotFoundCode : kNotExecutableCode;
    complain(missing ? "not_found" : "not_allowed",
             "cannot run " + command[0] + ": " + std::generic_category().message(number), "");
    return started;
}

int wait_code(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return code_of(status);
}

void become_background(const std::vector<int>& kept) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR);
    if (null >= 0) {
        ::dup2(null, STDIN_FILENO);
        ::dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO) ::close(null);
    }
    std::vector<int> sorted = kept;
    std::sort(sorted.begin(), sorted.end());
    unsigned from = STDERR_FILENO + 1;
    for (const int fd : sorted) {
        const auto stop = static_cast<unsigned>(fd);
        if (stop > from) ::close_range(from, stop - 1, 0);
        from = stop + 1;
    }
    ::close_range(from, ~0U, 0);
}

}  // namespace klog::cli
