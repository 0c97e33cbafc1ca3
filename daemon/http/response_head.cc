#include "daemon/http/response_head.h"

#include <array>

namespace klog::http {
namespace {

struct Reason {
    int status;
    std::string_view text;
};

constexpr std::array<Reason, 29> kReasons = {{
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
}};

std::string_view reason_of(int status) {
    for (const Reason& reason : kReasons) {
        if (reason.status == status) return reason.text;
    }
    return "Status";
}

void add_field(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    out += ": ";
    for (const char c : value) out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
    out += "\r\n";
}

}  // namespace

bool is_bodiless(int status) { return status < 200 || status == 204 || status == 304; }

std::string write_response_head(int status, std::string_view content_type,
                                const std::vector<std::pair<std::string, std::string>>& headers,
                                const ResponseFraming& framing) {
    std::string out;
    out.reserve(256);
    out += "HTTP/1.1 ";
    out += std::to_string(status);
    out += ' ';
    out += reason_of(status);
    out += "\r\n";
    if (!content_type.empty() && !is_bodiless(status)) {
        add_field(out, "Content-Type", content_type);
        // A browser must not take a record's bytes for a page.
        add_field(out, "X-Content-Type-Options", "nosniff");
    }
    if (framing.content_length && !is_bodiless(status)) {
        add_field(out, "Content-Length", std::to_string(*framing.content_length));
    }
    if (framing.chunked) add_field(out, "Transfer-Encoding", "chunked");
    if (framing.close) add_field(out, "Connection", "close");
    if (!framing.allowed_origin.empty()) {
        add_field(out, "Access-Control-Allow-Origin", framing.allowed_origin);
        add_field(out, "Access-Control-Expose-Headers", "ETag, Klog-Read-To, Klog-Lease");
        add_field(out, "Vary", "Origin");
    }
    for (const auto& [name, value] : headers) add_field(out, name, value);
    out += "\r\n";
    return out;
}

}  // namespace klog::http
