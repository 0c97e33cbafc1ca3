// A map from texts that is asked: which of them does this one begin with? Private to core/topic.
#ifndef KLOG_TOPIC_PREFIX_MAP_H
#define KLOG_TOPIC_PREFIX_MAP_H

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace klog {

// Each entry knows the longest other entry that it begins with. So one search finds the longest
// prefix of a text, and from there all shorter ones: the cost is a binary search and one step for
// each prefix, not one for each entry or each length in use.
template <class T>
class PrefixMap {
public:
    // The value of exactly this prefix, made if it is not there. Stays where it is until erased.
    T& operator[](std::string_view prefix) {
        if (auto found = entries_.find(prefix); found != entries_.end()) return found->second.value;
        const Entry* const parent = longest_prefix_of(prefix);
        auto made = entries_.try_emplace(std::string(prefix)).first;
        made->second.parent = parent;
        made->second.length_bytes = prefix.size();
        relink(made, parent, &made->second);
        return made->second.value;
    }

    void erase(std::string_view prefix) {
        const auto found = entries_.find(prefix);
        if (found == entries_.end()) return;
        relink(found, &found->second, found->second.parent);
        entries_.erase(found);
    }

    // Calls visit(value) for each entry that `text` begins with, itself included, longest first.
    template <class Visit>
    void for_each_prefix_of(std::string_view text, Visit&& visit) const {
        for (const Entry* entry = longest_prefix_of(text); entry != nullptr;
             entry = entry->parent) {
            visit(entry->value);
        }
    }

    [[nodiscard]] bool empty() const { return entries_.empty(); }

private:
    struct Entry {
        T value{};
        const Entry* parent = nullptr;
        std::size_t length_bytes = 0;
    };
    using Entries = std::map<std::string, Entry, std::less<>>;

    // Whatever sorts between a prefix of `text` and `text` begins with that prefix as well. So the
    // entry just before `text` has all prefixes of `text` among its parents, or is one.
    const Entry* longest_prefix_of(std::string_view text) const {
        auto before = entries_.upper_bound(text);
        if (before == entries_.begin()) return nullptr;
        --before;
        const std::string& candidate = before->first;
        const auto common = static_cast<std::size_t>(
            std::mismatch(candidate.begin(), candidate.end(), text.begin(), text.end()).first -
            candidate.begin());
        const Entry* entry = &before->second;
        while (entry != nullptr && entry->length_bytes > common) entry = entry->parent;
        return entry;
    }

    // Of the entries that begin with `at`, those whose parent was `from` have `to` from now on.
    void relink(typename Entries::iterator at, const Entry* from, const Entry* to) {
        for (auto next = std::next(at);
             next != entries_.end() && next->first.starts_with(at->first); ++next) {
            if (next->second.parent == from) next->second.parent = to;
        }
    }

    Entries entries_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_PREFIX_MAP_H
