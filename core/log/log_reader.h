// A cursor over one log: from memory where the newest frames are, else from the disk; a
// follower that has caught up is handed what matches.
#ifndef KLOG_LOG_LOG_READER_H
#define KLOG_LOG_LOG_READER_H

#include <memory>
#include <optional>
#include <string>

#include "klog/log.h"
#include "log/chunk_filler.h"
#include "log/frame_source.h"
#include "log/live_tail.h"
#include "segment/record_codec.h"
#include "topic/filter.h"

namespace klog {

class LogReader final : public Reader {
public:
    struct Range {
        Seq after;
        Seq end;  // the last seq, unless it follows without an until
        bool follow = false;
        std::optional<Time> until_time;
        bool stored_blocks = false;  // as ReadOptions has it
    };
    // hash_key: the store's, to look the key up in segments.
    LogReader(FrameSource source, LiveTail& tail, FilterSet set, std::optional<std::string> key,
              const HashKey& hash_key, const Range& range);
    ~LogReader() override;
    LogReader(const LogReader&) = delete;
    LogReader& operator=(const LogReader&) = delete;

    bool ready_in_memory() override;
    Result<ReadChunk> read(std::size_t bytes_max, std::size_t records_max) override;
    void on_ready(std::function<void()> wake) override;
    Seq begin_after() const override { return range_.after; }
    Seq end_at() const override { return range_.end; }

    // How much one read() looks at before it returns, found or not. Unit: bytes.
    static constexpr std::size_t kScanBytes = 2U << 20U;

private:
    [[nodiscard]] bool matches(const RecordView& record);
    Status scan(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max);
    Result<bool> next_record(RecordView& record);
    Result<bool> scan_frame(ChunkFiller& filler);
    Status open_frame(std::size_t& looked_at);
    // True: this chunk ends here, at blocks that can be passed on. False: the next records have to
    // be unpacked.
    Result<bool> take_stored(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max);
    void take_live(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max);
    [[nodiscard]] bool at_end() const { return read_to_ >= range_.end || ended_; }

    FrameSource source_;
    LiveTail& tail_;
    FilterSet set_;
    std::optional<std::string> key_;
    ReadScope scope_;  // points to set_
    Range range_;
    Seq read_to_;
    bool ended_ = false;  // until_time was met

    std::shared_ptr<const Frame> frame_;  // being decoded
    Seq frame_last_;
    std::optional<RecordDecoder> decoder_;
    std::optional<RecordView> held_;    // decoded, but the chunk was full
    const char* last_topic_ = nullptr;  // within frame_
    std::size_t last_topic_size_ = 0;
    bool last_match_ = false;

    std::shared_ptr<WakeCell> cell_;
    std::optional<std::uint64_t> follower_;
};

}  // namespace klog

#endif  // KLOG_LOG_LOG_READER_H
