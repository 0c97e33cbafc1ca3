#include <doctest/doctest.h>

#include <thread>

#include "daemon/http/client.h"
#include "support/http_fixture.h"

using klog::Code;
using klog::http::Client;
using klog::http::ClientRequest;
using klog::test::HttpFixture;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("http client, concurrent");

TEST_CASE("http client: requests and answers, on both kinds of socket") {
    HttpFixture fixture;
    for (const std::string& url : {fixture.unix_url, fixture.tcp_url}) {
        auto client = Client::connect(url, 1s);
        REQUIRE(client.ok());
        for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{3'000'000}}) {
            ClientRequest request;
            request.method = "POST";
            request.target = "/echo";
            request.content_type = "text/plain";
            request.body = std::string(size, 'x');
            REQUIRE((*client)->send(request).ok());
            auto head = (*client)->read_head(10s);
            REQUIRE(head.ok());
            CHECK(head->status == 200);
            CHECK(head->content_type == "text/plain");
            CHECK(head->header("content-length") == std::to_string(size));
            auto body = (*client)->read_all(size, 10s);
            REQUIRE(body.ok());
            CHECK(*body == request.body);
        }
        ClientRequest head_request;
        head_request.method = "HEAD";
        head_request.target = "/hello";
        REQUIRE((*client)->send(head_request).ok());
        REQUIRE((*client)->read_head(10s).ok());
        CHECK((*client)->read_all(0, 10s).value().empty());
        ClientRequest other;
        other.target = "/" + klog::http::encode_component("a/b +%") +
                       "?q=" + klog::http::encode_component("\xc3\xa4&=");
        REQUIRE((*client)->send(other).ok());
        REQUIRE((*client)->read_head(10s).ok());
        CHECK((*client)->read_all(1000, 10s).value() == "GET\n/a/b +%\nq=\xc3\xa4&=\n");
    }
}

TEST_CASE("http client: one thread writes a body while the other reads the answer") {
    HttpFixture fixture;
    auto client = Client::connect(fixture.unix_url, 1s);
    REQUIRE(client.ok());
    ClientRequest request;
    request.method = "POST";
    request.target = "/echo-stream";
    request.content_type = "text/plain";
    request.stream_body = true;
    REQUIRE((*client)->send(request).ok());
    constexpr std::size_t kParts = 200;
    std::thread writer([&] {
        for (std::size_t i = 0; i < kParts; ++i) {
            CHECK(
                (*client)->write_body(std::string(i * 500, static_cast<char>('a' + i % 26))).ok());
        }
        CHECK((*client)->end_body().ok());
    });
    REQUIRE((*client)->read_head(10s).ok());
    std::string all;
    for (;;) {
        auto some = (*client)->read_body(100'000, 10s);
        REQUIRE(some.ok());
        if (some->empty()) break;
        all += *some;
    }
    writer.join();
    std::string expected;
    for (std::size_t i = 0; i < kParts; ++i) {
        expected += std::string(i * 500, static_cast<char>('a' + i % 26));
    }
    CHECK(all == expected);
}

TEST_CASE("http client: time-outs, limits and broken connections have their codes") {
    klog::test::Routes routes;
    klog::test::Event here;
    routes.add("/hang", [&](const auto&) { here.set(); });
    routes.add("/half", [](const auto& exchange) {
        exchange->start_stream(200, "text/plain", {});
        exchange->write("half");
        exchange->on_unsent_below(0, [exchange] { exchange->abort(); });
    });
    HttpFixture fixture({}, &routes);
    ClientRequest request;
    request.target = "/hang";
    auto client = Client::connect(fixture.tcp_url, 1s);
    REQUIRE(client.ok());
    REQUIRE((*client)->send(request).ok());
    CHECK((*client)->read_head(10ms).error().code == Code::timeout);
    REQUIRE(here.wait());
    std::thread ender([&] { (*client)->shut_down(); });
    CHECK((*client)->read_head(0ms).error().code == Code::outcome_unknown);
    ender.join();

    client = Client::connect(fixture.unix_url, 1s);
    REQUIRE(client.ok());
    request.target = "/half";
    REQUIRE((*client)->send(request).ok());
    REQUIRE((*client)->read_head(10s).ok());
    CHECK((*client)->read_all(100, 10s).error().code == Code::outcome_unknown);

    client = Client::connect(fixture.unix_url, 1s);
    REQUIRE(client.ok());
    request.target = "/hello";
    REQUIRE((*client)->send(request).ok());
    REQUIRE((*client)->read_head(10s).ok());
    CHECK((*client)->read_all(4, 10s).error().code == Code::value_too_large);

    const std::string path = fixture.folder.file("s.sock");
    fixture.server.reset();
    CHECK(Client::connect("unix://" + path, 1s).error().code == Code::unreachable);
    CHECK(Client::connect(fixture.tcp_url, 1s).error().code == Code::unreachable);
    for (const char* url : {"", "unix://", "unix://relative", "ftp://x", "https://localhost:1",
                            "http://", "http://x:1/path"}) {
        CAPTURE(url);
        CHECK(Client::connect(url, 1s).error().code == Code::usage);
    }
}

TEST_SUITE_END();
