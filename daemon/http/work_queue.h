// Work that waits for a thread that may block: the lowest order first.
//
// Readers of one log give the seq at which they are. So those that lag behind catch up with the one
// that leads, and find unpacked what it unpacked; in the order of their coming they would drift
// apart until the page cache serves none of them.
#ifndef KLOG_DAEMON_HTTP_WORK_QUEUE_H
#define KLOG_DAEMON_HTTP_WORK_QUEUE_H

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/mutex.h"

namespace klog::http {

// Any thread may call anything here.
class WorkQueue {
public:
    // So many may be taken before one that came earlier; then it is its turn, whatever its order.
    static constexpr std::uint64_t kPassedByMax = 64;

    void add(std::uint64_t order, std::function<void()> work) KLOG_EXCLUDES(mutex_);
    // An empty function: nothing waits.
    [[nodiscard]] std::function<void()> take() KLOG_EXCLUDES(mutex_);

private:
    struct Waiting {
        std::uint64_t order = 0;
        std::uint64_t taken_before = 0;
        std::function<void()> work;
    };

    Mutex mutex_;
    std::uint64_t added_ KLOG_GUARDED_BY(mutex_) = 0;
    std::uint64_t taken_ KLOG_GUARDED_BY(mutex_) = 0;
    std::map<std::uint64_t, Waiting> waiting_ KLOG_GUARDED_BY(mutex_);  // by their coming
    std::set<std::pair<std::uint64_t, std::uint64_t>> by_order_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_WORK_QUEUE_H
