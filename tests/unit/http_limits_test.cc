// Each limit, each contradiction, each thing that a browser may not do.
#include <doctest/doctest.h>

#include <vector>

#include "support/http_fixture.h"

using klog::test::HttpFixture;
using klog::test::RawHttp;
using klog::test::RawResponse;
using namespace std::chrono_literals;

namespace {

// The answer, which must be a problem document and end the connection.
RawResponse refused(const std::string& url, const std::string& bytes) {
    RawHttp peer(url);
    // The server may refuse before it has taken all.
    (void)peer.send(bytes);
    RawResponse response = peer.read();
    CHECK(response.headers["content-type"] == "application/problem+json");
    CHECK(response.headers["connection"] == "close");
    CHECK(response.whole);
    CHECK(peer.wait_for_close());
    return response;
}

std::string with(const std::string& fields, const std::string& body = "") {
    return "POST /echo HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" + body;
}

bool has_code(const RawResponse& response, const std::string& code) {
    return response.body.find("\"code\":\"" + code + "\"") != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("http limits, concurrent");

TEST_CASE("http: contradictory framing is refused and the connection ends") {
    HttpFixture fixture;
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    using namespace std::string_literals;
    const std::vector<std::string> all = {
        with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        with("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
        with("Content-Length: 3, 3\r\n", "abc"),
        with("Content-Length: +3\r\n", "abc"),
        with("Content-Length: 0x3\r\n", "abc"),
        with("Content-Length: \r\n", "abc"),
        with("Content-Length: 99999999999999999999\r\n", "abc"),
        with("Content-Length: 3\r\n" + chunked, "0\r\n\r\n"),
        with(chunked + "Content-Length: 3\r\n", "0\r\n\r\n"),
        with(chunked + chunked, "0\r\n\r\n"),
        with("X: a\r\n b\r\n"),
        with("X: a\r\n\tb\r\n"),
        with("X : a\r\n"),
        with("X\r\n"),
        with(": a\r\n"),
        with("X: a\rb\r\n"),
        with("X: a\x01\r\n"),
        "GET /hello HTTP/1.1\nHost: x\n\n",
        "GET /hello HTTP/1.1\r\nHost: x\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n"s,
        "GET /hel\0lo"s,
        "GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /hello\r\nHost: x\r\n\r\n",
        "GET hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a%2 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a%g0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a?b=% HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x00\xa5 a TLS client\n"s,
    };
    for (const std::string& bytes : all) {
        CAPTURE(bytes);
        const RawResponse response = refused(fixture.unix_url, bytes);
        CHECK(response.status == 400);
        CHECK(has_code(response, "bad_request"));
    }
    CHECK(refused(fixture.unix_url, with("Transfer-Encoding: gzip\r\n")).status == 501);
    CHECK(refused(fixture.unix_url, with("Transfer-Encoding: gzip, chunked\r\n")).status == 501);
    CHECK(refused(fixture.unix_url, with("Expect: wonders\r\nContent-Length: 1\r\n")).status ==
          417);
    // One empty line in front is forgiven.
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send("\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(peer.read().status == 200);
}

TEST_CASE("http: a broken chunk is refused and the connection ends") {
    HttpFixture fixture;
    const std::vector<std::string> all = {
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "0x1\r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\na\rx",
        "1;\x01\r\n",
        "1000000000000000\r\n",
        "ffffffffffffffffff\r\n",
        "1;" + std::string(5000, 'x'),
        "0\r\n folded\r\n\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\n\rx",
        "0\r\nX: " + std::string(20'000, 'x'),
    };
    for (const std::string& body : all) {
        CAPTURE(body);
        CHECK(refused(fixture.unix_url, with("Transfer-Encoding: chunked\r\n", body)).status ==
              400);
    }
}

TEST_CASE("http: heads that are too large are refused while they come") {
    klog::http::ServerOptions options;
    options.limits.header_bytes_max = 1000;
    options.limits.header_fields_max = 10;
    options.limits.target_bytes_max = 2000;
    options.limits.body_bytes_max = 5000;
    HttpFixture fixture(options);
    std::string many;
    for (int i = 0; i < 10; ++i) many += "X: y\r\n";
    CHECK(refused(fixture.unix_url, with(many)).status == 431);
    CHECK(refused(fixture.unix_url, with("X: " + std::string(1000, 'y') + "\r\n")).status == 431);
    // Also without an end in sight.
    CHECK(refused(fixture.unix_url, "GET / HTTP/1.1\r\nX: " + std::string(1100, 'y')).status ==
          431);
    for (const std::string& bytes :
         {"GET /" + std::string(2000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n",
          "GET /" + std::string(2100, 'x')}) {
        const RawResponse response = refused(fixture.unix_url, bytes);
        CHECK(response.status == 414);
        CHECK(response.body.find("envelope=true") != std::string::npos);
    }
    CHECK(refused(fixture.unix_url, with("Content-Length: 5001\r\n")).status == 413);
    // All at their limits at once.
    RawHttp peer(fixture.unix_url);
    std::string fields = "Host: x\r\n";
    for (int i = 0; i < 8; ++i) fields += "X: y\r\n";
    fields += "Y: " + std::string(1000 - fields.size() - 7, 'y') + "\r\n\r\n";
    REQUIRE(fields.size() == 1000);
    REQUIRE(peer.send("GET /" + std::string(1999, 'x') + " HTTP/1.1\r\n" + fields));
    CHECK(peer.read().status == 200);
}

TEST_CASE("http: the limits that are the default hold a head of their size") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    const std::string target = "/" + std::string(64 * 1024 - 1, 'x');
    REQUIRE(peer.send("GET " + target + " HTTP/1.1\r\nHost: x\r\nX: " + std::string(16'000, 'y') +
                      "\r\n\r\n"));
    CHECK(peer.read().body == "GET\n" + target + "\n");
}

TEST_CASE("http: slow heads and bodies are answered with 408, idle connections closed") {
    klog::http::ServerOptions options;
    options.limits.header_timeout = 50ms;
    options.limits.body_timeout = 50ms;
    options.limits.idle_timeout = 1s;
    HttpFixture fixture(options);
    const RawResponse head = refused(fixture.unix_url, "GET /hello HT");
    CHECK(head.status == 408);
    CHECK(has_code(head, "timeout"));
    CHECK(refused(fixture.unix_url, with("Content-Length: 5\r\n", "abc")).status == 408);
    CHECK(refused(fixture.unix_url, with("Transfer-Encoding: chunked\r\n", "5\r\nabc")).status ==
          408);
    RawHttp silent(fixture.tcp_url);
    CHECK(silent.read().status == 0);
    CHECK(silent.wait_for_close());
    RawHttp idle(fixture.tcp_url);
    REQUIRE(idle.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(idle.read().status == 200);
    CHECK(idle.wait_for_close());
}

TEST_CASE("http: an answer that nobody takes ends the connection, and the handler is told") {
    klog::http::ServerOptions options;
    options.limits.write_timeout = 50ms;
    klog::test::Routes routes;
    klog::test::Event closed;
    routes.add("/flood", [&](const std::shared_ptr<klog::http::Exchange>& exchange) {
        exchange->on_closed([&, exchange] {
            if (exchange->closed()) closed.set();
        });
        exchange->start_stream(200, "text/plain", {});
        exchange->write(std::string(16 * 1024 * 1024, 'x'));
    });
    HttpFixture fixture(options, &routes);
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(closed.wait());
}

TEST_CASE("http: connections above their limit are told so") {
    klog::http::ServerOptions options;
    options.limits.connections_max = 2;
    HttpFixture fixture(options);
    const std::string request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    RawHttp first(fixture.unix_url);
    RawHttp second(fixture.unix_url);
    REQUIRE(first.send(request));
    REQUIRE(second.send(request));
    CHECK(first.read().status == 200);
    CHECK(second.read().status == 200);
    RawResponse answer = refused(fixture.unix_url, request);
    CHECK(answer.status == 503);
    CHECK(answer.headers["retry-after"] == "1");
    first.close();
    // A place comes free as soon as the server has noticed.
    int status = 503;
    const auto until = std::chrono::steady_clock::now() + klog::test::kWaitLimit;
    while (status == 503 && std::chrono::steady_clock::now() < until) {
        RawHttp third(fixture.unix_url);
        (void)third.send(request);
        status = third.read().status;
    }
    CHECK(status == 200);
}

TEST_CASE("http: descriptors that are kept for files are not taken by connections") {
    klog::http::ServerOptions options;
    options.limits.descriptors_max = 1;  // all that a process has are above it
    HttpFixture fixture(options);
    RawResponse answer = refused(fixture.unix_url, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(answer.status == 503);
    CHECK(answer.headers["retry-after"] == "1");
    CHECK(has_code(answer, "backpressure"));
    CHECK(fixture.server->stats().connections_max == 1);
}

TEST_CASE("http: over TCP the Host must be this machine's own") {
    HttpFixture fixture;
    const auto ask = [](const std::string& host) {
        return "GET /hello HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    };
    for (const char* host : {"localhost", "LocalHost:80", "a.localhost:7070", "127.0.0.1",
                             "127.1.2.3:1", "[::1]", "[::1]:8080"}) {
        CAPTURE(host);
        RawHttp peer(fixture.tcp_url);
        REQUIRE(peer.send(ask(host)));
        CHECK(peer.read().status == 200);
    }
    for (const char* host :
         {"example.com", "localhost.example.com", "127.0.0.1.example.com", "127.0.0", "127.0.0.1.1",
          "10.0.0.1", "[::2]", "[::1].x", "xlocalhost", ".localhost", "localhost:80x", ""}) {
        CAPTURE(host);
        const RawResponse response = refused(fixture.tcp_url, ask(host));
        CHECK(response.status == 403);
        CHECK(has_code(response, "not_allowed"));
    }
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send(ask("example.com")));
    CHECK(peer.read().status == 200);
}

TEST_CASE("http: pages of elsewhere are refused, allowed ones get their CORS headers") {
    klog::http::ServerOptions options;
    options.allowed_origins = {"http://localhost:3000"};
    HttpFixture fixture(options);
    const auto ask = [](const std::string& method, const std::string& fields) {
        return method + " /hello HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
    };
    for (const char* fields :
         {"Origin: http://evil.example\r\n", "Origin: null\r\n",
          "Origin: http://localhost:30001\r\n", "Origin: http://localhost:3000/\r\n",
          "Sec-Fetch-Site: cross-site\r\n"}) {
        CAPTURE(fields);
        for (const std::string& url : {fixture.unix_url, fixture.tcp_url}) {
            RawResponse response = refused(url, ask("GET", fields));
            CHECK(response.status == 403);
            CHECK(has_code(response, "not_allowed"));
            CHECK(response.headers.count("access-control-allow-origin") == 0);
        }
    }
    const std::string origin = "Origin: http://localhost:3000\r\n";
    RawHttp peer(fixture.tcp_url);
    REQUIRE(peer.send(ask("GET", origin + "Sec-Fetch-Site: cross-site\r\n")));
    RawResponse response = peer.read();
    CHECK(response.status == 200);
    CHECK(response.headers["access-control-allow-origin"] == "http://localhost:3000");
    CHECK(response.headers["vary"] == "Origin");
    REQUIRE(peer.send(ask("OPTIONS", origin + "Access-Control-Request-Method: POST\r\n")));
    response = peer.read();
    CHECK(response.status == 204);
    CHECK(response.headers["access-control-allow-origin"] == "http://localhost:3000");
    CHECK(response.headers["access-control-allow-methods"].find("POST") != std::string::npos);
    REQUIRE(peer.send(ask("GET", "")));
    CHECK(peer.read().headers.count("access-control-allow-origin") == 0);
}

TEST_SUITE_END();
