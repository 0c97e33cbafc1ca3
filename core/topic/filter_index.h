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

// Not thread-safe: the owner holds a lock, which find() may share with other find()s.
class FilterIndex {
public:
    using Follower = std::uint64_t;

    FilterIndex();
    ~FilterIndex();
    FilterIndex(const FilterIndex&) = delete;
    FilterIndex& operator=(const FilterIndex&) = delete;

    // With a key, only records of exactly that key are found, through the key's hash; then the
    // set is checked on them. The set is copied. A follower that is there already is replaced.
    void add(Follower follower, const FilterSet& set, std::optional<std::string> key);
    // Does nothing where the follower is not there. Leaves nothing of it behind.
    void remove(Follower follower);
    [[nodiscard]] bool empty() const;
    [[nodiscard]] std::size_t size() const;

    // How many nodes and keys are held just now; 0 where nobody follows anything but ">".
    [[nodiscard]] std::size_t parts() const;

    // Appends each follower that matches once, in no particular order. has_key false: no key
    // follower matches. Precondition: check_topic(topic) held once.
    void find(std::string_view topic, bool has_key, std::string_view key,
              std::vector<Follower>& out) const;
    // The two parts of it: followers without a key, which only the topic matters to, and those of
    // one key.
    void find_by_topic(std::string_view topic, std::vector<Follower>& out) const;
    void find_by_key(std::string_view topic, std::string_view key,
                     std::vector<Follower>& out) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_INDEX_H
