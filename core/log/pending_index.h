// Keys and topics that the key index does not hold yet. Listings merge the two, so that a user
// reads his own writes.
//
// Threads: its own mutex.
#ifndef KLOG_LOG_PENDING_INDEX_H
#define KLOG_LOG_PENDING_INDEX_H

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

    // Everything so far, sorted, to be applied to the key index. It stays visible to listings until
    // applied() or failed(). Precondition: no earlier delta is out.
    [[nodiscard]] std::shared_ptr<const KeyIndexDelta> freeze(Seq after, Seq upto)
        KLOG_EXCLUDES(mutex_);
    void applied() KLOG_EXCLUDES(mutex_);
    void failed() KLOG_EXCLUDES(mutex_);

    // Keys of a space > after with that prefix, sorted, without repeats, at most limit.
    [[nodiscard]] std::vector<std::string> keys(std::string_view space, std::string_view prefix,
                                                std::string_view after, std::size_t limit)
        KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::vector<std::pair<std::string, TopicCount>> topics(std::string_view prefix,
                                                                         std::string_view after,
                                                                         std::size_t limit)
        KLOG_EXCLUDES(mutex_);
    [[nodiscard]] TopicCount topic(std::string_view topic) KLOG_EXCLUDES(mutex_);

private:
    using Key = std::pair<std::string, std::string>;
    void sort_keys() KLOG_REQUIRES(mutex_);

    mutable Mutex mutex_;
    std::vector<Key> keys_ KLOG_GUARDED_BY(mutex_);
    bool sorted_ KLOG_GUARDED_BY(mutex_) = true;
    std::map<std::string, TopicCount, std::less<>> topics_ KLOG_GUARDED_BY(mutex_);
    std::size_t bytes_ KLOG_GUARDED_BY(mutex_) = 0;
    std::shared_ptr<const KeyIndexDelta> frozen_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_PENDING_INDEX_H
