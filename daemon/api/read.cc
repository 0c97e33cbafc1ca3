// GET /v1/records and a key's history.
#include <fmt/core.h>

#include <array>

#include "daemon/api/params.h"
#include "daemon/api/read_stream.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

constexpr std::array kHistoryParams = {ParamSpec{"from_version"}, ParamSpec{"to_version"},
                                       ParamSpec{"last"}};

Result<ReadRequest> history_request(const http::Request& request) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kHistoryParams));
    ReadRequest read;
    read.read_to_head = false;
    HistoryOptions& history = read.history.emplace();
    history.space = request.segments[2];
    history.key = request.segments[4];
    KLOG_TRY_ASSIGN(const auto first, params.number("from_version"));
    KLOG_TRY_ASSIGN(const auto last, params.number("to_version"));
    KLOG_TRY_ASSIGN(const auto newest, params.number("last"));
    if (first) history.first = Version{*first};
    if (last) history.last = Version{*last};
    if (newest) history.newest = *newest;
    if (first && last && *first > *last) {
        return Error{Code::bad_option,
                     fmt::format("'from_version' ({}) lies after 'to_version' ({})", *first, *last),
                     "both are part of what is read: from the lower one to the higher one"};
    }
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
    stream_records(context, exchange, *std::move(read));
}

}  // namespace klog::api
