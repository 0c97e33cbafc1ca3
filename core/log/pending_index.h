// Keys and topics that the key index does not hold yet. Listings merge the two, so that a user
// reads his own writes.
//
// Threads: its own mutexes. Who adds waits neither for the sorting of what is frozen nor for
// listings of it.
#ifndef KLOG_LOG_PENDING_INDEX_H
#define KLOG_LOG_PENDING_INDEX_H

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "index/key_index.h"

namespace klog {

class PendingIndex {
public:
    void add_key(std::string_view space, std::string_view key) KLOG_EXCLUDES(mutex_);
    void add_topic(std::string_view topic, const TopicCount& gained) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::size_t bytes() const KLOG_EXCLUDES(mutex_);

    // Takes everything so far aside, to be applied to the key index. It stays visible to listings
    // until applied() or failed(). Precondition: nothing is aside.
    void freeze(Seq after, Seq upto) KLOG_EXCLUDES(mutex_, frozen_mutex_);
    // What was taken aside, sorted. It stays as it is until applied() or failed(), which the caller
    // of freeze() calls. Precondition: freeze().
    [[nodiscard]] const KeyIndexDelta& frozen() KLOG_EXCLUDES(frozen_mutex_);
    void applied() KLOG_EXCLUDES(frozen_mutex_);
    // Everything goes: it is read from the log again. Precondition: nothing is aside.
    void forget() KLOG_EXCLUDES(mutex_, frozen_mutex_);
    // How often something has left: applied() or forget() was called.
    [[nodiscard]] std::uint64_t departures() const { return departures_.load(); }
    void failed() KLOG_EXCLUDES(mutex_, frozen_mutex_);

    // Keys of a space > after with that prefix, sorted, without repeats, at most limit.
    [[nodiscard]] std::vector<std::string> keys(std::string_view space, std::string_view prefix,
                                                std::string_view after, std::size_t limit)
        KLOG_EXCLUDES(mutex_, frozen_mutex_);
    [[nodiscard]] std::vector<std::pair<std::string, TopicCount>> topics(std::string_view prefix,
                                                                         std::string_view after,
                                                                         std::size_t limit)
        KLOG_EXCLUDES(mutex_, frozen_mutex_);
    [[nodiscard]] TopicCount topic(std::string_view topic) KLOG_EXCLUDES(mutex_, frozen_mutex_);

private:
    using Topics = std::map<std::string, TopicCount, std::less<>>;
    struct Frozen {
        KeyIndexDelta delta;
        Topics topics;  // until they stand in delta
    };
    // Null: nothing is aside. Otherwise its delta is in order.
    const KeyIndexDelta* in_order() KLOG_REQUIRES(frozen_mutex_);

    std::atomic<std::uint64_t> departures_{0};
    // Taken before mutex_.
    Mutex frozen_mutex_;
    std::unique_ptr<Frozen> frozen_ KLOG_GUARDED_BY(frozen_mutex_);  // null: nothing

    mutable Mutex mutex_;
    KeyList keys_ KLOG_GUARDED_BY(mutex_);
    Topics topics_ KLOG_GUARDED_BY(mutex_);
    std::size_t topic_bytes_ KLOG_GUARDED_BY(mutex_) = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_PENDING_INDEX_H
