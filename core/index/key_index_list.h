// Keys with their spaces, packed: their text in one string, and 8 bytes for each.
//
// Threads: none of its own; who shares one guards it.
#ifndef KLOG_INDEX_KEY_INDEX_LIST_H
#define KLOG_INDEX_KEY_INDEX_LIST_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace klog {

class KeyList {
public:
    // Of one key beside the text of space and key. Unit: bytes.
    static constexpr std::size_t kEntryBytes = 8;

    // Space and key are at most 65,535 bytes each, the text of all of them below 4 GiB.
    void add(std::string_view space, std::string_view key);
    void add_all(const KeyList& other);
    // By space, then by key, byte by byte; repeats are dropped. What was sorted already costs
    // little.
    void sort();

    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    // What text and entries take. Unit: bytes.
    [[nodiscard]] std::size_t bytes() const { return text_.size() + size() * kEntryBytes; }

    // Views live until the list changes.
    [[nodiscard]] std::string_view space(std::size_t i) const { return space_of(entries_[i]); }
    [[nodiscard]] std::string_view key(std::size_t i) const { return key_of(entries_[i]); }
    // The first one that is not below (space, key). Precondition: sorted.
    [[nodiscard]] std::size_t lower_bound(std::string_view space, std::string_view key) const;

private:
    struct Entry {
        std::uint32_t at;
        std::uint16_t space_bytes;
        std::uint16_t key_bytes;
    };
    static_assert(sizeof(Entry) == kEntryBytes);
    [[nodiscard]] std::string_view space_of(const Entry& entry) const {
        return {text_.data() + entry.at, entry.space_bytes};
    }
    [[nodiscard]] std::string_view key_of(const Entry& entry) const {
        return {text_.data() + entry.at + entry.space_bytes, entry.key_bytes};
    }

    std::string text_;
    std::vector<Entry> entries_;
    std::size_t sorted_ = 0;  // how many from the beginning are in order
};

}  // namespace klog

#endif  // KLOG_INDEX_KEY_INDEX_LIST_H
