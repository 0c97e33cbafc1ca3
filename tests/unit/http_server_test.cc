#include <doctest/doctest.h>

#include "support/http_fixture.h"

using klog::http::Exchange;
using klog::test::HttpFixture;
using klog::test::RawHttp;
using klog::test::RawResponse;
using klog::test::Routes;

namespace {

std::string get(const std::string& target, const std::string& fields = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}

std::string post(const std::string& target, const std::string& body) {
    return "POST " + target +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

const std::string kChunkedHead =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

TEST_SUITE_BEGIN("http server, concurrent");

TEST_CASE("http: a connection serves one request after the other, on both kinds of socket") {
    HttpFixture fixture;
    for (const std::string& url : {fixture.unix_url, fixture.tcp_url}) {
        RawHttp peer(url);
        for (int i = 0; i < 3; ++i) {
            REQUIRE(peer.send(get("/hello")));
            const RawResponse response = peer.read();
            CHECK(response.status == 200);
            CHECK(response.body == "hello");
            CHECK(response.headers.at("content-type") == "text/plain");
            CHECK(response.headers.count("connection") == 0);
        }
    }
    CHECK(fixture.server->stats().requests_total == 6);
    CHECK(fixture.server->stats().connections_total == 2);
}

TEST_CASE("http: pipelined requests are answered in order") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    std::string all;
    for (int i = 0; i < 100; ++i) all += post("/echo", "body " + std::to_string(i));
    REQUIRE(peer.send(all));
    for (int i = 0; i < 100; ++i) CHECK(peer.read().body == "body " + std::to_string(i));
}

TEST_CASE("http: the path's segments and the query are decoded each in its own way") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send(get("/a%2Fb+c/?filter=x%2B+y&empty&filter=")));
    CHECK(peer.read().body == "GET\n/a/b+c\n/\nfilter=x+ y\nempty=\nfilter=\n");
}

TEST_CASE("http: a body comes whole, stated or chunked, in one piece or byte by byte") {
    HttpFixture fixture;
    const std::string chunked =
        kChunkedHead + "5;x=\"y\"\r\nhello\r\n1\r\n,\r\n6 \r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    for (const std::string& bytes : {chunked, post("/echo", "hello, world")}) {
        RawHttp peer(fixture.tcp_url);
        REQUIRE(peer.send(bytes));
        CHECK(peer.read().body == "hello, world");
        for (const char c : bytes) REQUIRE(peer.send(std::string(1, c)));
        CHECK(peer.read().body == "hello, world");
    }
}

TEST_CASE("http: a large body streams in and out at once") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    REQUIRE(
        peer.send("POST /echo-stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    CHECK(peer.read_head().status == 200);
    for (int i = 0; i < 20; ++i) {
        const std::string data(1 + static_cast<std::size_t>(i) * 1000, static_cast<char>('a' + i));
        char size[16];
        std::snprintf(size, sizeof size, "%zx\r\n", data.size());
        REQUIRE(peer.send(size + data + "\r\n"));
        // The answer to this part comes while the request still goes on.
        std::string back;
        while (back.size() < data.size()) {
            std::string chunk;
            REQUIRE(peer.read_chunk(chunk));
            back += chunk;
        }
        CHECK(back == data);
    }
    REQUIRE(peer.send("0\r\n\r\n"));
    std::string chunk = "x";
    REQUIRE(peer.read_chunk(chunk));
    CHECK(chunk.empty());
    REQUIRE(peer.send(get("/hello")));
    CHECK(peer.read().body == "hello");
}

TEST_CASE("http: 100-continue is answered when the handler reads") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    const std::string fields = "Host: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    REQUIRE(peer.send("POST /echo HTTP/1.1\r\n" + fields));
    CHECK(peer.read().status == 100);
    REQUIRE(peer.send("abc"));
    CHECK(peer.read().body == "abc");
    // Refused without reading: nobody can tell what follows, so it is closed.
    REQUIRE(peer.send("POST /unread HTTP/1.1\r\n" + fields));
    const RawResponse response = peer.read();
    CHECK(response.body == "unread");
    CHECK(response.headers.at("connection") == "close");
    CHECK(peer.wait_for_close());
}

TEST_CASE("http: HEAD gets the head alone, HTTP/1.0 and close get one answer") {
    HttpFixture fixture;
    {
        RawHttp peer(fixture.unix_url);
        REQUIRE(peer.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n" + get("/hello")));
        const RawResponse head = peer.read(true);
        CHECK(head.status == 200);
        CHECK(head.headers.at("content-length") == "5");
        CHECK(peer.read().body == "hello");
    }
    for (const char* request : {"GET /hello HTTP/1.0\r\n\r\n",
                                "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n"}) {
        RawHttp peer(fixture.unix_url);
        REQUIRE(peer.send(request));
        CHECK(peer.read().body == "hello");
        CHECK(peer.wait_for_close());
    }
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send("POST /echo-stream HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"));
    const RawResponse response = peer.read();
    CHECK(response.headers.count("transfer-encoding") == 0);
    CHECK(response.body == "abc");
}

TEST_CASE("http: a body that the handler did not read is skipped, or the connection ends") {
    HttpFixture fixture;
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send(post("/unread", std::string(100'000, 'x')) + get("/hello")));
    CHECK(peer.read().body == "unread");
    CHECK(peer.read().body == "hello");
    REQUIRE(peer.send("POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nabc"));
    const RawResponse response = peer.read();
    CHECK(response.body == "unread");
    CHECK(response.headers.at("connection") == "close");
    CHECK(peer.wait_for_close());
}

TEST_CASE("http: a request that runs out of memory is answered and costs no more") {
    Routes routes;
    routes.add("/throw-blocking", [](const std::shared_ptr<Exchange>& exchange) {
        exchange->run_blocking([] { throw std::bad_alloc(); }, [] {});
    });
    HttpFixture fixture({}, &routes);
    for (const char* path : {"/throw", "/throw-blocking"}) {
        RawHttp peer(fixture.unix_url);
        REQUIRE(peer.send(get(path)));
        const RawResponse response = peer.read();
        CHECK(response.status == 503);
        CHECK(response.body.find("\"code\":\"backpressure\"") != std::string::npos);
    }
    RawHttp other(fixture.unix_url);
    REQUIRE(other.send(get("/hello")));
    CHECK(other.read().status == 200);
}

TEST_CASE("http: a request that fails when its outcome is open ends without an answer") {
    Routes routes;
    routes.add("/open", [](const std::shared_ptr<Exchange>& exchange) {
        exchange->outcome_is_open();
        throw std::bad_alloc();
    });
    routes.add("/open-later", [](const std::shared_ptr<Exchange>& exchange) {
        exchange->outcome_is_open();
        exchange->run_blocking([] { throw std::bad_alloc(); }, [] {});
    });
    HttpFixture fixture({}, &routes);
    for (const char* path : {"/open", "/open-later"}) {
        RawHttp peer(fixture.unix_url);
        REQUIRE(peer.send(get(path)));
        CHECK(peer.read().status == 0);
    }
    RawHttp other(fixture.unix_url);
    REQUIRE(other.send(get("/hello")));
    CHECK(other.read().status == 200);
}

TEST_SUITE_END();
