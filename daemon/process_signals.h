// What ends a daemon: SIGTERM, SIGINT or SIGHUP, or the end of its life line.
#ifndef KLOG_DAEMON_PROCESS_SIGNALS_H
#define KLOG_DAEMON_PROCESS_SIGNALS_H

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "klog/result.h"

namespace klog {

class EndSignals {
public:
    // Blocks the signals for this thread and those it starts later, so call it before there are
    // others. life_line_fd: its end-of-file is a reason to end; -1: none. Errors: io.
    [[nodiscard]] static Result<std::unique_ptr<EndSignals>> block(int life_line_fd);
    ~EndSignals();
    EndSignals(const EndSignals&) = delete;
    EndSignals& operator=(const EndSignals&) = delete;

    // Waits for a reason to end, at most `limit`. The reason for people; empty: there is none.
    [[nodiscard]] std::string wait(std::chrono::milliseconds limit);

    // From here on a signal ends the process at once, with 128 and its number. Call it once.
    // Errors: io.
    Status exit_on_next(std::function<void(const std::string&)> log);

private:
    EndSignals() = default;
    // 0: none is there.
    [[nodiscard]] int next_signal() const;

    int signal_fd_ = -1;
    int stop_fd_ = -1;
    int life_line_fd_ = -1;
    std::jthread watcher_;
};

}  // namespace klog

#endif  // KLOG_DAEMON_PROCESS_SIGNALS_H
