// How an answer's head is written. Pure.
#ifndef KLOG_DAEMON_HTTP_RESPONSE_HEAD_H
#define KLOG_DAEMON_HTTP_RESPONSE_HEAD_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace klog::http {

struct ResponseFraming {
    std::optional<std::uint64_t> content_length;
    bool chunked = false;
    bool close = false;  // says "Connection: close"
    std::string_view allowed_origin;
};

// Line ends and NULs in values become spaces, so that no value can add a header.
[[nodiscard]] std::string write_response_head(
    int status, std::string_view content_type,
    const std::vector<std::pair<std::string, std::string>>& headers,
    const ResponseFraming& framing);

// Neither has a body nor says how long it is (RFC 9110, 6.4.1).
[[nodiscard]] bool is_bodiless(int status);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_RESPONSE_HEAD_H
