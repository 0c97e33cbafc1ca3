// How much memory the bodies of all requests may take together. Each of them has a limit of its
// own; this one holds where thousands come at once.
#ifndef KLOG_DAEMON_API_BODY_BUDGET_H
#define KLOG_DAEMON_API_BODY_BUDGET_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "klog/result.h"

namespace klog::api {

// Any thread.
class BodyBudget {
public:
    // A body below this is not counted, so that small writes pass while large ones are refused.
    static constexpr std::uint64_t kCountedFromBytes = 16 * 1024;

    explicit BodyBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

    [[nodiscard]] std::uint64_t held() const { return held_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }
    [[nodiscard]] Error refusal() const {
        return Error{Code::backpressure,
                     "the bodies of all requests hold " + std::to_string(held() >> 20U) +
                         " MiB, and this one does not fit in",
                     "try again later, or send fewer large ones at once"};
    }

    // What one request holds; gives it back at its end. One thread at a time.
    class Share {
    public:
        explicit Share(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
        ~Share() { budget_->held_.fetch_sub(bytes_, std::memory_order_relaxed); }
        Share(const Share&) = delete;
        Share& operator=(const Share&) = delete;

        // From now on it is so much. False: there is no room for more, and it is as before.
        [[nodiscard]] bool hold(std::uint64_t bytes) {
            if (bytes < kCountedFromBytes) bytes = 0;
            if (bytes > bytes_) {
                const std::uint64_t more = bytes - bytes_;
                if (budget_->held_.fetch_add(more, std::memory_order_relaxed) + more >
                    budget_->bytes_max_) {
                    budget_->held_.fetch_sub(more, std::memory_order_relaxed);
                    return false;
                }
            } else if (bytes < bytes_) {
                budget_->held_.fetch_sub(bytes_ - bytes, std::memory_order_relaxed);
            }
            bytes_ = bytes;
            return true;
        }

    private:
        const std::shared_ptr<BodyBudget> budget_;
        std::uint64_t bytes_ = 0;
    };

private:
    const std::uint64_t bytes_max_;
    std::atomic<std::uint64_t> held_{0};
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_BODY_BUDGET_H
