#include "log/newest_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "log/log_reader.h"
#include "segment/record_hash.h"
#include "topic/topic.h"

namespace klog {
namespace {

// One step of a pass, and of marking.
constexpr std::size_t kStepBytes = 2U << 20U;
constexpr std::size_t kStepRecords = 16'384;
constexpr std::size_t kStepSlots = 256 * 1024;

// So many seqs that are not wanted are read through rather than sought behind.
constexpr std::uint64_t kNearSeqs = 1024;

// Where others have the rest of the memory, a table of this part of it will do.
constexpr std::uint64_t kEnoughPart = 128;

Error memory_taken() {
    return Error{Code::backpressure,
                 "other reads of the newest record of each key have all the memory that there is "
                 "for them",
                 "try again later, or narrow the filters"};
}

}  // namespace

NewestReader::NewestReader(Open open, FrameSource source, const LiveTail& tail,
                           const HashKey& hash_key, ByteBudget& budget, const Range& range)
    : open_(std::move(open)),
      source_(std::move(source)),
      tail_(tail),
      hash_key_(hash_key),
      table_bytes_enough_(budget.bytes_max() / kEnoughPart),
      range_(range),
      read_to_(range.after),
      table_share_(budget, budget.bytes_max() / 8 * 3),
      marks_share_(budget, budget.bytes_max() / 4),
      table_(table_share_) {
    if (range_.after >= range_.pinned) {
        end_showing();
        return;
    }
    marks_.emplace(range_.after, range_.pinned, marks_share_);
    table_.begin(0, ~0ULL);
    begin_pass();
}

bool NewestReader::ready_in_memory() {
    if (phase_ == Phase::follow) return pass_->ready_in_memory();
    return phase_ == Phase::end;
}

void NewestReader::begin_pass() {
    pass_ = open_(range_.after, false);
    phase_ = Phase::look;
}

Status NewestReader::mark(Seq seq) {
    if (marks_->add(seq)) return {};
    if (!marks_share_.at_limit()) return memory_taken();
    return Error{Code::too_many,
                 "more records are the newest of their key than one read can note in " +
                     std::to_string(marks_share_.bytes_max() >> 10U) + " KiB",
                 "narrower filters, or a start further on"};
}

Status NewestReader::note(const RecordView& record) {
    if (!record.has_key) return table_.first() == 0 ? mark(record.seq) : Status();
    const Hash128 entity = entity_hash(hash_key_, space_of(record.topic), record.key);
    while (table_.put(entity, record.seq) == NewestTable::Put::full) {
        if (table_.bytes() < table_bytes_enough_ || table_.last() == table_.first()) {
            return memory_taken();
        }
        table_.halve();
    }
    return {};
}

Status NewestReader::look() {
    KLOG_TRY_ASSIGN(const ReadChunk chunk, pass_->read(kStepBytes, kStepRecords));
    for (const RecordView& record : chunk.records) KLOG_TRY(note(record));
    if (!chunk.end) return {};
    pass_.reset();
    marked_slots_ = 0;
    phase_ = Phase::mark;
    return {};
}

Status NewestReader::mark_some() {
    const std::size_t to = std::min(table_.slots(), marked_slots_ + kStepSlots);
    for (; marked_slots_ < to; ++marked_slots_) {
        const Seq seq = table_.seq_in(marked_slots_);
        if (seq != Seq{}) KLOG_TRY(mark(seq));
    }
    if (marked_slots_ < table_.slots()) return {};
    if (table_.last() == ~0ULL) {
        begin_showing();
    } else {
        next_interval();
        begin_pass();
    }
    return {};
}

// As wide as the last one showed that fits; halving corrects what was too much.
void NewestReader::next_interval() {
    const std::uint64_t first = table_.last() + 1;
    const double width = static_cast<double>(table_.last() - table_.first());
    const double fits = 0.95 * static_cast<double>(table_.room()) /
                        static_cast<double>(std::max<std::uint64_t>(table_.entities(), 1));
    const double wanted = width * fits;
    const std::uint64_t left = ~0ULL - first;
    const bool all = wanted >= static_cast<double>(left);
    table_.begin(first, all ? ~0ULL : first + static_cast<std::uint64_t>(wanted));
}

void NewestReader::begin_showing() {
    table_.release();
    if (range_.last != ~0ULL) marks_->keep_last(range_.last);
    phase_ = Phase::show;
}

Status NewestReader::open_frame(Seq seq, std::size_t& looked_at) {
    // Frame by frame where the next one is near, so that the disk is read in one go.
    const Seq behind{frame_last_.value + 1};
    if (frame_last_ != Seq{} && seq.value - behind.value <= kNearSeqs) seq = behind;
    KLOG_TRY_ASSIGN(FrameSource::Found found, source_.find(seq, nullptr));
    if (!found.frame) {  // what policy removed meanwhile
        frame_last_ = found.skipped_to;
        return {};
    }
    frame_ = std::move(found.frame);
    frame_last_ = found.last_seq;
    const FrameHeader& header = frame_->header;
    decoder_.emplace(frame_->payload(), header.first_seq, header.base_time, header.count);
    looked_at += frame_->bytes.size();
    return {};
}

Result<bool> NewestReader::show_frame(ChunkFiller& filler) {
    for (;;) {
        RecordView record;
        if (held_) {
            record = *std::exchange(held_, std::nullopt);
        } else {
            KLOG_TRY_ASSIGN(const bool more, decoder_->next(record));
            if (!more) break;
            if (record.seq <= read_to_ || record.seq > range_.pinned) continue;
            if (!marks_->has(record.seq)) continue;
        }
        if (!filler.add(record, frame_)) {
            held_ = record;
            return false;
        }
        read_to_ = record.seq;
    }
    read_to_ = std::min(std::max(read_to_, frame_last_), range_.pinned);
    marks_->drop_before(read_to_);
    frame_.reset();
    decoder_.reset();
    return true;
}

Status NewestReader::show(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max) {
    std::size_t looked_at = 0;
    ChunkFiller filler(chunk, bytes_max, records_max);
    while (looked_at < LogReader::kScanBytes) {
        if (!frame_) {
            const std::optional<Seq> next = marks_->next(Seq{read_to_.value + 1});
            if (!next) {
                end_showing();
                return {};
            }
            read_to_ = Seq{next->value - 1};
            Status opened = open_frame(*next, looked_at);
            // What was found before it is given first; the next call meets the error again.
            if (!opened) return filler.empty() ? opened : Status();
            if (!frame_) read_to_ = std::max(read_to_, std::min(frame_last_, range_.pinned));
            continue;
        }
        KLOG_TRY_ASSIGN(const bool room, show_frame(filler));
        if (!room || filler.full()) return {};
    }
    return {};
}

void NewestReader::end_showing() {
    read_to_ = std::max(range_.after, range_.pinned);
    marks_.reset();
    source_.close();
    phase_ = Phase::end;
    if (!range_.follow) return;
    pass_ = open_(read_to_, true);
    phase_ = Phase::follow;
}

Result<ReadChunk> NewestReader::read(std::size_t bytes_max, std::size_t records_max) {
    if (phase_ == Phase::follow) return pass_->read(bytes_max, records_max);
    ReadChunk chunk;
    if (phase_ == Phase::look) {
        KLOG_TRY(look());
    } else if (phase_ == Phase::mark) {
        KLOG_TRY(mark_some());
    } else if (phase_ == Phase::show) {
        KLOG_TRY(show(chunk, bytes_max, std::max<std::size_t>(records_max, 1)));
        if (!source_.keep_open()) {
            frame_.reset();
            decoder_.reset();
            held_.reset();
        }
    }
    chunk.read_to = read_to_;
    chunk.head = tail_.head();
    chunk.end = phase_ == Phase::end;
    return chunk;
}

void NewestReader::on_ready(std::function<void()> wake) {
    if (phase_ == Phase::follow) return pass_->on_ready(std::move(wake));
    if (wake) wake();
}

}  // namespace klog
