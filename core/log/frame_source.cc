#include "log/frame_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "log/holes.h"

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
    if (scope.entities) {
        std::vector<std::uint32_t> wanted;
        for (const Hash128& entity : *scope.entities) {
            KLOG_TRY_ASSIGN(const std::vector<std::uint32_t> blocks,
                            segment_->blocks_of_entity(entity));
            wanted.insert(wanted.end(), blocks.begin(), blocks.end());
        }
        std::sort(wanted.begin(), wanted.end());
        wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
        chosen_ = std::move(wanted);
    } else if (scope.set != nullptr && !scope.set->all()) {
        KLOG_TRY_ASSIGN(chosen_, segment_->blocks_of(*scope.set));
    }
    return {};
}

Result<SegmentCursor::Block> SegmentCursor::next(Seq seq) {
    const bool goes_on = expected_ != Seq{} && seq == expected_;
    if (!goes_on) {
        KLOG_TRY_ASSIGN(block_, segment_->find_block(seq));
    }
    std::uint32_t ahead = goes_on ? kReadAheadBlocks : 0;
    if (chosen_) {
        const auto from = chosen_->begin() + static_cast<std::ptrdiff_t>(chosen_at_);
        const auto at = std::lower_bound(goes_on ? from : chosen_->begin(), chosen_->end(), block_);
        chosen_at_ = static_cast<std::size_t>(at - chosen_->begin());
        if (at == chosen_->end()) return Block{};
        block_ = *at;
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
            if (const Hole* hole = catalog_.hole_at(log_, seq)) return hole_error(*hole);
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
Result<FrameSource::Found> FrameSource::from_wal(Seq seq, const ReadScope* /*scope*/) {
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

Result<FrameSource::Found> FrameSource::find(Seq seq, const ReadScope* scope) {
    if (auto frame = tail_.frame_of(seq)) {
        segment_.reset();
        disk_.reset();
        const FrameHeader& header = frame->header;
        return Found{std::move(frame), {}, Seq{header.first_seq.value + header.count - 1}};
    }
    if (segment_ && segment_->segment().stats().covered.contains(seq)) return from_segment(seq);
    if (disk_ && disk_next_ == seq) {
        KLOG_TRY_ASSIGN(Found found, from_wal(seq, scope));
        if (found.frame) return found;
        // The end of that file, as it was when it was opened.
    }
    Found found;
    KLOG_TRY(open_disk(seq, scope, found));
    if (found.skipped_to != Seq{}) return found;
    if (segment_) return from_segment(seq);
    KLOG_TRY_ASSIGN(found, from_wal(seq, scope));
    if (found.frame) return found;
    return Error{Code::corrupt, "seq " + std::to_string(seq.value) + " is missing",
                 "klog reads on behind it with --after"};
}

}  // namespace klog
