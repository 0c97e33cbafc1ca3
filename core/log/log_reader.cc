#include "log/log_reader.h"

#include <algorithm>

#include "segment/record_hash.h"

namespace klog {

namespace {

// What passing over a file or a segment counts as, of what one step looks at: a whole index is
// read, or a page of it. Unit: bytes.
constexpr std::size_t kIndexBytes = 64 * 1024;
constexpr std::size_t kLookUpBytes = 4 * 1024;

// The entities that a key names under these filters, where each filter names its space.
std::optional<std::vector<Hash128>> entities_of(const FilterSet& set, const std::string& key,
                                                const HashKey& hash_key) {
    std::vector<Hash128> entities;
    for (const Filter& filter : set.filters()) {
        const std::string_view text = filter.text();
        const std::string_view space = text.substr(0, text.find('/'));
        if (space.find_first_of("*#>") != std::string_view::npos) return std::nullopt;
        entities.push_back(entity_hash(hash_key, space, key));
    }
    if (entities.empty()) return std::nullopt;
    std::sort(entities.begin(), entities.end());
    entities.erase(std::unique(entities.begin(), entities.end()), entities.end());
    return entities;
}

}  // namespace

LogReader::LogReader(FrameSource source, LiveTail& tail, FilterSet set,
                     std::optional<std::string> key, const HashKey& hash_key, const Range& range)
    : source_(std::move(source)),
      tail_(tail),
      set_(std::move(set)),
      key_(std::move(key)),
      range_(range),
      read_to_(range.after),
      cell_(std::make_shared<WakeCell>()) {
    scope_.set = &set_;
    if (key_) scope_.entities = entities_of(set_, *key_, hash_key);
    scope_.stored_blocks = range_.stored_blocks && !key_;
    scope_.end = range_.end;
}

LogReader::~LogReader() {
    cell_->set(nullptr);
    if (follower_) tail_.unfollow(*follower_);
}

bool LogReader::ready_in_memory() {
    if (follower_ || at_end()) return true;
    // A step goes on behind the frame that is being decoded. The newest frames are in memory one
    // behind the other, so what follows on one of them is there as well.
    const Seq next{(frame_ ? frame_last_ : read_to_).value + 1};
    return next > tail_.head() || source_.in_memory(next);
}

bool LogReader::matches(const RecordView& record) {
    if (key_ && (!record.has_key || record.key != *key_)) return false;
    // Records of a frame share their topics' bytes.
    if (record.topic.data() == last_topic_ && record.topic.size() == last_topic_size_) {
        return last_match_;
    }
    last_topic_ = record.topic.data();
    last_topic_size_ = record.topic.size();
    last_match_ = set_.matches(record.topic);
    return last_match_;
}

Status LogReader::open_frame(std::size_t& looked_at) {
    const Seq next{read_to_.value + 1};
    KLOG_TRY_ASSIGN(FrameSource::Found found, source_.find(next, &scope_));
    if (!found.frame) {
        read_to_ = std::min(found.skipped_to, range_.end);
        looked_at += scope_.entities ? kLookUpBytes : kIndexBytes;
        return {};
    }
    frame_ = std::move(found.frame);
    frame_last_ = found.last_seq;
    const FrameHeader& header = frame_->header;
    decoder_.emplace(frame_->payload(), header.first_seq, header.base_time, header.count);
    last_topic_ = nullptr;
    looked_at += frame_->bytes.size();
    return {};
}

Result<bool> LogReader::next_record(RecordView& record) {
    // Any record can be the one that ends the read by its time.
    if (!key_ || range_.until_time) return decoder_->next(record);
    return decoder_->next_of_key(record, *key_);
}

// False: the chunk is full.
Result<bool> LogReader::scan_frame(ChunkFiller& filler) {
    for (;;) {
        RecordView record;
        if (held_) {
            record = *held_;
            held_.reset();
        } else {
            KLOG_TRY_ASSIGN(const bool more, next_record(record));
            if (!more) break;
            if (record.seq <= read_to_) continue;
        }
        if (record.seq > range_.end) {
            read_to_ = range_.end;
            return true;
        }
        if (range_.until_time && record.time > *range_.until_time) {
            ended_ = true;
            return true;
        }
        if (!matches(record)) {
            read_to_ = record.seq;
            continue;
        }
        if (!filler.add(record, frame_)) {
            held_ = record;
            return false;
        }
        read_to_ = record.seq;
    }
    // What policy removed behind the last record was looked at, too.
    read_to_ = std::min(std::max(read_to_, frame_last_), range_.end);
    frame_.reset();
    decoder_.reset();
    return true;
}

// Behind records that were unpacked they are left to the next call.
Result<bool> LogReader::take_stored(ReadChunk& chunk, std::size_t bytes_max,
                                    std::size_t records_max) {
    if (!scope_.stored_blocks) return false;
    const Seq next{read_to_.value + 1};
    SegmentCursor::Limits limits;
    limits.bytes_max = bytes_max;
    limits.records_max = records_max;
    limits.end = range_.end;
    limits.until_time = range_.until_time;
    if (!chunk.records.empty()) return source_.has_stored(next, scope_, limits);
    KLOG_TRY_ASSIGN(SegmentCursor::Stored stored, source_.stored(next, scope_, limits));
    if (stored.blocks.empty()) return false;
    read_to_ = stored.blocks.back().last_seq;
    chunk.blocks = std::move(stored.blocks);
    chunk.pins.push_back(std::move(stored.pin));
    return true;
}

Status LogReader::scan(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max) {
    std::size_t looked_at = 0;
    ChunkFiller filler(chunk, bytes_max, records_max);
    while (!at_end() && looked_at < kScanBytes) {
        if (!frame_) {
            if (read_to_ >= tail_.head()) return {};
            const auto stored = take_stored(chunk, bytes_max, records_max);
            Status found = stored.ok() ? Status() : stored.error();
            if (found.ok() && *stored) return {};
            if (found.ok()) found = open_frame(looked_at);
            if (found.ok()) continue;
            // What was found before it is given first; the next call meets the error again.
            return filler.empty() ? found : Status();
        }
        KLOG_TRY_ASSIGN(const bool room, scan_frame(filler));
        if (!room || filler.full()) return {};
    }
    return {};
}

void LogReader::take_live(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max) {
    LiveTail::Taken taken = tail_.take(*follower_, records_max, bytes_max);
    if (taken.fell_behind) {
        tail_.unfollow(*follower_);
        follower_.reset();
    }
    for (const LiveTail::Match& match : taken.matches) {
        const RecordView& record = match.record();
        if (record.seq > range_.end) break;
        if (range_.until_time && record.time > *range_.until_time) {
            ended_ = true;
            break;
        }
        chunk.records.push_back(record);
        if (chunk.pins.empty() || chunk.pins.back() != match.frame) {
            chunk.pins.push_back(match.frame);
        }
        read_to_ = record.seq;
    }
    if (!ended_) read_to_ = std::min(std::max(read_to_, taken.read_to), range_.end);
}

Result<ReadChunk> LogReader::read(std::size_t bytes_max, std::size_t records_max) {
    ReadChunk chunk;
    if (records_max == 0) records_max = 1;
    if (follower_) {
        take_live(chunk, bytes_max, records_max);
    } else if (!at_end()) {
        KLOG_TRY(scan(chunk, bytes_max, records_max));
        if (!source_.keep_open()) {
            frame_.reset();
            decoder_.reset();
            held_.reset();
        }
        if (range_.follow && !at_end() && !frame_) {
            follower_ = tail_.follow(set_, key_, read_to_, cell_);
            if (follower_) source_.close();
        }
    }
    chunk.read_to = read_to_;
    chunk.head = tail_.head();
    chunk.end = at_end();
    return chunk;
}

void LogReader::on_ready(std::function<void()> wake) {
    cell_->set(wake);
    if (!wake) return;
    const bool news =
        at_end() || frame_ || (follower_ ? tail_.has_news(*follower_) : read_to_ < tail_.head());
    if (news) cell_->run();
}

}  // namespace klog
