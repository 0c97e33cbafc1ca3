// The sealed segments of each log, opened, in the order of their seqs.
//
// Threads: any; its own mutex, held to copy a pointer. A segment that was merged away stays
// readable for whoever holds it.
#ifndef KLOG_LOG_SEGMENT_CATALOG_H
#define KLOG_LOG_SEGMENT_CATALOG_H

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "klog/env.h"
#include "klog/log.h"
#include "klog/options.h"
#include "segment/page_cache.h"
#include "segment/segment_reader.h"
#include "segment/segment_set.h"

namespace klog {

class SegmentCatalog {
public:
    struct Segment {
        SegmentEntry entry;
        std::shared_ptr<SegmentReader> reader;
        std::optional<Hole> hole;
    };
    using List = std::vector<Segment>;

    // What a segment is that cannot be read: the end of follow(), or a hole.
    enum class Damage : std::uint8_t { stops, is_a_hole };

    // dir: the data directory.
    SegmentCatalog(Env& env, std::string dir, std::uint64_t cache_bytes,
                   Damage damage = Damage::stops);

    // Opens what the set names and this does not know yet, and forgets what the set does not name
    // any more. Errors: corrupt (a segment is missing, damaged, or another one), io; then nothing
    // has changed.
    Status follow(const SegmentSetState& state) KLOG_EXCLUDES(mutex_);

    [[nodiscard]] std::shared_ptr<const List> list(LogId log) const KLOG_EXCLUDES(mutex_);
    // The segment that answers for seq; null where that is not sealed.
    [[nodiscard]] std::shared_ptr<SegmentReader> find(LogId log, Seq seq) const;
    // The first one with a record whose time is >= time; null: none.
    [[nodiscard]] std::shared_ptr<SegmentReader> find(LogId log, Time time) const;
    // All seqs up to this one are sealed. 0: none is.
    [[nodiscard]] Seq last_seq(LogId log) const;
    // Seqs whose segment cannot be read; find() gives one that answers each question with an error.
    [[nodiscard]] std::vector<Hole> holes() const KLOG_EXCLUDES(mutex_);
    [[nodiscard]] PageCache& cache() const { return *cache_; }

private:
    [[nodiscard]] Result<std::shared_ptr<SegmentReader>> open(const SegmentEntry& entry) const;
    Status open_into(Segment& segment) const;

    Env& env_;
    const std::string dir_;
    const Damage damage_;
    const std::shared_ptr<PageCache> cache_;
    mutable Mutex mutex_;
    std::array<std::shared_ptr<const List>, 2> lists_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_SEGMENT_CATALOG_H
