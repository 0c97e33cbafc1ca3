// Answers that say what went wrong (RFC 9457), and the look-ups that requests and responses share.
#include <nlohmann/json.hpp>

#include "daemon/http/client.h"
#include "daemon/http/exchange.h"

namespace klog::http {
namespace {

std::optional<std::string_view> find_header(
    const std::vector<std::pair<std::string, std::string>>& headers, std::string_view name) {
    for (const auto& [key, value] : headers) {
        if (key == name) return value;
    }
    return std::nullopt;
}

// Messages may quote what a client sent, so bytes that are no UTF-8 are replaced.
std::string quote(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::optional<std::string_view> Request::header(std::string_view name) const {
    return find_header(headers, name);
}

std::optional<std::string_view> ClientResponse::header(std::string_view name) const {
    return find_header(headers, name);
}

Response problem(const Error& error, std::string_view extra) {
    const int status = code_info(error.code).http_status;
    // A code that never crosses HTTP got here by a mistake of ours.
    return problem(status == 0 ? 500 : status, error, extra);
}

Response problem(int status, const Error& error, std::string_view extra) {
    const CodeInfo& info = code_info(error.code);
    Response response;
    response.status = status;
    response.content_type = "application/problem+json";
    std::string& body = response.body;
    body = R"({"type":"about:blank","title":)" + quote(info.title) +
           ",\"status\":" + std::to_string(status) + ",\"code\":" + quote(info.name) +
           ",\"detail\":" + quote(error.message);
    if (!error.hint.empty()) body += ",\"hint\":" + quote(error.hint);
    if (!extra.empty()) {
        body += ',';
        body += extra;
    }
    body += "}\n";
    return response;
}

}  // namespace klog::http
