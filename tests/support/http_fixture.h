// A server on a Unix socket and on TCP, with handlers that tests need.
#ifndef KLOG_TESTS_SUPPORT_HTTP_FIXTURE_H
#define KLOG_TESTS_SUPPORT_HTTP_FIXTURE_H

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/http/server.h"
#include "support/raw_http.h"

namespace klog::test {

class Routes final : public http::Handler {
public:
    using Route = std::function<void(const std::shared_ptr<http::Exchange>&)>;

    Routes();
    // Before the server starts.
    void add(const std::string& path, Route route) { routes_[path] = std::move(route); }
    void handle(const std::shared_ptr<http::Exchange>& exchange) override;

private:
    std::map<std::string, Route> routes_;
};

struct HttpFixture {
    explicit HttpFixture(http::ServerOptions options = {}, Routes* own_routes = nullptr)
        : server(http::Server::make(options, own_routes != nullptr ? *own_routes : routes)) {
        const std::string path = folder.file("s.sock");
        REQUIRE(server->listen_unix(path).ok());
        unix_url = "unix://" + path;
        auto tcp = server->listen_tcp("127.0.0.1:0");
        REQUIRE(tcp.ok());
        tcp_url = *tcp;
        REQUIRE(server->start().ok());
    }

    ScratchFolder folder;
    Routes routes;
    std::unique_ptr<http::Server> server;
    std::string unix_url;
    std::string tcp_url;
};

// Reads a body to its end, then calls back with it.
inline void read_all(const std::shared_ptr<http::Exchange>& exchange, std::string so_far,
                     std::function<void(std::string)> then) {
    exchange->read_body(256 * 1024, [exchange, so_far = std::move(so_far),
                                     then](Result<http::BodyChunk> chunk) mutable {
        if (!chunk.ok()) {
            exchange->respond(http::problem(chunk.error()));
            return;
        }
        so_far += *chunk->bytes;
        if (chunk->last) {
            then(std::move(so_far));
        } else {
            read_all(exchange, std::move(so_far), then);
        }
    });
}

inline void echo_stream(const std::shared_ptr<http::Exchange>& exchange) {
    exchange->read_body(64 * 1024, [exchange](Result<http::BodyChunk> chunk) {
        if (!chunk.ok()) {
            exchange->abort();
            return;
        }
        const bool last = chunk->last;
        exchange->write(*chunk->bytes);
        if (last) {
            exchange->finish();
            return;
        }
        exchange->on_unsent_below(1024 * 1024, [exchange] {
            if (!exchange->closed()) echo_stream(exchange);
        });
    });
}

inline http::Response text(std::string body) {
    http::Response response;
    response.content_type = "text/plain";
    response.body = std::move(body);
    return response;
}

inline Routes::Routes() {
    add("/hello", [](const auto& exchange) { exchange->respond(text("hello")); });
    add("/echo", [](const auto& exchange) {
        read_all(exchange, "", [exchange](std::string body) { exchange->respond(text(body)); });
    });
    add("/echo-stream", [](const auto& exchange) {
        exchange->start_stream(200, "text/plain", {});
        echo_stream(exchange);
    });
    add("/unread", [](const auto& exchange) { exchange->respond(text("unread")); });
    add("/throw", [](const auto&) { throw std::bad_alloc(); });
}

// What no route takes is answered with its method, segments and query, one a line.
inline void Routes::handle(const std::shared_ptr<http::Exchange>& exchange) {
    const http::Request& request = exchange->request();
    const auto route = routes_.find(request.path);
    if (route != routes_.end()) {
        route->second(exchange);
        return;
    }
    std::string out = request.method + "\n";
    for (const std::string& segment : request.segments) out += "/" + segment + "\n";
    for (const auto& [name, value] : request.query) out += name + "=" + value + "\n";
    exchange->respond(text(out));
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_HTTP_FIXTURE_H
