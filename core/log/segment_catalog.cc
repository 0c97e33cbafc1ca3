#include "log/segment_catalog.h"

#include <algorithm>
#include <utility>

#include "log/holes.h"
#include "segment/missing_segment.h"

namespace klog {

SegmentCatalog::SegmentCatalog(Env& env, std::string dir, std::uint64_t cache_bytes, Damage damage)
    : env_(env), dir_(std::move(dir)), damage_(damage), cache_(PageCache::make(cache_bytes)) {
    for (auto& list : lists_) list = std::make_shared<List>();
}

Result<std::shared_ptr<SegmentReader>> SegmentCatalog::open(const SegmentEntry& entry) const {
    const std::string path = segment_path(dir_, entry.log_id, entry.segment_id);
    auto reader = SegmentReader::open(env_, path, &entry, cache_);
    if (reader.ok() || reader.error().code != Code::not_found) return reader;
    return Error{Code::corrupt,
                 path + " is missing: it holds the records from seq " +
                     std::to_string(entry.covered.first.value) + " to " +
                     std::to_string(entry.covered.last.value),
                 "put the file back, or restore the data directory from a copy"};
}

Status SegmentCatalog::open_into(Segment& segment) const {
    const SegmentEntry& entry = segment.entry;
    auto opened = open(entry);
    if (opened.ok()) {
        segment.reader = std::move(opened).value();
        return {};
    }
    Error error = std::move(opened).error();
    // What cannot be read for another reason may well be sound.
    const bool damaged = error.code == Code::corrupt || error.code == Code::io;
    if (damage_ == Damage::stops || !damaged) return error;
    segment.hole =
        Hole{entry.log_id, entry.covered.first, entry.covered.last, false, error.message};
    segment.reader = make_missing_segment(segment_path(dir_, entry.log_id, entry.segment_id), entry,
                                          hole_error(*segment.hole));
    return {};
}

Status SegmentCatalog::follow(const SegmentSetState& state) {
    std::array<std::shared_ptr<const List>, 2> next;
    std::vector<std::uint64_t> gone;
    for (std::size_t log = 0; log < next.size(); ++log) {
        const auto known = list(static_cast<LogId>(log));
        auto opened = std::make_shared<List>();
        opened->reserve(state.logs[log].size());
        for (const SegmentEntry& entry : state.logs[log]) {
            const auto same = std::find_if(known->begin(), known->end(), [&](const Segment& have) {
                return have.entry.segment_id == entry.segment_id;
            });
            Segment segment{entry, same != known->end() ? same->reader : nullptr, std::nullopt};
            if (!segment.reader) KLOG_TRY(open_into(segment));
            opened->push_back(std::move(segment));
        }
        for (const Segment& have : *known) {
            const bool stays =
                std::any_of(opened->begin(), opened->end(), [&](const Segment& segment) {
                    return segment.entry.segment_id == have.entry.segment_id;
                });
            if (!stays) gone.push_back(have.entry.segment_id);
        }
        next[log] = std::move(opened);
    }
    {
        MutexLock lock(mutex_);
        lists_ = std::move(next);
    }
    for (const std::uint64_t segment_id : gone) cache_->forget(segment_id);
    return {};
}

std::shared_ptr<const SegmentCatalog::List> SegmentCatalog::list(LogId log) const {
    MutexLock lock(mutex_);
    return lists_[static_cast<std::size_t>(log)];
}

std::shared_ptr<SegmentReader> SegmentCatalog::find(LogId log, Seq seq) const {
    const auto segments = list(log);
    const auto at = std::lower_bound(
        segments->begin(), segments->end(), seq,
        [](const Segment& segment, Seq wanted) { return segment.entry.covered.last < wanted; });
    return at != segments->end() && at->entry.covered.first <= seq ? at->reader : nullptr;
}

std::shared_ptr<SegmentReader> SegmentCatalog::find(LogId log, Time time) const {
    const auto segments = list(log);
    const auto at = std::lower_bound(
        segments->begin(), segments->end(), time,
        [](const Segment& segment, Time wanted) { return segment.entry.last_time < wanted; });
    return at != segments->end() ? at->reader : nullptr;
}

std::vector<Hole> SegmentCatalog::holes() const {
    std::vector<Hole> holes;
    MutexLock lock(mutex_);
    for (const auto& segments : lists_) {
        for (const Segment& segment : *segments) {
            if (segment.hole) holes.push_back(*segment.hole);
        }
    }
    return holes;
}

Seq SegmentCatalog::last_seq(LogId log) const {
    const auto segments = list(log);
    return segments->empty() ? Seq{} : segments->back().entry.covered.last;
}

}  // namespace klog
