// Of what a read would give up to now, the newest record of each entity, in the order of seqs;
// then, for a follower, whatever comes.
//
// It looks through the range and notes where each entity was seen last, in as many passes as its
// memory asks for: each handles the entities whose hashes lie in an interval. At the end of a pass
// it marks what it noted, and after the last one gives the records that are marked. Records without
// a key have nothing newer that replaces them, and are all given.
#ifndef KLOG_LOG_NEWEST_READER_H
#define KLOG_LOG_NEWEST_READER_H

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "klog/log.h"
#include "log/byte_budget.h"
#include "log/chunk_filler.h"
#include "log/frame_source.h"
#include "log/newest_table.h"
#include "log/seq_set.h"
#include "segment/record_codec.h"

namespace klog {

class NewestReader final : public Reader {
public:
    struct Range {
        Seq after;
        Seq pinned;  // the newest of each entity is looked for up to here
        bool follow = false;
        std::uint64_t last = ~0ULL;  // of what would be given up to `pinned`, only so many
    };
    // A reader of what matches behind `after`: up to `pinned`; or, as a follower, on from there.
    using Open = std::function<std::unique_ptr<Reader>(Seq after, bool follow)>;

    NewestReader(Open open, FrameSource source, const LiveTail& tail, const HashKey& hash_key,
                 ByteBudget& budget, const Range& range);

    // It always says no until it follows, since a step takes a while.
    bool ready_in_memory() override;
    // Until the marks are complete it finds nothing, and read_to stays. Errors: also backpressure
    // (others have the memory) and too_many (there are more marks than may be).
    Result<ReadChunk> read(std::size_t bytes_max, std::size_t records_max) override;
    void on_ready(std::function<void()> wake) override;
    Seq begin_after() const override { return range_.after; }
    Seq end_at() const override { return range_.pinned; }

private:
    enum class Phase : std::uint8_t { look, mark, show, follow, end };

    Status look();
    Status note(const RecordView& record);
    Status mark(Seq seq);
    Status mark_some();
    void begin_pass();
    void next_interval();
    void begin_showing();
    Status show(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max);
    Status open_frame(Seq seq, std::size_t& looked_at);
    // False: the chunk is full.
    Result<bool> show_frame(ChunkFiller& filler);
    void end_showing();

    const Open open_;
    FrameSource source_;
    const LiveTail& tail_;
    const HashKey hash_key_;
    const std::uint64_t table_bytes_enough_;
    const Range range_;
    Phase phase_ = Phase::look;
    Seq read_to_;

    ByteShare table_share_;
    ByteShare marks_share_;
    NewestTable table_;
    std::optional<SeqSet> marks_;
    std::unique_ptr<Reader> pass_;  // once it follows: the follower
    std::size_t marked_slots_ = 0;

    std::shared_ptr<const Frame> frame_;  // being decoded
    Seq frame_last_;
    std::optional<RecordDecoder> decoder_;
    std::optional<RecordView> held_;  // decoded, but the chunk was full
};

}  // namespace klog

#endif  // KLOG_LOG_NEWEST_READER_H
