// What a request's head means: framing without contradictions, a decoded target, and no request
// that a web page of elsewhere could have sent. Pure.
#ifndef KLOG_DAEMON_HTTP_REQUEST_HEAD_H
#define KLOG_DAEMON_HTTP_REQUEST_HEAD_H

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "daemon/http/exchange.h"
#include "daemon/http/head_parse.h"
#include "daemon/http/head_scan.h"

namespace klog::http {

struct RequestRules {
    std::size_t target_bytes_max = 0;
    std::uint64_t body_bytes_max = 0;  // a stated length; 0 is any
    // Over TCP the Host must be this machine's own name for itself, which a page that reached the
    // port by DNS rebinding cannot say.
    bool loopback_host_only = false;
    std::vector<std::string> allowed_origins;
};

struct RequestHead {
    Request request;
    bool http_1_0 = false;
    bool keep_alive = false;
    bool chunked = false;
    bool expect_continue = false;
    std::string origin;  // allowed; empty where there was none
    // The browser asks whether it may (CORS); the server answers itself.
    bool preflight = false;
};

[[nodiscard]] std::variant<RequestHead, HeadFailure> check_request_head(ParsedHead parsed,
                                                                        const RequestRules& rules);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_REQUEST_HEAD_H
