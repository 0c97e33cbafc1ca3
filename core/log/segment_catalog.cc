#include "log/segment_catalog.h"

#include <algorithm>
#include <utility>

namespace klog {

SegmentCatalog::SegmentCatalog(Env& env, std::string dir, std::uint64_t cache_bytes)
    : env_(env), dir_(std::move(dir)), cache_(PageCache::make(cache_bytes)) {
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
            Segment segment{entry, same != known->end() ? same->reader : nullptr};
            if (!segment.reader) {
                KLOG_TRY_ASSIGN(segment.reader, open(entry));
            }
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

Seq SegmentCatalog::last_seq(LogId log) const {
    const auto segments = list(log);
    return segments->empty() ? Seq{} : segments->back().entry.covered.last;
}

}  // namespace klog
