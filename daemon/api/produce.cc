#include "daemon/api/produce.h"

#include <fmt/core.h>

#include <algorithm>

namespace klog::api {
namespace {

// The media type alone, in lower case.
std::string media_type(const http::Request& request) {
    std::string_view text = request.header("content-type").value_or("");
    text = text.substr(0, text.find(';'));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    std::string type(text);
    std::transform(type.begin(), type.end(), type.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return type;
}

bool is_tombstone(const http::Request& request) {
    return std::any_of(request.query.begin(), request.query.end(), [](const auto& param) {
        return param.first == "kind" && param.second == "tombstone";
    });
}

}  // namespace

void handle_produce(const Context& context, const ExchangePtr& exchange) {
    const http::Request& request = exchange->request();
    const std::string type = media_type(request);
    if (type == kNdjson) {
        Result<StreamOptions> options = parse_stream_options(request);
        if (!options) return answer_error(exchange, options.error());
        if (options->atomic) return produce_atomic(context, exchange, *std::move(options));
        return produce_stream(context, exchange, *std::move(options));
    }
    // A tombstone without a body has nothing to name a type for.
    const bool bare = type.empty() && !request.has_body && is_tombstone(request);
    if (type != kJson && type != "application/octet-stream" && !bare) {
        return answer_error(
            exchange,
            Error{Code::unsupported,
                  type.empty() ? std::string("the content type is missing")
                               : fmt::format("the content type '{}' is not taken here", type),
                  "Content-Type: application/json, application/octet-stream or "
                  "application/x-ndjson (one record a line)"});
    }
    Result<SingleOptions> options = parse_single_options(request);
    if (!options) return answer_error(exchange, options.error());
    produce_single(context, exchange, *std::move(options),
                   type == "application/octet-stream" ? Encoding::bytes : Encoding::json);
}

}  // namespace klog::api
