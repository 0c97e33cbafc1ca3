// GET /v1/openapi.json. openapi.inc is schemas/openapi.json as a string literal; a test compares
// the two.
#include "daemon/api/context.h"

namespace klog::api {
namespace {

constexpr std::string_view kOpenapi =
#include "daemon/api/openapi.inc"
    ;

}  // namespace

std::string_view openapi_text() { return kOpenapi; }

void handle_openapi(const Context& /*context*/, const ExchangePtr& exchange) {
    answer_json(exchange, 200, std::string(kOpenapi));
}

}  // namespace klog::api
