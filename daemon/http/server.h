// The HTTP/1.1 server: Unix sockets and TCP, limits, framing, browser safety. The only code that
// knows Beast besides the client transport.
#ifndef KLOG_DAEMON_HTTP_SERVER_H
#define KLOG_DAEMON_HTTP_SERVER_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/http/exchange.h"
#include "klog/result.h"

namespace klog::http {

// Each limit has a documented answer; see man/klog-daemon.1.
struct ServerLimits {
    std::size_t header_bytes_max = 16 * 1024;          // 431
    std::size_t header_fields_max = 100;               // 431
    std::size_t target_bytes_max = 64 * 1024;          // 414, with the advice to send an envelope
    std::chrono::milliseconds header_timeout{10'000};  // 408, then closed
    std::chrono::milliseconds body_timeout{30'000};    // no byte for so long: 408
    std::chrono::milliseconds idle_timeout{75'000};    // between requests: closed
    std::chrono::milliseconds write_timeout{30'000};  // an answer of which nothing is taken: closed
    std::size_t connections_max = 16'000;             // 503, then closed
    // Descriptors of the process that connections may take; 0: all that the process may have but
    // for the last eighth (24 to 256), which is kept for files. Past them: 503, then closed.
    std::size_t descriptors_max = 0;
    std::uint64_t body_bytes_max = 0;  // a stated length: 413. 0 is any
    // Largest single read of a body.
    std::size_t read_bytes_max = 256 * 1024;
};

struct ServerOptions {
    ServerLimits limits;
    unsigned io_threads = 3;
    unsigned blocking_threads = 2;
    // Origins that a browser page may come from, exactly as the Origin header spells them.
    // Every other Origin is refused (403 not_allowed).
    std::vector<std::string> allowed_origins;
};

struct ServerStats {
    std::uint64_t connections_open = 0;
    std::uint64_t connections_max = 0;  // as far as limits and descriptors allow now
    std::uint64_t connections_total = 0;
    std::uint64_t requests_total = 0;
    std::uint64_t responses_4xx = 0;
    std::uint64_t responses_5xx = 0;
};

class Server {
public:
    virtual ~Server() = default;  // stops at once

    // handler must outlive the server.
    [[nodiscard]] static std::unique_ptr<Server> make(const ServerOptions& options,
                                                      Handler& handler);

    // Binds and listens. The folder must exist (0700); the socket gets mode 0660. A stale socket
    // (nobody accepts) is removed; a living one is Code::locked. Errors: config (path too long,
    // says how long it may be), io.
    virtual Status listen_unix(const std::string& path) = 0;
    // What listen_tcp takes. Errors: config; nothing is bound.
    [[nodiscard]] static Status check_tcp(const std::string& address);
    // "127.0.0.1:PORT", "[::1]:PORT" or "localhost:PORT"; port 0 takes a free one. Returns the URL
    // with the port that was taken. Requests must carry a Host that names a loopback address or
    // "localhost".
    virtual Result<std::string> listen_tcp(const std::string& address) = 0;
    // Stops accepting on that path and removes the socket file if it is still this server's own.
    virtual void close_unix(const std::string& path) = 0;
    // True if the socket file at path is still this server's own.
    [[nodiscard]] virtual bool owns_unix(const std::string& path) const = 0;

    virtual Status start() = 0;  // runs the threads
    // No new connections or requests; waits until exchanges ended or `limit` passed; stops.
    virtual void drain(std::chrono::milliseconds limit) = 0;

    [[nodiscard]] virtual ServerStats stats() const = 0;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_SERVER_H
