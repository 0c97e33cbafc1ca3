// Which followers does a record have? A trie over filter segments plus a hash of keys: looking a
// record up costs what matches, not how many followers there are.
#ifndef KLOG_TOPIC_FILTER_INDEX_H
#define KLOG_TOPIC_FILTER_INDEX_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "topic/filter.h"

namespace klog {

// Not thread-safe: the owner holds a lock.
class FilterIndex {
public:
    using Follower = std::uint64_t;

    FilterIndex();
    ~FilterIndex();
    FilterIndex(const FilterIndex&) = delete;
    FilterIndex& operator=(const FilterIndex&) = delete;

    // With a key, only records of exactly that key are found, through the key's hash; then the
    // set is checked on them. The set is copied.
    void add(Follower follower, const FilterSet& set, std::optional<std::string> key);
    void remove(Follower follower);
    [[nodiscard]] bool empty() const;
    [[nodiscard]] std::size_t size() const;

    // Appends each follower that matches once. has_key false: no key follower matches.
    void find(std::string_view topic, bool has_key, std::string_view key,
              std::vector<Follower>& out) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_INDEX_H
