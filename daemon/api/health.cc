// Is the process alive, and can it take records?
#include <fmt/format.h>

#include "daemon/api/context.h"

namespace klog::api {
namespace {

Error rebuilding(const RebuildStats& rebuild) {
    return Error{Code::rebuilding,
                 fmt::format("indexes are being made anew from the log: {} of {} records are done",
                             rebuild.records_done, rebuild.records_wanted),
                 "reads by seq are served meanwhile"};
}

}  // namespace

void handle_livez(const Context& /*context*/, const ExchangePtr& exchange) {
    answer_json(exchange, 200, "{\"status\":\"alive\"}\n");
}

void handle_readyz(const Context& context, const ExchangePtr& exchange) {
    const StoreStats stats = context.store.stats();
    if (stats.failed) {
        exchange->respond(http::problem(
            503, Error{Code::io, "a sync to disk failed, so nothing is written any more",
                       "look at the disk, then restart the daemon"}));
        return;
    }
    if (stats.read_only) {
        // It does what it was started for; whoever wants to write is told so by each answer.
        answer_json(exchange, 200,
                    fmt::format("{{\"status\":\"read_only\",\"holes\":{}}}\n", stats.holes));
        return;
    }
    if (!stats.writable) {
        exchange->respond(http::problem(
            503,
            Error{Code::disk_full, "there is no room to write; reads go on", "free some space"}));
        return;
    }
    if (stats.rebuild.running) return answer_error(exchange, rebuilding(stats.rebuild));
    answer_json(exchange, 200, "{\"status\":\"ready\"}\n");
}

}  // namespace klog::api
