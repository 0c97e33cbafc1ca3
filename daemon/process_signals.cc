#include "daemon/process_signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

namespace klog {
namespace {

constexpr int kSignalExit = 128;

Error io_error(const std::string& what) {
    return Error{Code::io, what + ": " + std::generic_category().message(errno), ""};
}

std::string name_of(int number) {
    const char* name = ::sigabbrev_np(number);
    return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

}  // namespace

Result<std::unique_ptr<EndSignals>> EndSignals::block(int life_line_fd) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
    if (const int failure = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); failure != 0) {
        errno = failure;
        return io_error("cannot block signals");
    }
    // A peer or a reader of the log that is gone is an error of the write, not the end.
    if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return io_error("cannot ignore SIGPIPE");
    // So is a write beyond the limit on a file's size: it is answered as a full disk is.
    if (::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return io_error("cannot ignore SIGXFSZ");
    std::unique_ptr<EndSignals> signals(new EndSignals());
    signals->life_line_fd_ = life_line_fd;
    signals->signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->signal_fd_ < 0) return io_error("cannot watch for signals");
    signals->stop_fd_ = ::eventfd(0, EFD_CLOEXEC);
    if (signals->stop_fd_ < 0) return io_error("cannot make an event");
    return signals;
}

EndSignals::~EndSignals() {
    if (watcher_.joinable()) {
        const std::uint64_t one = 1;
        // Cannot fail: the counter is at 0 and the descriptor is our own.
        static_cast<void>(::write(stop_fd_, &one, sizeof one) == 0);
        watcher_.join();
    }
    if (signal_fd_ >= 0) ::close(signal_fd_);
    if (stop_fd_ >= 0) ::close(stop_fd_);
}

int EndSignals::next_signal() const {
    struct signalfd_siginfo info {};
    if (::read(signal_fd_, &info, sizeof info) != sizeof info) return 0;
    return static_cast<int>(info.ssi_signo);
}

std::string EndSignals::wait(std::chrono::milliseconds limit) {
    std::array<struct pollfd, 2> waited = {{{signal_fd_, POLLIN, 0}, {life_line_fd_, POLLIN, 0}}};
    // poll passes over a negative descriptor. An interrupted wait only comes back early.
    if (::poll(waited.data(), waited.size(), static_cast<int>(limit.count())) <= 0) return "";
    if (const int number = next_signal(); number != 0) return name_of(number);
    if (waited[1].revents == 0) return "";
    char byte = 0;
    if (::read(life_line_fd_, &byte, 1) > 0) return "";
    return "the end of what started it";
}

Status EndSignals::exit_on_next(std::function<void(const std::string&)> log) {
    try {
        watcher_ = std::jthread([this, say = std::move(log)] {
            std::array<struct pollfd, 2> waited = {
                {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
            while (waited[1].revents == 0) {
                if (::poll(waited.data(), waited.size(), -1) < 0) continue;
                const int number = next_signal();
                if (number == 0) continue;
                say("ending at once: " + name_of(number));
                ::_exit(kSignalExit + number);
            }
        });
    } catch (const std::system_error& error) {
        return Error{Code::io, std::string("cannot start a thread: ") + error.what(), ""};
    }
    return {};
}

}  // namespace klog
