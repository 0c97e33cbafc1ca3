// What was read from sealed segments and unpacked, shared by all readers: blocks of records, and
// pages of footers. Least recently used goes first.
//
// Threads: any; its own mutex, held shortly. Two readers that miss the same page at once may both
// unpack it; one of the two is kept.
#ifndef KLOG_SEGMENT_PAGE_CACHE_H
#define KLOG_SEGMENT_PAGE_CACHE_H

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "segment/wal_format.h"

namespace klog {

class PageCache {
public:
    struct Key {
        std::uint64_t segment_id = 0;
        std::uint32_t section = 0;  // its type in the footer's directory
        std::uint32_t page = 0;
        friend constexpr auto operator<=>(const Key&, const Key&) = default;
    };
    struct Stats {
        std::uint64_t bytes = 0;
        std::uint64_t hits = 0;
        std::uint64_t misses = 0;
        std::uint64_t puts = 0;  // what was unpacked for it, also ahead of a reader
        std::uint64_t evictions = 0;
    };
    virtual ~PageCache() = default;

    // bytes_max: what it holds at most, a page counted with its own bookkeeping. What readers have
    // pinned lives on outside of it.
    [[nodiscard]] static std::shared_ptr<PageCache> make(std::uint64_t bytes_max);

    // A page is a Frame also where it is a footer's: then only `bytes` counts. nullptr: not here.
    [[nodiscard]] virtual std::shared_ptr<const Frame> find(const Key& key) = 0;
    // Larger than a quarter of bytes_max: not kept.
    virtual void put(const Key& key, std::shared_ptr<const Frame> page) = 0;
    // Of a segment that is gone.
    virtual void forget(std::uint64_t segment_id) = 0;
    [[nodiscard]] virtual Stats stats() const = 0;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_PAGE_CACHE_H
