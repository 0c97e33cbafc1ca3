#include "index/key_index_list.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "base/assert.h"

namespace klog {
namespace {

// The first 8 bytes, so that their numbers are in the order of the texts, where they differ.
std::uint64_t head_of(std::string_view text) {
    std::uint64_t head = 0;
    for (std::size_t i = 0; i < sizeof head; ++i) {
        const char c = i < text.size() ? text[i] : '\0';
        head = head << 8U | static_cast<unsigned char>(c);
    }
    return head;
}

std::size_t shared_bytes(std::string_view a, std::string_view b) {
    const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
    return static_cast<std::size_t>(end - a.begin());
}

// Sorts by the texts. Behind what all of them begin with, 8 bytes mostly tell them apart without a
// look at the texts, which lie all over memory.
template <class Iterator, class Text>
void sort_by(Iterator begin, Iterator end, const Text& text) {
    if (begin == end) return;
    using Entry = typename std::iterator_traits<Iterator>::value_type;
    struct Item {
        std::uint64_t head;
        Entry entry;
    };
    const std::string_view first = text(*begin);
    std::size_t shared = first.size();
    bool same = true;
    for (auto at = begin; at != end; ++at) {
        shared = std::min(shared, shared_bytes(first, text(*at)));
        same = same && text(*at) == first;
    }
    if (same) return;
    std::vector<Item> items;
    items.reserve(static_cast<std::size_t>(end - begin));
    for (auto at = begin; at != end; ++at) {
        items.push_back({head_of(text(*at).substr(shared)), *at});
    }
    std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
        return a.head != b.head ? a.head < b.head : text(a.entry) < text(b.entry);
    });
    std::transform(items.begin(), items.end(), begin, [](const Item& item) { return item.entry; });
}

}  // namespace

void KeyList::add(std::string_view space, std::string_view key) {
    constexpr std::size_t kNameMax = std::numeric_limits<std::uint16_t>::max();
    KLOG_ASSERT(space.size() <= kNameMax && key.size() <= kNameMax);
    KLOG_ASSERT(text_.size() + space.size() + key.size() <=
                std::numeric_limits<std::uint32_t>::max());
    entries_.push_back({static_cast<std::uint32_t>(text_.size()),
                        static_cast<std::uint16_t>(space.size()),
                        static_cast<std::uint16_t>(key.size())});
    text_.append(space).append(key);
}

void KeyList::add_all(const KeyList& other) {
    for (std::size_t i = 0; i < other.size(); ++i) add(other.space(i), other.key(i));
}

void KeyList::sort() {
    if (sorted_ == entries_.size()) return;
    const auto space = [this](const Entry& entry) { return space_of(entry); };
    const auto key = [this](const Entry& entry) { return key_of(entry); };
    const auto tail = entries_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    sort_by(tail, entries_.end(), space);
    for (auto from = tail; from != entries_.end();) {
        const auto to = std::find_if(from, entries_.end(), [&](const Entry& entry) {
            return space_of(entry) != space_of(*from);
        });
        sort_by(from, to, key);
        from = to;
    }
    std::inplace_merge(entries_.begin(), tail, entries_.end(),
                       [this](const Entry& a, const Entry& b) {
                           const int order = space_of(a).compare(space_of(b));
                           return order != 0 ? order < 0 : key_of(a) < key_of(b);
                       });
    entries_.erase(std::unique(entries_.begin(), entries_.end(),
                               [this](const Entry& a, const Entry& b) {
                                   return space_of(a) == space_of(b) && key_of(a) == key_of(b);
                               }),
                   entries_.end());
    sorted_ = entries_.size();
}

std::size_t KeyList::lower_bound(std::string_view space, std::string_view key) const {
    KLOG_ASSERT(sorted_ == entries_.size());
    const auto at = std::partition_point(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        const int order = space_of(entry).compare(space);
        return order != 0 ? order < 0 : key_of(entry) < key;
    });
    return static_cast<std::size_t>(at - entries_.begin());
}

}  // namespace klog
