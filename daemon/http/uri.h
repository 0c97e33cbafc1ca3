// Targets: paths, queries, percent-encoding. Pure.
#ifndef KLOG_DAEMON_HTTP_URI_H
#define KLOG_DAEMON_HTTP_URI_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::http {

// "/a/b%2Fc" is "a", "b/c"; "/" is none; a slash at the end is one empty segment more. A plus is a
// plus. Errors: bad_request (a broken escape, a NUL).
[[nodiscard]] Result<std::vector<std::string>> split_path(std::string_view path);

// As forms are written: "&" between, "+" and %20 are spaces, a name without "=" has an empty value.
// Errors: bad_request (a broken escape).
[[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> split_query(
    std::string_view query);

// Whether a Host header's value names this machine alone: localhost, a name below it, 127.0.0.0/8
// or [::1], with or without a port.
[[nodiscard]] bool is_loopback_host(std::string_view host);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_URI_H
