// What every handler of the API is given.
#ifndef KLOG_DAEMON_API_CONTEXT_H
#define KLOG_DAEMON_API_CONTEXT_H

#include <memory>
#include <string_view>

#include "daemon/api/api.h"
#include "daemon/api/body_budget.h"
#include "daemon/api/consumer_readers.h"
#include "daemon/http/exchange.h"
#include "klog/log.h"

namespace klog::api {

using ExchangePtr = std::shared_ptr<http::Exchange>;

inline constexpr std::string_view kJson = "application/json";
inline constexpr std::string_view kNdjson = "application/x-ndjson";
inline constexpr std::string_view kEventStream = "text/event-stream";

// Lives as long as the handler that make_api returned, which is longer than any exchange.
struct Context {
    Store& store;
    Log& log;
    ApiOptions options;
    std::shared_ptr<BodyBudget> bodies;
    std::shared_ptr<ConsumerReaders> readers;

    // What acknowledgements name as their level.
    [[nodiscard]] std::string_view durable() const { return options.ephemeral ? "none" : "local"; }
};

// Answers with a problem document, with Retry-After where trying again later makes sense.
void answer_error(const ExchangePtr& exchange, const Error& error, std::string_view extra = {});
void answer_json(const ExchangePtr& exchange, int status, std::string body);

// The handlers, a file each. The segments of the path were matched by the router.
void handle_produce(const Context& context, const ExchangePtr& exchange);  // produce.cc
void handle_read(const Context& context, const ExchangePtr& exchange);     // read.cc
void handle_get(const Context& context, const ExchangePtr& exchange);      // get.cc
void handle_history(const Context& context, const ExchangePtr& exchange);  // read.cc
void handle_keys(const Context& context, const ExchangePtr& exchange);     // listings.cc
void handle_topics(const Context& context, const ExchangePtr& exchange);   // listings.cc
void handle_head(const Context& context, const ExchangePtr& exchange);     // get.cc
void handle_count(const Context& context, const ExchangePtr& exchange);    // count.cc
// consumers.cc
void handle_consumers(const Context& context, const ExchangePtr& exchange);
void handle_consumer_get(const Context& context, const ExchangePtr& exchange);
void handle_consumer_put(const Context& context, const ExchangePtr& exchange);
void handle_consumer_ack(const Context& context, const ExchangePtr& exchange);
void handle_consumer_reset(const Context& context, const ExchangePtr& exchange);
// consumer_removal.cc
void handle_consumer_delete(const Context& context, const ExchangePtr& exchange);
void handle_consumers_delete(const Context& context, const ExchangePtr& exchange);
// consumer_read.cc
void handle_consumer_read(const Context& context, const ExchangePtr& exchange);
void handle_livez(const Context& context, const ExchangePtr& exchange);    // health.cc
void handle_readyz(const Context& context, const ExchangePtr& exchange);   // health.cc
void handle_metrics(const Context& context, const ExchangePtr& exchange);  // metrics.cc
void handle_openapi(const Context& context, const ExchangePtr& exchange);  // openapi.cc

// schemas/openapi.json, built in.
[[nodiscard]] std::string_view openapi_text();

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_CONTEXT_H
