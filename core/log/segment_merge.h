// One merge of neighbouring segments of a log into one: plainly, each record as it is, in the order
// of their seqs. Done piece by piece, so that it never stands in the way of anything.
//
// Which segments: a run of kFanIn neighbours of the same size class, the oldest first, so that
// each record is written again once for each class and not once for each merge. (The tiers of
// size-tiered compaction, as in Bigtable; limited to neighbours, since seqs must stay in order.)
//
// Memory: one block of the inputs, and what the writer gathers (see SegmentWriter).
// Threads: one at a time.
#ifndef KLOG_LOG_SEGMENT_MERGE_H
#define KLOG_LOG_SEGMENT_MERGE_H

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "klog/env.h"
#include "log/segment_catalog.h"
#include "segment/segment_writer.h"

namespace klog {

class SegmentMerge {
public:
    static constexpr std::size_t kFanIn = 4;
    // A step reads about this much, unpacked.
    static constexpr std::uint64_t kStepBytes = 1U << 20U;

    // What comes out names at most so many topics, counted once for each input: they are held in
    // memory, about 100 bytes each, until all records are copied.
    static constexpr std::uint64_t kTopicsMax = 1'000'000;

    // What of a segment decides.
    struct Size {
        std::uint64_t payload_bytes = 0;  // unpacked
        std::uint64_t topics = 0;
    };
    // First and one behind the last of the segments that should be merged next; nullopt: none.
    // merged_bytes_max: unpacked, of what comes out.
    using Run = std::pair<std::size_t, std::size_t>;
    [[nodiscard]] static std::optional<Run> choose(std::span<const Size> sizes,
                                                   std::uint64_t merged_bytes_max,
                                                   std::uint64_t topics_max);
    [[nodiscard]] static std::optional<Run> choose(const SegmentCatalog::List& segments,
                                                   std::uint64_t merged_bytes_max);

    SegmentMerge(Env& env, std::vector<SegmentCatalog::Segment> inputs, std::string path,
                 const SegmentIdentity& identity);

    // True: the output is complete, written and synced: see output(). Errors: corrupt, disk_full,
    // io; then this merge is given up.
    [[nodiscard]] Result<bool> step();

    [[nodiscard]] const std::vector<SegmentCatalog::Segment>& inputs() const { return inputs_; }
    [[nodiscard]] LogId log_id() const { return identity_.log_id; }
    [[nodiscard]] std::uint64_t segment_id() const { return identity_.segment_id; }
    [[nodiscard]] const SegmentEntry& output() const { return output_; }

private:
    Status copy_block();

    Env& env_;
    std::vector<SegmentCatalog::Segment> inputs_;
    const std::string path_;
    const SegmentIdentity identity_;
    std::unique_ptr<SegmentWriter> writer_;
    std::shared_ptr<SegmentReader> reader_;  // of the input at hand
    std::size_t input_ = 0;
    std::uint32_t block_ = 0;
    SegmentEntry output_;
};

}  // namespace klog

#endif  // KLOG_LOG_SEGMENT_MERGE_H
