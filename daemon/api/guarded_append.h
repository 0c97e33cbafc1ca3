// Batches with guards on their way to the log.
#ifndef KLOG_DAEMON_API_GUARDED_APPEND_H
#define KLOG_DAEMON_API_GUARDED_APPEND_H

#include <functional>
#include <memory>

#include "daemon/api/context.h"
#include "klog/write.h"

namespace klog::api {

// For a batch whose guards reach back to what only the disk has (Log::guards_in_memory): a thread
// that may block looks there, and the batch is given back on the strand, to be appended.
void look_at_guards(const Context& context, const ExchangePtr& exchange,
                    std::unique_ptr<WriteBatch> batch,
                    std::function<void(std::unique_ptr<WriteBatch> batch)> then);

// Hands a batch to the log, after a look at what its guards ask of the disk.
void append_guarded(const Context& context, const ExchangePtr& exchange,
                    std::unique_ptr<WriteBatch> batch);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_GUARDED_APPEND_H
