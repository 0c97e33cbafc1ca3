// Frames of one log in seq order, wherever they lie: in memory, in sealed segments, in the WAL's
// files. A segment's block is a frame to whoever decodes it.
//
// Threads: one at a time. Reads the disk unless in_memory() says otherwise.
#ifndef KLOG_LOG_FRAME_SOURCE_H
#define KLOG_LOG_FRAME_SOURCE_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "log/entity_trail.h"
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
    bool stored_blocks = false;  // it will ask for these
    Seq end{~0ULL};              // nothing behind it is wanted
};

// The blocks of one segment that may hold what is looked for, in order.
class SegmentCursor {
public:
    explicit SegmentCursor(std::shared_ptr<SegmentReader> segment) : segment_(std::move(segment)) {}

    [[nodiscard]] const SegmentReader& segment() const { return *segment_; }
    // Looks up which blocks are wanted; before the first next().
    Status choose(const ReadScope& scope);
    // They are known, rising, and the disk was told of the first `hinted`.
    void choose(std::vector<std::uint32_t> blocks, std::size_t hinted) {
        chosen_ = std::move(blocks);
        hinted_ = hinted;
    }
    // Blocks as they are stored, from the one that holds seq on, as far as every record of them is
    // wanted and they lie within the limits. None: next() has to be asked.
    struct Limits {
        std::size_t bytes_max = 0;  // of stored bytes; about
        std::uint64_t records_max = 0;
        Seq end;
        std::optional<Time> until_time;
    };
    struct Stored {
        std::vector<StoredBlock> blocks;
        std::shared_ptr<const std::string> pin;  // of their bytes
    };
    [[nodiscard]] Result<Stored> stored(Seq seq, const Limits& limits);
    // Whether stored() would give any.
    [[nodiscard]] Result<bool> has_stored(Seq seq, const Limits& limits);
    struct Block {
        std::shared_ptr<const Frame> frame;  // null: none is left
        Seq last_seq;
    };
    // The first wanted block that holds a record with a seq >= seq. Seqs rise from call to call.
    [[nodiscard]] Result<Block> next(Seq seq);

private:
    // Where at least half of the records match, the topics of the others are looked at, so that
    // blocks without any can be passed on; not where there are more topics than this.
    static constexpr std::uint64_t kOtherTopicsMax = 65'536;

    // Goes to the first wanted block that reaches seq; false: there is none.
    [[nodiscard]] Result<bool> go_to(Seq seq);
    [[nodiscard]] bool goes_on(Seq seq) const { return expected_ != Seq{} && seq == expected_; }
    [[nodiscard]] bool passes(std::uint32_t block, const BlockInfo& info, Seq seq,
                              const Limits& limits) const;
    Status find_mixed(const FilterSet& set, std::uint64_t matching);
    // Blocks read together once a reader goes on from one block to the next.
    static constexpr std::uint32_t kReadAheadBlocks = 15;

    std::shared_ptr<SegmentReader> segment_;
    std::optional<std::vector<std::uint32_t>> chosen_;  // nullopt: all
    // Blocks that hold a record that does not match, beside settings; nullopt: any may.
    std::optional<std::vector<std::uint32_t>> mixed_;
    std::shared_ptr<const std::string> dictionary_;  // once a stored block needs it
    std::size_t chosen_at_ = 0;
    std::size_t hinted_ =
        0;  // so many of chosen_ the disk was told of; 0: of none, nor shall it be
    std::uint32_t block_ = 0;
    Seq expected_;  // the seq behind the last block that was given; 0: none was
};

// Ends a reader of a WAL file, and counts it out.
struct CountedClose {
    std::atomic<std::size_t>* open = nullptr;
    void operator()(WalFrameReader* reader) const {
        std::default_delete<WalFrameReader>()(reader);
        --*open;
    }
};

class FrameSource {
public:
    // So many may keep a file of the WAL open from one step to the next, with what they have read
    // ahead (up to 256 KiB and a frame).
    static constexpr std::size_t kOpenReadersMax = 64;

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
    // As SegmentCursor has them; none where seq does not lie in a segment.
    [[nodiscard]] Result<SegmentCursor::Stored> stored(Seq seq, const ReadScope& scope,
                                                       const SegmentCursor::Limits& limits);
    [[nodiscard]] Result<bool> has_stored(Seq seq, const ReadScope& scope,
                                          const SegmentCursor::Limits& limits);
    [[nodiscard]] bool in_memory(Seq seq) const;
    // Between two steps. False: too many readers keep a file open, so this one has closed its own
    // and finds its place again at the next step; what it gave should not be kept either.
    [[nodiscard]] bool keep_open();
    // Until the next question no file is kept open. What it gave may be kept.
    void close();

private:
    // False: no segment holds seq.
    [[nodiscard]] Result<bool> enter_segment(Seq seq, const ReadScope* scope);
    Status open_file(WalPosition position);
    Status open_disk(Seq seq, const ReadScope* scope, Found& found);
    Result<Found> from_segment(Seq seq);
    Result<Found> from_wal(Seq seq);
    // For a scope that names entities.
    Result<Found> find_entities(Seq seq, const ReadScope& scope);
    Status look_up(Seq seq, const ReadScope& scope);
    Result<std::optional<Found>> from_stretch(Seq seq);

    LogId log_;
    Wal& wal_;
    const FileCatalog& catalog_;
    const LiveTail& tail_;
    std::optional<SegmentCursor> segment_;
    std::unique_ptr<WalFrameReader, CountedClose> disk_;
    Seq disk_next_;  // the seq behind the last frame that disk_ gave
    // Where the entities' records lie in what is not sealed.
    std::optional<FileCatalog::EntityPlaces> places_;
    std::size_t place_ = 0;
    EntityTrail trail_;
};

}  // namespace klog

#endif  // KLOG_LOG_FRAME_SOURCE_H
