// POST /v1/records: one record, a stream of lines, or an atomic batch of them.
#ifndef KLOG_DAEMON_API_PRODUCE_H
#define KLOG_DAEMON_API_PRODUCE_H

#include "daemon/api/context.h"
#include "daemon/api/write_options.h"

namespace klog::api {

// encoding: what the body's content type says about the value.
void produce_single(const Context& context, const ExchangePtr& exchange, SingleOptions options,
                    Encoding encoding);
void produce_stream(const Context& context, const ExchangePtr& exchange, StreamOptions options);
// All lines together or none. Precondition: options.atomic.
void produce_atomic(const Context& context, const ExchangePtr& exchange, StreamOptions options);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_PRODUCE_H
