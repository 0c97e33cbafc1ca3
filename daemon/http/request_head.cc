#include "daemon/http/request_head.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "daemon/http/uri.h"

namespace klog::http {
namespace {

using Failure = std::optional<HeadFailure>;

Failure fail(int status, Code code, std::string message, std::string hint = {}) {
    return HeadFailure{status, Error{code, std::move(message), std::move(hint)}};
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        const auto lower = [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        return lower(x) == lower(y);
    });
}

// A list such as "close, TE" holds the token.
bool list_holds(std::string_view list, std::string_view token) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view item = list.substr(0, comma);
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
        while (!item.empty() && (item.front() == ' ' || item.front() == '\t'))
            item.remove_prefix(1);
        while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
        if (equals_ignoring_case(item, token)) return true;
    }
    return false;
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
    constexpr std::size_t kDigitsMax = 18;  // cannot overflow
    if (text.empty() || text.size() > kDigitsMax) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
}

// The fields that decide something here, each at most once.
struct Known {
    std::optional<std::string_view> content_length;
    std::optional<std::string_view> transfer_encoding;
    std::optional<std::string_view> host;
    std::optional<std::string_view> origin;
    std::optional<std::string_view> fetch_site;
    std::optional<std::string_view> expect;
    bool connection_close = false;
};

Failure find_known(const Fields& fields, Known& known) {
    for (const auto& [name, value] : fields) {
        std::optional<std::string_view>* slot = nullptr;
        if (name == "content-length") slot = &known.content_length;
        if (name == "transfer-encoding") slot = &known.transfer_encoding;
        if (name == "host") slot = &known.host;
        if (name == "origin") slot = &known.origin;
        if (name == "sec-fetch-site") slot = &known.fetch_site;
        if (name == "expect") slot = &known.expect;
        if (name == "connection" && list_holds(value, "close")) known.connection_close = true;
        if (slot == nullptr) continue;
        if (slot->has_value()) {
            return fail(400, Code::bad_request, "the header field " + name + " is there twice");
        }
        *slot = value;
    }
    return std::nullopt;
}

Failure check_framing(const Known& known, const RequestRules& rules, RequestHead& head) {
    if (known.transfer_encoding) {
        if (known.content_length) {
            return fail(400, Code::bad_request,
                        "there are both a Content-Length and a Transfer-Encoding");
        }
        if (head.http_1_0) {
            return fail(400, Code::bad_request, "HTTP/1.0 has no Transfer-Encoding");
        }
        if (!equals_ignoring_case(*known.transfer_encoding, "chunked")) {
            return fail(501, Code::unsupported, "the only transfer coding known is chunked");
        }
        head.chunked = true;
        head.request.has_body = true;
    }
    if (known.content_length) {
        const std::optional<std::uint64_t> length = parse_length(*known.content_length);
        if (!length) return fail(400, Code::bad_request, "the Content-Length is no number");
        if (rules.body_bytes_max != 0 && *length > rules.body_bytes_max) {
            return fail(
                413, Code::value_too_large,
                "the body may have at most " + std::to_string(rules.body_bytes_max) + " bytes");
        }
        head.request.content_length = length;
        head.request.has_body = *length > 0;
    }
    if (known.expect) {
        if (!equals_ignoring_case(*known.expect, "100-continue")) {
            return fail(417, Code::unsupported, "the only expectation known is 100-continue");
        }
        head.expect_continue = head.request.has_body && !head.http_1_0;
    }
    return std::nullopt;
}

Failure check_target(std::string_view target, const RequestRules& rules, Request& request) {
    if (target.size() > rules.target_bytes_max) {
        return fail(414, Code::bad_request, "the request's target is too long",
                    "send what it says in an envelope: POST /v1/records?envelope=true");
    }
    if (target == "*" && request.method == "OPTIONS") {
        request.path = "*";
        return std::nullopt;
    }
    if (target.empty() || target.front() != '/') {
        return fail(400, Code::bad_request, "the request's target does not begin with a slash");
    }
    if (target.find('#') != std::string_view::npos) {
        return fail(400, Code::bad_request, "there is a # in the request's target",
                    "write it as %23");
    }
    const std::size_t question = target.find('?');
    request.path = target.substr(0, question);
    auto segments = split_path(request.path);
    if (!segments.ok()) return HeadFailure{400, std::move(segments).error()};
    request.segments = std::move(segments).value();
    if (question != std::string_view::npos) {
        auto query = split_query(target.substr(question + 1));
        if (!query.ok()) return HeadFailure{400, std::move(query).error()};
        request.query = std::move(query).value();
    }
    return std::nullopt;
}

Failure check_browser(const Known& known, const RequestRules& rules, RequestHead& head) {
    if (!known.host && !head.http_1_0) {
        return fail(400, Code::bad_request, "the Host header is missing");
    }
    if (rules.loopback_host_only && known.host && !is_loopback_host(*known.host)) {
        return fail(403, Code::not_allowed, "the Host is not a name of this machine for itself",
                    "use localhost, 127.0.0.1 or [::1]");
    }
    if (known.origin) {
        const auto& allowed = rules.allowed_origins;
        if (std::find(allowed.begin(), allowed.end(), *known.origin) == allowed.end()) {
            return fail(403, Code::not_allowed, "this Origin is not allowed to use klog",
                        "klog daemon --allow-origin ORIGIN (in its file: allow_origin) allows one");
        }
        head.origin = *known.origin;
    } else if (known.fetch_site && equals_ignoring_case(*known.fetch_site, "cross-site")) {
        return fail(403, Code::not_allowed, "a page of another site may not use klog");
    }
    head.preflight = !head.origin.empty() && head.request.method == "OPTIONS" &&
                     head.request.header("access-control-request-method").has_value();
    return std::nullopt;
}

}  // namespace

std::variant<RequestHead, HeadFailure> check_request_head(ParsedHead parsed,
                                                          const RequestRules& rules) {
    RequestHead head;
    head.http_1_0 = parsed.http_1_0;
    head.request.method = std::move(parsed.method);
    head.request.headers = std::move(parsed.fields);
    Known known;
    if (Failure failure = find_known(head.request.headers, known)) return *std::move(failure);
    if (Failure failure = check_framing(known, rules, head)) return *std::move(failure);
    if (Failure failure = check_target(parsed.target, rules, head.request)) {
        return *std::move(failure);
    }
    if (Failure failure = check_browser(known, rules, head)) return *std::move(failure);
    head.keep_alive = !head.http_1_0 && !known.connection_close;
    return head;
}

}  // namespace klog::http
