// Memory that several readers share, counted. What is not there is refused, never waited for.
//
// Threads: any.
#ifndef KLOG_LOG_BYTE_BUDGET_H
#define KLOG_LOG_BYTE_BUDGET_H

#include <atomic>
#include <cstdint>

namespace klog {

class ByteBudget {
public:
    explicit ByteBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max), left_(bytes_max) {}

    [[nodiscard]] bool take(std::uint64_t bytes) {
        std::uint64_t left = left_.load(std::memory_order_relaxed);
        while (left >= bytes) {
            if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    void give_back(std::uint64_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }
    [[nodiscard]] std::uint64_t left() const { return left_.load(std::memory_order_relaxed); }

private:
    const std::uint64_t bytes_max_;
    std::atomic<std::uint64_t> left_;
};

// What one reader took of it, with a limit of its own. Threads: one.
class ByteShare {
public:
    ByteShare(ByteBudget& budget, std::uint64_t bytes_max)
        : budget_(&budget), bytes_max_(bytes_max) {}
    ~ByteShare() { budget_->give_back(bytes_); }
    ByteShare(const ByteShare&) = delete;
    ByteShare& operator=(const ByteShare&) = delete;

    [[nodiscard]] bool take(std::uint64_t bytes) {
        at_limit_ = bytes > bytes_max_ - bytes_;
        if (at_limit_ || !budget_->take(bytes)) return false;
        bytes_ += bytes;
        return true;
    }
    void give_back(std::uint64_t bytes) {
        bytes_ -= bytes;
        budget_->give_back(bytes);
    }
    [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }
    // Why take() said no last: the limit of its own, not the others.
    [[nodiscard]] bool at_limit() const { return at_limit_; }

private:
    ByteBudget* budget_;
    std::uint64_t bytes_max_;
    std::uint64_t bytes_ = 0;
    bool at_limit_ = false;
};

}  // namespace klog

#endif  // KLOG_LOG_BYTE_BUDGET_H
