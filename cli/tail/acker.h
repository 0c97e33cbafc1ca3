// Acknowledges for a tail that reads as a consumer: what was shown last, beside the reading.
#ifndef KLOG_CLI_TAIL_ACKER_H
#define KLOG_CLI_TAIL_ACKER_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cli/context.h"
#include "cli/request.h"
#include "daemon/http/client.h"
#include "klog/result.h"

namespace klog::cli {

// One acknowledgement is on its way at a time; those that come meanwhile become one. Where the
// daemon cannot be reached it goes on trying: the tail does as well, and ends by its own rules.
class Acker {
public:
    // How long close() goes on trying.
    static constexpr std::chrono::milliseconds kCloseWait{2'500};

    Acker() = default;
    ~Acker();
    Acker(const Acker&) = delete;
    Acker& operator=(const Acker&) = delete;

    // The context outlives this. Signals are blocked by now: see SignalWatch.
    void start(const Context& context, const std::string& consumer);
    [[nodiscard]] bool started() const { return thread_.joinable(); }
    // A new connection is being asked for, which makes the lease of the one before stale: nothing
    // is sent until set_lease().
    void await_lease();
    // Of the connection that the records come on. What was acknowledged under the one before is
    // sent again: the daemon may have been killed with that in its memory.
    void set_lease(std::uint64_t lease);
    // Everything up to seq was shown. Returns at once.
    void set(std::uint64_t seq);
    // What the daemon refused; nothing is acknowledged any more.
    [[nodiscard]] std::optional<Problem> refused();
    // Waits for the last one. Errors: unreachable where it did not arrive.
    Status close();

private:
    void run(const std::stop_token& stop);
    // False: it did not arrive.
    [[nodiscard]] bool post(std::uint64_t seq, std::uint64_t lease);

    const Context* context_ = nullptr;
    std::string consumer_;

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::shared_ptr<http::Client> client_;  // guarded by mutex_, like all below
    std::uint64_t lease_ = 0;               // 0: it is awaited
    std::uint64_t last_lease_ = 0;
    std::uint64_t wanted_ = 0;
    std::uint64_t acked_ = 0;
    std::optional<Problem> refused_;
    std::jthread thread_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_TAIL_ACKER_H
