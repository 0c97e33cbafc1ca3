// Counting what matches, in steps.
#include "log/log_impl.h"

namespace klog {
namespace {

// Reads and counts what it is given.
class ScanCounter final : public Counter {
public:
    explicit ScanCounter(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

    bool ready_in_memory() override { return reader_->ready_in_memory(); }

    Result<bool> step() override {
        // Either of them ends a step; what was looked at and does not match ends it too.
        constexpr std::size_t kStepBytes = 2U << 20U;
        constexpr std::size_t kStepRecords = 16'384;
        KLOG_TRY_ASSIGN(const ReadChunk chunk, reader_->read(kStepBytes, kStepRecords));
        records_ += chunk.records.size();
        return chunk.end;
    }

    std::uint64_t records() const override { return records_; }

private:
    std::unique_ptr<Reader> reader_;
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
    ReadOptions range;
    range.filters = options.filters;
    range.not_filters = options.not_filters;
    range.key = options.key;
    range.from.form = ReadFrom::Form::after;
    range.from.seq = options.after;
    range.until_seq = options.until_seq;
    range.until_time = options.until_time;
    KLOG_TRY_ASSIGN(std::unique_ptr<Reader> reader, read(range));
    return std::unique_ptr<Counter>(std::make_unique<ScanCounter>(std::move(reader)));
}

}  // namespace klog
