#include "daemon/http/work_queue.h"

namespace klog::http {

void WorkQueue::add(std::uint64_t order, std::function<void()> work) {
    const MutexLock lock(mutex_);
    const std::uint64_t number = added_++;
    waiting_.emplace(number, Waiting{order, taken_, std::move(work)});
    by_order_.emplace(order, number);
}

std::function<void()> WorkQueue::take() {
    const MutexLock lock(mutex_);
    if (waiting_.empty()) return {};
    auto next = waiting_.begin();
    if (taken_ - next->second.taken_before < kPassedByMax) {
        next = waiting_.find(by_order_.begin()->second);
    }
    by_order_.erase({next->second.order, next->first});
    std::function<void()> work = std::move(next->second.work);
    waiting_.erase(next);
    ++taken_;
    return work;
}

}  // namespace klog::http
