// Which blocks of sealed segments may hold records of some entities.
//
// Threads: one at a time. Reads the disk.
#ifndef KLOG_LOG_ENTITY_TRAIL_H
#define KLOG_LOG_ENTITY_TRAIL_H

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "log/segment_catalog.h"
#include "segment/segment_reader.h"

namespace klog {

// Looks at several segments at a time, so that the disk works on all of them at once when nothing
// is in memory.
class EntityTrail {
public:
    // At most as many segments are looked at together; a segment has 16 Ki blocks or so.
    static constexpr std::size_t kSegments = 32;

    struct Part {
        std::shared_ptr<SegmentReader> segment;
        std::vector<std::uint32_t> blocks;  // rising
    };
    // Of the segment that answers for seq, blocks that reach it. Seqs rise from call to call, and
    // the entities and `end`, behind which nothing is looked up, are the same in all of them. The
    // disk was told of the first kWillReadBlocks blocks. nullopt: seq is not sealed. Errors:
    // corrupt, io.
    [[nodiscard]] Result<std::optional<Part>> take(const SegmentCatalog& segments, LogId log,
                                                   Seq seq, Seq end,
                                                   const std::vector<Hash128>& entities);

private:
    struct Range {
        Seq first;
        Seq last;
    };
    [[nodiscard]] static Result<Part> part_of(std::shared_ptr<SegmentReader> segment, Range wanted,
                                              const std::vector<Hash128>& entities);
    Status look_up(const SegmentCatalog::List& list, std::size_t from, Range wanted,
                   const std::vector<Hash128>& entities);

    std::vector<Part> parts_;
    std::size_t next_ = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_ENTITY_TRAIL_H
