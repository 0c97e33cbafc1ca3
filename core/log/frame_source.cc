#include "log/frame_source.h"

#include <algorithm>
#include <string>
#include <utility>

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
        KLOG_TRY_ASSIGN(chosen_, segment_->blocks_of(*scope.set));
    }
    return {};
}

Result<SegmentCursor::Block> SegmentCursor::next(Seq seq) {
    const bool goes_on = expected_ != Seq{} && seq == expected_;
    if (!goes_on && seq <= segment_->stats().held.first) {
        block_ = 0;
    } else if (!goes_on) {
        KLOG_TRY_ASSIGN(block_, segment_->find_block(seq));
    }
    std::uint32_t ahead = goes_on ? kReadAheadBlocks : 0;
    if (chosen_) {
        const auto from = chosen_->begin() + static_cast<std::ptrdiff_t>(chosen_at_);
        const auto at = std::lower_bound(goes_on ? from : chosen_->begin(), chosen_->end(), block_);
        chosen_at_ = static_cast<std::size_t>(at - chosen_->begin());
        if (at == chosen_->end()) return Block{};
        block_ = *at;
        if (chosen_at_ >= hinted_ && chosen_->size() - chosen_at_ > 1) {
            const auto ahead_of = std::span(*chosen_).subspan(chosen_at_);
            segment_->will_read_infos(ahead_of);
            segment_->will_read(ahead_of);
            hinted_ = chosen_at_ + SegmentReader::kWillReadBlocks;
        }
        // Only what is wanted without a gap is read together.
        std::uint32_t run = 0;
        while (run < ahead && chosen_at_ + run + 1 < chosen_->size() &&
               (*chosen_)[chosen_at_ + run + 1] == block_ + run + 1) {
            ++run;
        }
        ahead = run;
    }
    if (block_ >= segment_->blocks()) return Block{};
    KLOG_TRY_ASSIGN(const BlockInfo info, segment_->block_info(block_));
    Block found;
    KLOG_TRY_ASSIGN(found.frame, segment_->block(block_, ahead));
    found.last_seq = info.held.last;
    expected_ = Seq{info.held.last.value + 1};
    ++block_;
    return found;
}

FrameSource::FrameSource(LogId log, Wal& wal, const FileCatalog& catalog, const LiveTail& tail)
    : log_(log), wal_(wal), catalog_(catalog), tail_(tail) {}

bool FrameSource::in_memory(Seq seq) const { return tail_.frame_of(seq) != nullptr; }

// Leaves an open segment or an open WAL file, or says in `found` how far nothing can match.
Status FrameSource::open_disk(Seq seq, const ReadScope* scope, Found& found) {
    segment_.reset();
    disk_.reset();
    for (int tries = 1;; ++tries) {
        if (auto segment = catalog_.segments().find(log_, seq)) {
            segment_.emplace(std::move(segment));
            return scope != nullptr ? segment_->choose(*scope) : Status{};
        }
        const std::optional<FileCatalog::Place> place = catalog_.find(log_, seq);
        // Behind seq: its own file has just been sealed.
        if (!place || place->first_seq > seq) {
            if (tries == kTriesMax) return missing(seq);
            continue;
        }
        if (scope != nullptr && scope->set != nullptr && place->closed &&
            !catalog_.may_match(place->position.wal_id, log_, *scope->set)) {
            found.skipped_to = place->last_seq;
            return {};
        }
        auto opened = wal_.open_file(place->position.wal_id, place->position.offset);
        if (opened.ok()) {
            disk_ = std::move(opened).value();
            disk_next_ = seq;
            return {};
        }
        if (tries == kTriesMax || catalog_.segments().find(log_, seq) == nullptr) {
            return std::move(opened).error();
        }
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
        KLOG_TRY_ASSIGN(std::shared_ptr<const Frame> frame, disk_->next());
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

Result<std::optional<EntityTrail::Part>> EntityTrail::take(const SegmentCatalog& segments,
                                                           LogId log, Seq seq,
                                                           const std::vector<Hash128>& entities) {
    while (next_ < parts_.size() && parts_[next_].segment->stats().covered.last < seq) ++next_;
    if (next_ == parts_.size() || !parts_[next_].segment->stats().covered.contains(seq)) {
        const auto list = segments.list(log);
        const auto at = std::lower_bound(
            list->begin(), list->end(), seq,
            [](const auto& segment, Seq wanted) { return segment.entry.covered.last < wanted; });
        if (at == list->end() || at->entry.covered.first > seq) return std::optional<Part>();
        KLOG_TRY(look_up(*list, static_cast<std::size_t>(at - list->begin()), entities));
    }
    return std::optional<Part>(std::move(parts_[next_++]));
}

Status EntityTrail::look_up(const SegmentCatalog::List& list, std::size_t from,
                            const std::vector<Hash128>& entities) {
    parts_.clear();
    next_ = 0;
    const std::size_t to = std::min(from + kSegments, list.size());
    // Each step names what the next one reads, for all segments, before any of it is read.
    for (std::size_t i = from; i < to; ++i) list[i].reader->will_look_up();
    for (std::size_t i = from; i < to; ++i) KLOG_TRY(list[i].reader->will_look_up(entities));
    std::vector<Part> parts;
    for (std::size_t i = from; i < to; ++i) {
        Part part{list[i].reader, {}};
        for (const Hash128& entity : entities) {
            KLOG_TRY_ASSIGN(const std::vector<std::uint32_t> blocks,
                            part.segment->blocks_of_entity(entity));
            part.blocks.insert(part.blocks.end(), blocks.begin(), blocks.end());
        }
        std::sort(part.blocks.begin(), part.blocks.end());
        part.blocks.erase(std::unique(part.blocks.begin(), part.blocks.end()), part.blocks.end());
        parts.push_back(std::move(part));
    }
    for (const Part& part : parts) part.segment->will_read_infos(part.blocks);
    for (const Part& part : parts) part.segment->will_read(part.blocks);
    parts_ = std::move(parts);
    return {};
}

// Leaves an open segment, or the places of the entities in what is not sealed.
Status FrameSource::look_up(Seq seq, const std::vector<Hash128>& entities) {
    segment_.reset();
    disk_.reset();
    places_.reset();
    for (int tries = 1;; ++tries) {
        KLOG_TRY_ASSIGN(std::optional<EntityTrail::Part> part,
                        trail_.take(catalog_.segments(), log_, seq, entities));
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
        auto opened = wal_.open_file(place.wal_id, place.stretch.offset);
        if (!opened.ok()) {
            if (catalog_.segments().find(log_, wanted) != nullptr) return std::optional<Found>();
            return std::move(opened).error();
        }
        disk_ = std::move(opened).value();
    }
    KLOG_TRY_ASSIGN(Found found, from_wal(wanted));
    if (!found.frame) return missing(wanted);
    return std::optional<Found>(std::move(found));
}

Result<FrameSource::Found> FrameSource::find_entities(Seq seq,
                                                      const std::vector<Hash128>& entities) {
    for (;;) {
        if (segment_ && segment_->segment().stats().covered.contains(seq)) return from_segment(seq);
        if (places_ && seq <= places_->upto) {
            KLOG_TRY_ASSIGN(std::optional<Found> found, from_stretch(seq));
            if (found) return *std::move(found);
        }
        KLOG_TRY(look_up(seq, entities));
    }
}

Result<FrameSource::Found> FrameSource::find(Seq seq, const ReadScope* scope) {
    if (scope != nullptr && scope->entities) {
        // Whoever finds the next record in memory may be an io thread: it goes on there, frame by
        // frame, since a look-up may wait for the disk.
        const bool looked_up = places_ && seq <= places_->upto;
        if (looked_up || !in_memory(seq)) return find_entities(seq, *scope->entities);
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
