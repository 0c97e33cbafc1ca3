// A streamed answer of records: reads, tails, histories.
#ifndef KLOG_DAEMON_API_READ_STREAM_H
#define KLOG_DAEMON_API_READ_STREAM_H

#include "daemon/api/context.h"
#include "daemon/api/read_options.h"

namespace klog::api {

// Answers the exchange now or later. Memory for one stream is bounded, whether the peer reads or
// not.
void stream_records(const Context& context, const ExchangePtr& exchange, ReadRequest request);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_READ_STREAM_H
