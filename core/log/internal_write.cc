#include "log/internal_write.h"

#include <condition_variable>
#include <mutex>
#include <utility>

namespace klog {

std::unique_ptr<WriteBatch> internal_batch() {
    auto batch = std::make_unique<WriteBatch>();
    batch->prepared = std::make_shared<WriteBatch::Prepared>();
    batch->prepared->internal = true;
    return batch;
}

void add_internal(WriteBatch& batch, Kind kind, std::string_view topic, std::string_view value) {
    WriteRecord record;
    record.topic = topic;
    record.value = value;
    record.kind = kind;
    record.encoding = Encoding::bytes;
    batch.records.push_back(record);
}

std::unique_ptr<WriteBatch> write_and_wait(Pipeline& pipeline, LogId log,
                                           std::unique_ptr<WriteBatch> batch) {
    struct Waiter {
        std::mutex mutex;
        std::condition_variable changed;
        std::unique_ptr<WriteBatch> done;
    };
    const auto waiter = std::make_shared<Waiter>();
    batch->done = [waiter](std::unique_ptr<WriteBatch> done) {
        const std::lock_guard lock(waiter->mutex);
        waiter->done = std::move(done);
        waiter->changed.notify_all();
    };
    pipeline.append(log, std::move(batch));
    std::unique_lock lock(waiter->mutex);
    waiter->changed.wait(lock, [&] { return waiter->done != nullptr; });
    return std::move(waiter->done);
}

Result<Seq> seq_of(const WriteResult& result) {
    if (result.outcome == WriteResult::Outcome::written) return result.seq;
    if (result.outcome == WriteResult::Outcome::skipped) return Seq{};
    if (result.error) return *result.error;
    return Error{Code::bug, "a record of klog's own was not written", {}};
}

}  // namespace klog
