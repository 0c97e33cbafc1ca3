// Batches of klog's own records, for callers that wait until they are durable.
#ifndef KLOG_LOG_INTERNAL_WRITE_H
#define KLOG_LOG_INTERNAL_WRITE_H

#include <memory>
#include <string_view>

#include "klog/write.h"
#include "log/pipeline.h"
#include "log/prepare.h"

namespace klog {

[[nodiscard]] std::unique_ptr<WriteBatch> internal_batch();
// Views that must live as long as the batch.
void add_internal(WriteBatch& batch, Kind kind, std::string_view topic, std::string_view value);
// Blocks until the batch was answered. It comes back without `prepared`.
[[nodiscard]] std::unique_ptr<WriteBatch> write_and_wait(Pipeline& pipeline, LogId log,
                                                         std::unique_ptr<WriteBatch> batch);
// Its seq; 0 where nothing had to be written.
[[nodiscard]] Result<Seq> seq_of(const WriteResult& result);

}  // namespace klog

#endif  // KLOG_LOG_INTERNAL_WRITE_H
