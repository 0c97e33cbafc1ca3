// The client's transport: one connection to a daemon, blocking, for one thread (a second thread
// may write a request's body while the first reads the answer).
#ifndef KLOG_DAEMON_HTTP_CLIENT_H
#define KLOG_DAEMON_HTTP_CLIENT_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::http {

struct ClientRequest {
    std::string method = "GET";
    std::string target;  // path and query, encoded
    std::vector<std::pair<std::string, std::string>> headers;
    std::string content_type;  // empty: no body
    std::string body;          // unless streamed
    bool stream_body = false;  // the body is sent with write_body, chunked
};

struct ClientResponse {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::string content_type;
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
};

class Client {
public:
    virtual ~Client() = default;

    // url: unix:///path or http://host:port. Errors: unreachable (nobody listens), timeout,
    // usage (a bad URL).
    [[nodiscard]] static Result<std::unique_ptr<Client>> connect(const std::string& url,
                                                                 std::chrono::milliseconds limit);

    // Sends the head and, unless streamed, the body. Errors: outcome_unknown once a byte was sent,
    // unreachable before that.
    virtual Status send(const ClientRequest& request) = 0;
    // Streamed bodies. May be called on another thread than the reads. end_body ends it.
    virtual Status write_body(std::string_view bytes) = 0;
    virtual Status end_body() = 0;

    // Waits for the answer's head. limit zero: forever. Errors: timeout, outcome_unknown (the
    // connection broke), not_klog (no HTTP).
    virtual Result<ClientResponse> read_head(std::chrono::milliseconds limit) = 0;
    // Some bytes of the answer's body, decoded; empty at its end. Errors: timeout, outcome_unknown.
    virtual Result<std::string> read_body(std::size_t bytes_max,
                                          std::chrono::milliseconds limit) = 0;
    // The rest of the body, at most bytes_max.
    virtual Result<std::string> read_all(std::size_t bytes_max,
                                         std::chrono::milliseconds limit) = 0;

    // From any thread: makes calls that wait return with an error.
    virtual void shut_down() = 0;
    // For poll(2), so that a caller can wait for data and for something else.
    [[nodiscard]] virtual int native_handle() const = 0;
};

// Percent-encodes for a query value or a path segment.
[[nodiscard]] std::string encode_component(std::string_view text);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_CLIENT_H
