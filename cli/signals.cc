#include "cli/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>

namespace klog::cli {
namespace {

constexpr int kExitSignalBase = 128;
constexpr int kGraceMillis = 3'000;

extern "C" void klog_exit_on_signal(int signal) { ::_exit(kExitSignalBase + signal); }

void raise_event(int fd) {
    const std::uint64_t one = 1;
    // An eventfd takes eight bytes or is full, and full says the same.
    [[maybe_unused]] const ssize_t wrote = ::write(fd, &one, sizeof one);
}

}  // namespace

void take_client_signals() {
    struct sigaction action = {};
    action.sa_handler = klog_exit_on_signal;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, nullptr);
}

Status SignalWatch::start(std::function<void()> on_signal) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC);
    stop_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    noted_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal_fd_ < 0 || stop_fd_ < 0 || noted_fd_ < 0) {
        return Error{Code::io, std::string("cannot wait for signals: ") + std::strerror(errno), ""};
    }
    thread_ = std::jthread([this, call = std::move(on_signal)] { watch(call); });
    return {};
}

void SignalWatch::watch(const std::function<void()>& on_signal) {
    while (true) {
        // After the first signal there is some time to put things in order, whatever hangs.
        const int limit_ms = signal_.load() == 0 ? -1 : kGraceMillis;
        std::array<pollfd, 2> wait = {{{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
        const int ready = ::poll(wait.data(), wait.size(), limit_ms);
        if (ready < 0 && errno != EINTR) return;
        if (ready == 0) ::_exit(kExitSignalBase + signal_.load());
        if (wait[1].revents != 0) return;
        if ((wait[0].revents & POLLIN) == 0) continue;
        signalfd_siginfo info = {};
        if (::read(signal_fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
        const int number = static_cast<int>(info.ssi_signo);
        if (signal_.load() != 0) ::_exit(kExitSignalBase + number);
        signal_.store(number);
        raise_event(noted_fd_);
        on_signal();
    }
}

SignalWatch::~SignalWatch() {
    if (thread_.joinable()) {
        raise_event(stop_fd_);
        thread_.join();
    }
    for (const int fd : {signal_fd_, stop_fd_, noted_fd_}) {
        if (fd >= 0) ::close(fd);
    }
}

}  // namespace klog::cli
