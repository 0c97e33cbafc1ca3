// Counting what matches: of segments and closed files that lie in the range in whole by their
// topics' counts, of the rest by reading.
#include <algorithm>

#include "log/log_impl.h"
#include "topic/topic.h"

namespace klog {
namespace {

class RangeCounter final : public Counter {
public:
    // Counts in (after, end].
    RangeCounter(const LogCore& core, Wal& wal, const FileCatalog& catalog, LiveTail& tail,
                 FilterSet set, std::optional<std::string> key, Seq after, Seq end)
        : log_(core.id),
          wal_(wal),
          catalog_(catalog),
          tail_(tail),
          set_(std::move(set)),
          key_(std::move(key)),
          at_(after),
          end_(end) {}

    bool ready_in_memory() override {
        return at_ >= end_ || (scan_ != nullptr && scan_->ready_in_memory());
    }

    Result<bool> step() override {
        if (at_ >= end_) return true;
        if (scan_) {
            KLOG_TRY(read_on());
        } else {
            KLOG_TRY_ASSIGN(const bool counted, count_whole());
            if (!counted) {
                const LogReader::Range range{at_, scan_end_, false, std::nullopt};
                scan_ = std::make_unique<LogReader>(FrameSource(log_, wal_, catalog_, tail_), tail_,
                                                    set_, key_, wal_.hash_key(), range);
            }
        }
        return at_ >= end_;
    }

    std::uint64_t records() const override { return records_; }

private:
    // True: the segment or the closed file behind at_ was counted by its topics. False: what lies
    // up to scan_end_ has to be read.
    Result<bool> count_whole() {
        const Seq next{at_.value + 1};
        if (const auto segment = catalog_.segments().find(log_, next)) {
            const SeqRange covered = segment->stats().covered;
            scan_end_ = std::min(end_, covered.last);
            if (key_ || covered.first != next || covered.last > end_) return false;
            KLOG_TRY_ASSIGN(const TopicCount count, segment->count(set_));
            records_ += count.records;
            at_ = covered.last;
            return true;
        }
        scan_end_ = end_;
        const auto place = catalog_.find(log_, next);
        if (!place || !place->closed) return false;
        scan_end_ = std::min(end_, place->last_seq);
        if (key_ || place->first_seq != next || place->last_seq > end_) return false;
        const auto count = catalog_.count(place->position.wal_id, log_, set_);
        if (!count) return false;
        records_ += *count;
        at_ = place->last_seq;
        return true;
    }

    Status read_on() {
        // Either of them ends a step; what was looked at and does not match ends it too.
        constexpr std::size_t kStepBytes = 2U << 20U;
        constexpr std::size_t kStepRecords = 16'384;
        KLOG_TRY_ASSIGN(const ReadChunk chunk, scan_->read(kStepBytes, kStepRecords));
        records_ += chunk.records.size();
        if (!chunk.end) return {};
        at_ = scan_end_;
        scan_.reset();
        return {};
    }

    const LogId log_;
    Wal& wal_;
    const FileCatalog& catalog_;
    LiveTail& tail_;
    const FilterSet set_;
    const std::optional<std::string> key_;
    Seq at_;
    const Seq end_;
    std::unique_ptr<Reader> scan_;
    Seq scan_end_;
    std::uint64_t records_ = 0;
};

}  // namespace

Result<std::uint64_t> Log::count(const CountOptions& options) {
    KLOG_TRY_ASSIGN(const std::unique_ptr<Counter> counter, this->counter(options));
    for (;;) {
        KLOG_TRY_ASSIGN(const bool final, counter->step());
        if (final) return counter->records();
    }
}

Result<std::unique_ptr<Counter>> LogImpl::counter(const CountOptions& options) {
    KLOG_TRY_ASSIGN(FilterSet set, FilterSet::parse(options.filters, options.not_filters));
    if (options.key) KLOG_TRY(check_key(*options.key));
    ReadOptions range;
    range.until_seq = options.until_seq;
    range.until_time = options.until_time;
    KLOG_TRY_ASSIGN(const EndOf end, end_of(range, core_.tail.head()));
    return std::unique_ptr<Counter>(std::make_unique<RangeCounter>(
        core_, wal_, catalog_, core_.tail, std::move(set), options.key, options.after, end.now));
}

}  // namespace klog
