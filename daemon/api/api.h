// The HTTP calls of /v1, /livez, /readyz and /metrics over one store.
#ifndef KLOG_DAEMON_API_API_H
#define KLOG_DAEMON_API_API_H

#include <functional>
#include <memory>
#include <string>

#include "daemon/http/exchange.h"
#include "daemon/http/server.h"
#include "klog/log.h"

namespace klog::api {

struct ApiOptions {
    std::uint64_t value_bytes_max = Limits::kValueBytesDefault;
    // What the bodies of all requests may hold in memory together; past it requests are answered
    // 503. Unit: bytes. Default: 256 MiB. At least four of the longest values.
    std::uint64_t bodies_bytes_max = 256ULL << 20U;
    bool ephemeral = false;  // "durable" is "none"
    bool read_only = false;  // whatever writes is answered with not_allowed
    std::string version;
    // Server figures for /metrics; may be empty.
    std::function<http::ServerStats()> server_stats;
    // Wall clock, for AGO. Empty: the system's own, through Env.
    std::function<Time()> now;
};

// Keeps references to store; destroy it after the server.
[[nodiscard]] std::unique_ptr<http::Handler> make_api(Store& store, const ApiOptions& options);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_API_H
