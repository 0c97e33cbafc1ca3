// GET /v1/openapi.json. openapi.inc is schemas/openapi.json as a string literal; a test compares
// the two.
#include "daemon/api/context.h"

namespace klog::api {
namespace {

// Longer than the 65,536 bytes that every compiler has to take; those that are used here do.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
constexpr std::string_view kOpenapi =
#include "daemon/api/openapi.inc"
    ;
#pragma GCC diagnostic pop

}  // namespace

std::string_view openapi_text() { return kOpenapi; }

void handle_openapi(const Context& /*context*/, const ExchangePtr& exchange) {
    answer_json(exchange, 200, std::string(kOpenapi));
}

}  // namespace klog::api
