#include "log/frame_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "log/holes.h"
#include "segment/segment_format.h"

namespace klog {
namespace {

// A file that is sealed between the look-up and its opening is found as a segment at the next try.
constexpr int kTriesMax = 4;

Error missing(Seq seq) {
    return Error{Code::corrupt, "no file of the log holds seq " + std::to_string(seq.value),
                 "restore the data directory from a copy"};
}

}  // namespace

Status SegmentCursor::choose(const ReadScope& scope) {
    if (scope.set != nullptr && !scope.set->all()) {
        KLOG_TRY_ASSIGN(SegmentReader::TopicBlocks found, segment_->blocks_of(*scope.set));
        chosen_ = std::move(found.blocks);
        if (scope.stored_blocks) return find_mixed(*scope.set, found.records);
    } else {
        mixed_.emplace();
    }
    return {};
}

Status SegmentCursor::find_mixed(const FilterSet& set, std::uint64_t matching) {
    const std::uint64_t records = segment_->stats().records;
    if (matching == records) {
        mixed_.emplace();
    } else if (matching >= records / 2 && segment_->topics() <= kOtherTopicsMax) {
        KLOG_TRY_ASSIGN(mixed_, segment_->blocks_of_others(set));
    }
    return {};
}

// A block without a record that does not match holds one that does, so it need not be looked for
// among the chosen ones.
bool SegmentCursor::passes(std::uint32_t block, const BlockInfo& info, Seq seq,
                           const Limits& limits) const {
    if (info.held.first < seq || info.held.last > limits.end) return false;
    if (limits.until_time && info.last_time > *limits.until_time) return false;
    if (info.count > limits.records_max) return false;
    if ((info.flags & BlockInfo::kReservedTopics) != 0) return false;
    return !std::binary_search(mixed_->begin(), mixed_->end(), block);
}

Result<bool> SegmentCursor::go_to(Seq seq) {
    const bool on = goes_on(seq);
    if (!on && hinted_ > 0 && seq <= segment_->stats().held.first) {
        block_ = 0;
    } else if (!on) {
        KLOG_TRY_ASSIGN(block_, segment_->find_block(seq));
    }
    if (chosen_) {
        const auto from = chosen_->begin() + static_cast<std::ptrdiff_t>(chosen_at_);
        const auto at = std::lower_bound(on ? from : chosen_->begin(), chosen_->end(), block_);
        chosen_at_ = static_cast<std::size_t>(at - chosen_->begin());
        if (at == chosen_->end()) return false;
        block_ = *at;
        if (hinted_ > 0 && chosen_at_ >= hinted_) {
            const auto ahead_of = std::span(*chosen_).subspan(chosen_at_);
            segment_->will_read_infos(ahead_of);
            segment_->will_read(ahead_of);
            hinted_ = chosen_at_ + SegmentReader::kWillReadBlocks;
        }
    }
    return block_ < segment_->blocks();
}

Result<SegmentCursor::Block> SegmentCursor::next(Seq seq) {
    std::uint32_t ahead = goes_on(seq) ? kReadAheadBlocks : 0;
    KLOG_TRY_ASSIGN(const bool found_one, go_to(seq));
    if (!found_one) return Block{};
    if (chosen_) {
        // Only what is wanted without a gap is read together.
        std::uint32_t run = 0;
        while (run < ahead && chosen_at_ + run + 1 < chosen_->size() &&
               (*chosen_)[chosen_at_ + run + 1] == block_ + run + 1) {
            ++run;
        }
        ahead = run;
    }
    KLOG_TRY_ASSIGN(const BlockInfo info, segment_->block_info(block_));
    Block found;
    KLOG_TRY_ASSIGN(found.frame, segment_->block(block_, ahead));
    found.last_seq = info.held.last;
    expected_ = Seq{info.held.last.value + 1};
    ++block_;
    return found;
}

Result<bool> SegmentCursor::has_stored(Seq seq, const Limits& limits) {
    if (!mixed_) return false;
    KLOG_TRY_ASSIGN(const bool found_one, go_to(seq));
    if (!found_one) return false;
    KLOG_TRY_ASSIGN(const BlockInfo info, segment_->block_info(block_));
    return passes(block_, info, seq, limits);
}

Result<SegmentCursor::Stored> SegmentCursor::stored(Seq seq, const Limits& limits) {
    Stored stored;
    if (!mixed_) return stored;
    KLOG_TRY_ASSIGN(const bool found_one, go_to(seq));
    if (!found_one) return stored;
    Limits left = limits;
    const auto wanted = [&](std::uint32_t block, const BlockInfo& info) {
        if (!passes(block, info, seq, left)) return false;
        left.records_max -= info.count;
        return true;
    };
    KLOG_TRY_ASSIGN(const SegmentReader::StoredRun run,
                    segment_->stored_run(block_, limits.bytes_max, wanted));
    std::size_t at = 0;
    for (const BlockInfo& info : run.blocks) {
        StoredBlock block;
        block.codec = info.codec;
        block.bytes = std::string_view(*run.bytes).substr(at, info.stored_bytes);
        block.payload_bytes = info.payload_bytes;
        block.count = info.count;
        block.first_seq = info.held.first;
        block.base_time = info.first_time;
        block.last_seq = info.held.last;
        if (info.codec == static_cast<std::uint8_t>(SegmentCodec::zstd_dictionary)) {
            if (dictionary_ == nullptr) {
                KLOG_TRY_ASSIGN(std::string bytes, segment_->dictionary());
                dictionary_ = std::make_shared<const std::string>(std::move(bytes));
            }
            block.dictionary = dictionary_;
        }
        at += info.stored_bytes;
        expected_ = Seq{info.held.last.value + 1};
        ++block_;
        stored.blocks.push_back(std::move(block));
    }
    stored.pin = run.bytes;
    return stored;
}

FrameSource::FrameSource(LogId log, Wal& wal, const FileCatalog& catalog, const LiveTail& tail)
    : log_(log), wal_(wal), catalog_(catalog), tail_(tail) {}

Result<bool> FrameSource::enter_segment(Seq seq, const ReadScope* scope) {
    if (segment_ && segment_->segment().stats().covered.contains(seq)) return true;
    segment_.reset();
    auto segment = catalog_.segments().find(log_, seq);
    if (segment == nullptr) return false;
    disk_.reset();
    SegmentCursor cursor(std::move(segment));
    if (scope != nullptr) KLOG_TRY(cursor.choose(*scope));
    segment_ = std::move(cursor);
    return true;
}

Result<bool> FrameSource::has_stored(Seq seq, const ReadScope& scope,
                                     const SegmentCursor::Limits& limits) {
    if (scope.entities || in_memory(seq)) return false;
    KLOG_TRY_ASSIGN(const bool entered, enter_segment(seq, &scope));
    if (!entered) return false;
    return segment_->has_stored(seq, limits);
}

Result<SegmentCursor::Stored> FrameSource::stored(Seq seq, const ReadScope& scope,
                                                  const SegmentCursor::Limits& limits) {
    if (scope.entities || in_memory(seq)) return SegmentCursor::Stored{};
    KLOG_TRY_ASSIGN(const bool entered, enter_segment(seq, &scope));
    if (!entered) return SegmentCursor::Stored{};
    return segment_->stored(seq, limits);
}

bool FrameSource::in_memory(Seq seq) const { return tail_.frame_of(seq) != nullptr; }

bool FrameSource::keep_open() {
    if (!disk_ || catalog_.open_readers() <= kOpenReadersMax) return true;
    disk_.reset();
    return false;
}

void FrameSource::close() {
    disk_.reset();
    segment_.reset();
}

Status FrameSource::open_file(WalPosition position) {
    disk_.reset();
    KLOG_TRY_ASSIGN(auto opened, wal_.open_file(position.wal_id, position.offset));
    std::atomic<std::size_t>& open = catalog_.open_readers();
    ++open;
    disk_ = {opened.release(), CountedClose{&open}};
    return {};
}

// Leaves an open segment or an open WAL file, or says in `found` how far nothing can match.
Status FrameSource::open_disk(Seq seq, const ReadScope* scope, Found& found) {
    segment_.reset();
    disk_.reset();
    for (int tries = 1;; ++tries) {
        KLOG_TRY_ASSIGN(const bool entered, enter_segment(seq, scope));
        if (entered) return {};
        const std::optional<FileCatalog::Place> place = catalog_.find(log_, seq);
        // Behind seq: its own file has just been sealed.
        if (!place || place->first_seq > seq) {
            if (const Hole* hole = catalog_.hole_at(log_, seq)) return hole_error(*hole);
            if (tries == kTriesMax) return missing(seq);
            continue;
        }
        if (scope != nullptr && scope->set != nullptr && place->closed &&
            !catalog_.may_match(place->position.wal_id, log_, *scope->set)) {
            found.skipped_to = place->last_seq;
            return {};
        }
        Status opened = open_file(place->position);
        if (opened) {
            disk_next_ = seq;
            return {};
        }
        if (tries == kTriesMax || catalog_.segments().find(log_, seq) == nullptr) return opened;
    }
}

Result<FrameSource::Found> FrameSource::from_segment(Seq seq) {
    Found found;
    KLOG_TRY_ASSIGN(SegmentCursor::Block block, segment_->next(seq));
    if (!block.frame) {
        found.skipped_to = segment_->segment().stats().covered.last;
        segment_.reset();
        return found;
    }
    found.frame = std::move(block.frame);
    found.last_seq = block.last_seq;
    return found;
}

// A null frame without skipped_to: the file ended.
Result<FrameSource::Found> FrameSource::from_wal(Seq seq) {
    for (;;) {
        auto next = disk_->next();
        if (!next.ok()) {
            const Hole* hole = catalog_.hole_at(log_, seq);
            return hole != nullptr ? hole_error(*hole) : std::move(next).error();
        }
        std::shared_ptr<const Frame> frame = std::move(next).value();
        if (!frame) {
            disk_.reset();
            return Found{};
        }
        const FrameHeader& header = frame->header;
        if (header.log_id != log_ || header.count == 0) continue;
        const Seq behind{header.first_seq.value + header.count};
        if (behind <= seq) continue;
        disk_next_ = behind;
        return Found{std::move(frame), {}, Seq{behind.value - 1}};
    }
}

// Leaves an open segment, or the places of the entities in what is not sealed.
Status FrameSource::look_up(Seq seq, const ReadScope& scope) {
    const std::vector<Hash128>& entities = *scope.entities;
    segment_.reset();
    disk_.reset();
    places_.reset();
    for (int tries = 1;; ++tries) {
        KLOG_TRY_ASSIGN(std::optional<EntityTrail::Part> part,
                        trail_.take(catalog_.segments(), log_, seq, scope.end, entities));
        if (part) {
            segment_.emplace(std::move(part->segment));
            segment_->choose(std::move(part->blocks), SegmentReader::kWillReadBlocks);
            return {};
        }
        places_ = catalog_.find(log_, seq, entities);
        place_ = 0;
        if (places_ && places_->first_seq <= seq) return {};
        // Its file has just been sealed.
        if (tries == kTriesMax) return missing(seq);
    }
}

// nullopt: the file is not there any more, since it was sealed.
Result<std::optional<FrameSource::Found>> FrameSource::from_stretch(Seq seq) {
    const auto& stretches = places_->stretches;
    const std::size_t before = place_;
    while (place_ < stretches.size() && stretches[place_].stretch.last_seq < seq) ++place_;
    if (place_ != before) disk_.reset();
    if (place_ == stretches.size()) {
        Found found;
        found.skipped_to = places_->upto;
        places_.reset();
        return std::optional<Found>(std::move(found));
    }
    const FileCatalog::FileStretch& place = stretches[place_];
    const Seq wanted = std::max(seq, place.stretch.first_seq);
    if (auto frame = tail_.frame_of(wanted)) {
        disk_.reset();
        const FrameHeader& header = frame->header;
        return std::optional<Found>(
            Found{std::move(frame), {}, Seq{header.first_seq.value + header.count - 1}});
    }
    if (!disk_ || disk_next_ != wanted) {
        Status opened = open_file(WalPosition{place.wal_id, place.stretch.offset});
        if (!opened) {
            if (catalog_.segments().find(log_, wanted) != nullptr) return std::optional<Found>();
            return std::move(opened).error();
        }
    }
    KLOG_TRY_ASSIGN(Found found, from_wal(wanted));
    if (!found.frame) return missing(wanted);
    return std::optional<Found>(std::move(found));
}

Result<FrameSource::Found> FrameSource::find_entities(Seq seq, const ReadScope& scope) {
    for (;;) {
        if (segment_ && segment_->segment().stats().covered.contains(seq)) return from_segment(seq);
        if (places_ && seq <= places_->upto) {
            KLOG_TRY_ASSIGN(std::optional<Found> found, from_stretch(seq));
            if (found) return *std::move(found);
        }
        KLOG_TRY(look_up(seq, scope));
    }
}

Result<FrameSource::Found> FrameSource::find(Seq seq, const ReadScope* scope) {
    // Where there are holes every seq is asked for, so that none is passed over unseen.
    if (scope != nullptr && scope->entities && !catalog_.has_holes()) {
        // Whoever finds the next record in memory may be an io thread: it goes on there, frame by
        // frame, since a look-up may wait for the disk.
        const bool looked_up = places_ && seq <= places_->upto;
        if (looked_up || !in_memory(seq)) return find_entities(seq, *scope);
    }
    if (auto frame = tail_.frame_of(seq)) {
        segment_.reset();
        disk_.reset();
        const FrameHeader& header = frame->header;
        return Found{std::move(frame), {}, Seq{header.first_seq.value + header.count - 1}};
    }
    if (segment_ && segment_->segment().stats().covered.contains(seq)) return from_segment(seq);
    if (disk_ && disk_next_ == seq) {
        KLOG_TRY_ASSIGN(Found found, from_wal(seq));
        if (found.frame) return found;
        // The end of that file, as it was when it was opened.
    }
    Found found;
    KLOG_TRY(open_disk(seq, scope, found));
    if (found.skipped_to != Seq{}) return found;
    if (segment_) return from_segment(seq);
    KLOG_TRY_ASSIGN(found, from_wal(seq));
    if (found.frame) return found;
    return Error{Code::corrupt, "seq " + std::to_string(seq.value) + " is missing",
                 "klog reads on behind it with --after"};
}

}  // namespace klog
