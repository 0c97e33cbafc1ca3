// GET /v1/records and a key's history.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "daemon/api/params.h"
#include "daemon/api/read_stream.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

constexpr std::array kHistoryParams = {ParamSpec{"from_version"}, ParamSpec{"to_version"}};

Result<ReadRequest> history_request(const http::Request& request) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kHistoryParams));
    const std::string& space = request.segments[2];
    ReadRequest read;
    read.options.filters = {space, space + "/>"};
    read.options.key = request.segments[4];
    read.read_to_head = false;
    KLOG_TRY_ASSIGN(const auto first, params.number("from_version"));
    KLOG_TRY_ASSIGN(const auto last, params.number("to_version"));
    read.version_first = first.value_or(0);
    read.version_last = last.value_or(read.version_last);
    return read;
}

}  // namespace

void handle_read(const Context& context, const ExchangePtr& exchange) {
    Result<ReadRequest> read = parse_read_request(exchange->request(), context.options.now());
    if (!read) return answer_error(exchange, read.error());
    const auto form = parse_form(exchange->request());
    if (!form) {
        return exchange->respond(http::problem(
            406,
            Error{Code::unsupported, "the answer cannot be frames and server-sent events at once",
                  fmt::format("Accept: {} or {}, not both", kBatchMediaType, kEventStream)}));
    }
    read->form = *form;
    stream_records(context, exchange, *std::move(read));
}

void handle_history(const Context& context, const ExchangePtr& exchange) {
    const http::Request& request = exchange->request();
    Result<ReadRequest> read = history_request(request);
    if (!read) return answer_error(exchange, read.error());
    auto head = std::make_shared<std::optional<Result<EntityHead>>>();
    exchange->run_blocking(
        [&context, exchange, head] {
            const auto& segments = exchange->request().segments;
            head->emplace(context.log.entity(segments[2], segments[4]));
        },
        [&context, exchange, head, read = *std::move(read)]() mutable {
            const Result<EntityHead>& entity = **head;
            if (!entity) return answer_error(exchange, entity.error());
            if (entity->state == EntityState::absent) {
                return answer_error(exchange,
                                    Error{Code::not_found, "there never was such a key", {}},
                                    R"("state":"absent")");
            }
            // What comes later is no part of this answer; neither is what is not there yet.
            read.version_last = std::min(read.version_last, entity->version.value);
            read.options.until_seq = entity->last_seq;
            stream_records(context, exchange, std::move(read));
        });
}

}  // namespace klog::api
