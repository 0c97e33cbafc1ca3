// Frames of one log in seq order, wherever they lie: in memory, in sealed segments, in the WAL's
// files. A segment's block is a frame to whoever decodes it.
//
// Threads: one at a time. Reads the disk unless in_memory() says otherwise.
#ifndef KLOG_LOG_FRAME_SOURCE_H
#define KLOG_LOG_FRAME_SOURCE_H

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "log/file_catalog.h"
#include "log/live_tail.h"
#include "log/segment_catalog.h"
#include "segment/segment_reader.h"
#include "segment/wal.h"
#include "topic/filter.h"

namespace klog {

// What a reader is looking for, so that what cannot hold any of it is passed over.
struct ReadScope {
    const FilterSet* set = nullptr;  // null: any topic
    // The entities that can match; nullopt: any.
    std::optional<std::vector<Hash128>> entities;
};

// The blocks of one segment that may hold what is looked for, in order.
class SegmentCursor {
public:
    explicit SegmentCursor(std::shared_ptr<SegmentReader> segment) : segment_(std::move(segment)) {}

    [[nodiscard]] const SegmentReader& segment() const { return *segment_; }
    // Looks up which blocks are wanted; before the first next().
    Status choose(const ReadScope& scope);
    struct Block {
        std::shared_ptr<const Frame> frame;  // null: none is left
        Seq last_seq;
    };
    // The first wanted block that holds a record with a seq >= seq. Seqs rise from call to call.
    [[nodiscard]] Result<Block> next(Seq seq);

private:
    // Blocks read together once a reader goes on from one block to the next.
    static constexpr std::uint32_t kReadAheadBlocks = 15;

    std::shared_ptr<SegmentReader> segment_;
    std::optional<std::vector<std::uint32_t>> chosen_;  // nullopt: all
    std::size_t chosen_at_ = 0;
    std::uint32_t block_ = 0;
    Seq expected_;  // the seq behind the last block that was given; 0: none was
};

class FrameSource {
public:
    FrameSource(LogId log, Wal& wal, const FileCatalog& catalog, const LiveTail& tail);

    struct Found {
        // Holds the first records with a seq >= the one asked for that may be wanted; null: none
        // up to skipped_to.
        std::shared_ptr<const Frame> frame;
        Seq skipped_to;
        Seq last_seq;  // of the frame: the next one begins behind it
    };
    // Precondition: seq <= the durable head. `scope` may be null, and is the same in all calls.
    // Without one, a frame holds seq itself unless policy removed that. Errors: corrupt (also
    // where the log has no such seq), io.
    [[nodiscard]] Result<Found> find(Seq seq, const ReadScope* scope);
    [[nodiscard]] bool in_memory(Seq seq) const;

private:
    Status open_disk(Seq seq, const ReadScope* scope, Found& found);
    Result<Found> from_segment(Seq seq);
    Result<Found> from_wal(Seq seq, const ReadScope* scope);

    LogId log_;
    Wal& wal_;
    const FileCatalog& catalog_;
    const LiveTail& tail_;
    std::optional<SegmentCursor> segment_;
    std::unique_ptr<WalFrameReader> disk_;
    Seq disk_next_;  // the seq behind the last frame that disk_ gave
};

}  // namespace klog

#endif  // KLOG_LOG_FRAME_SOURCE_H
