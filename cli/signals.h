// SIGINT and SIGTERM in clients.
#ifndef KLOG_CLI_SIGNALS_H
#define KLOG_CLI_SIGNALS_H

#include <atomic>
#include <functional>
#include <thread>

#include "klog/result.h"

namespace klog::cli {

// From here on SIGINT and SIGTERM end the process at once with 130 and 143, and writing to a closed
// pipe is an error of write(2). Call it before other threads exist.
void take_client_signals();

// For verbs that have something to put in order first: a thread waits for the first signal, notes
// it and calls on_signal once, on that thread. A second signal ends the process at once, and so
// does a process that is still there 3 s later. Make it
// before other threads exist: they inherit the blocked signals.
class SignalWatch {
public:
    // Errors: io.
    Status start(std::function<void()> on_signal);
    ~SignalWatch();
    SignalWatch() = default;
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

    // 0 while none came. Any thread.
    [[nodiscard]] int signal() const { return signal_.load(); }
    // Readable once a signal came; for poll(2). -1 before start().
    [[nodiscard]] int descriptor() const { return noted_fd_; }

private:
    void watch(const std::function<void()>& on_signal);

    std::atomic<int> signal_{0};
    int signal_fd_ = -1;
    int stop_fd_ = -1;
    int noted_fd_ = -1;
    std::jthread thread_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_SIGNALS_H
