// How connections and servers begin and end.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "support/http_fixture.h"

using klog::Code;
using klog::http::Exchange;
using klog::test::Event;
using klog::test::HttpFixture;
using klog::test::RawHttp;
using klog::test::RawResponse;
using klog::test::Routes;
using namespace std::chrono_literals;

namespace {

std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

std::unique_ptr<klog::http::Server> make_server(Routes& routes) {
    return klog::http::Server::make({}, routes);
}

}  // namespace

TEST_SUITE_BEGIN("http life, concurrent");

TEST_CASE("http: a handler learns that its peer has gone, while it streams nothing") {
    for (const bool tcp : {false, true}) {
        Routes routes;
        Event started;
        Event closed;
        routes.add("/tail", [&](const std::shared_ptr<Exchange>& exchange) {
            exchange->on_closed([&] { closed.set(); });
            exchange->start_stream(200, "text/plain", {});
            exchange->write("first");
            started.set();
        });
        HttpFixture fixture({}, &routes);
        RawHttp peer(tcp ? fixture.tcp_url : fixture.unix_url);
        REQUIRE(peer.send(get("/tail") + get("/hello")));
        CHECK(peer.read_head().status == 200);
        CHECK(started.wait());
        CHECK_FALSE(closed.is_set());
        peer.close();
        CHECK(closed.wait());
    }
}

TEST_CASE("http: a peer that closed its sending side still gets its answer") {
    for (const bool tcp : {false, true}) {
        Routes routes;
        std::shared_ptr<Exchange> waiting;
        Event here;
        routes.add("/later", [&](const std::shared_ptr<Exchange>& exchange) {
            waiting = exchange;
            here.set();
        });
        HttpFixture fixture({}, &routes);
        RawHttp peer(tcp ? fixture.tcp_url : fixture.unix_url);
        REQUIRE(peer.send(get("/later")));
        peer.close_sending();
        REQUIRE(here.wait());
        Event done;
        // By then the end of input was seen.
        waiting->post([&] {
            waiting->set_timer(20ms, [&] {
                waiting->respond(klog::test::text("late"));
                done.set();
            });
        });
        CHECK(done.wait());
        CHECK(peer.read().body == "late");
        CHECK(peer.wait_for_close());
    }
}

TEST_CASE("http: a peer that sent two requests and closed its sending side gets both answers") {
    for (const bool tcp : {false, true}) {
        Routes routes;
        std::shared_ptr<Exchange> waiting;
        Event here;
        routes.add("/later", [&](const std::shared_ptr<Exchange>& exchange) {
            waiting = exchange;
            here.set();
        });
        HttpFixture fixture({}, &routes);
        RawHttp peer(tcp ? fixture.tcp_url : fixture.unix_url);
        // Behind them half a head, which is nobody's.
        REQUIRE(peer.send(get("/later") + get("/hello") + "GET /half HTTP/1.1\r\nHost"));
        peer.close_sending();
        REQUIRE(here.wait());
        // By the time that it fires the end of input was seen.
        waiting->post(
            [&] { waiting->set_timer(20ms, [&] { waiting->respond(klog::test::text("late")); }); });
        CHECK(peer.read().body == "late");
        CHECK(peer.read().body == "hello");
        CHECK(peer.wait_for_close());
    }
}

TEST_CASE("http: work, timers and blocking work come back to the exchange") {
    Routes routes;
    routes.add("/work", [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->set_timer(1h, [exchange] { exchange->abort(); });
        exchange->set_timer(1ms, [exchange] {
            auto found = std::make_shared<std::string>();
            exchange->run_blocking(
                [found] { *found = "found"; },
                [exchange, found] { exchange->respond(klog::test::text(*found)); });
        });
    });
    HttpFixture fixture({}, &routes);
    RawHttp peer(fixture.unix_url);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(peer.send(get("/work")));
        CHECK(peer.read().body == "found");
    }
}

TEST_CASE("http: what is written in one turn goes out as one chunk") {
    Routes routes;
    bool inside = false;
    routes.add("/chunks", [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->start_stream(200, "text/plain", {{"X-Evil", "a\r\nSet-Cookie: b"}});
        exchange->write("a");
        exchange->write(std::string(100'000, 'b'));
        exchange->write("c");
        CHECK(exchange->unsent_bytes() >= 100'002);
        inside = true;
        exchange->on_unsent_below(0, [&, exchange] {
            CHECK_FALSE(inside);
            exchange->write("d");
            exchange->finish();
        });
        inside = false;
    });
    HttpFixture fixture({}, &routes);
    RawHttp peer(fixture.unix_url);
    REQUIRE(peer.send(get("/chunks") + get("/hello")));
    CHECK(peer.read_head().headers.count("set-cookie") == 0);
    std::string chunk;
    REQUIRE(peer.read_chunk(chunk));
    CHECK(chunk == "a" + std::string(100'000, 'b') + "c");
    REQUIRE(peer.read_chunk(chunk));
    CHECK(chunk == "d");
    REQUIRE(peer.read_chunk(chunk));
    CHECK(chunk.empty());
    CHECK(peer.read().body == "hello");
}

TEST_CASE("http: draining lets exchanges end, and ends the rest at its limit") {
    Routes routes;
    Event started;
    Event closed;
    routes.add("/tail", [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->on_drain([exchange] {
            exchange->write("last");
            exchange->finish();
        });
        exchange->start_stream(200, "text/plain", {});
        exchange->write("first,");
    });
    routes.add("/stuck", [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->on_closed([&, exchange] { closed.set(); });
        started.set();
    });
    HttpFixture fixture({}, &routes);
    RawHttp idle(fixture.unix_url);
    REQUIRE(idle.send(get("/hello")));
    CHECK(idle.read().status == 200);
    RawHttp tail(fixture.unix_url);
    REQUIRE(tail.send(get("/tail")));
    CHECK(tail.read_head().status == 200);
    RawHttp stuck(fixture.tcp_url);
    REQUIRE(stuck.send(get("/stuck")));
    REQUIRE(started.wait());
    std::thread drain([&] { fixture.server->drain(2s); });
    std::string all;
    std::string chunk;
    while (tail.read_chunk(chunk) && !chunk.empty()) all += chunk;
    CHECK(all == "first,last");
    CHECK(tail.wait_for_close());
    CHECK(idle.wait_for_close());
    CHECK(stuck.wait_for_close());
    drain.join();
    CHECK(closed.is_set());
    CHECK(fixture.server->stats().connections_open == 0);
    CHECK_THROWS(RawHttp(fixture.unix_url));
    CHECK_FALSE(std::filesystem::exists(fixture.folder.file("s.sock")));
}

TEST_CASE("http: a socket file has its mode, a living one is not taken, a stale one is") {
    HttpFixture fixture;
    const std::string path = fixture.folder.file("s.sock");
    struct stat file {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 07777U) == 0660);
    CHECK(fixture.server->owns_unix(path));
    auto second = make_server(fixture.routes);
    CHECK(second->listen_unix(path).error().code == Code::locked);
    CHECK_FALSE(second->owns_unix(path));
    // Another file in its place is another's, and stays.
    std::filesystem::remove(path);
    CHECK_FALSE(fixture.server->owns_unix(path));
    REQUIRE(second->listen_unix(path).ok());
    CHECK(second->owns_unix(path));
    CHECK_FALSE(fixture.server->owns_unix(path));
    fixture.server->close_unix(path);
    CHECK(std::filesystem::exists(path));
    // One that was left behind refuses connections.
    std::filesystem::rename(path, fixture.folder.file("stale"));
    second.reset();
    std::filesystem::rename(fixture.folder.file("stale"), path);
    CHECK(fixture.server->listen_unix(path).ok());
    RawHttp peer("unix://" + path);
    REQUIRE(peer.send(get("/hello")));
    CHECK(peer.read().status == 200);
}

TEST_CASE("http: addresses that cannot be are refused by name") {
    Routes routes;
    auto server = make_server(routes);
    klog::test::ScratchFolder folder;
    const auto long_path = server->listen_unix(folder.file(std::string(120, 'x')));
    CHECK(long_path.error().code == Code::config);
    CHECK(long_path.error().message.find("107") != std::string::npos);
    CHECK(long_path.error().message.find(folder.file("xxx")) != std::string::npos);
    CHECK(server->listen_unix(folder.file("none/s.sock")).error().code == Code::io);
    std::ofstream(folder.file("file")) << "data";
    CHECK(server->listen_unix(folder.file("file")).error().code == Code::config);
    CHECK(std::filesystem::exists(folder.file("file")));
    for (const char* address : {"0.0.0.0:0", "[::]:0", "10.0.0.1:80", "example.com:80", "127.0.0.1",
                                "127.0.0.1:x", "127.0.0.1:70000", "::1:80", ""}) {
        CAPTURE(address);
        CHECK(server->listen_tcp(address).error().code == Code::config);
    }
    const auto url = server->listen_tcp("localhost:0");
    REQUIRE(url.ok());
    CHECK(url->rfind("http://127.0.0.1:", 0) == 0);
    CHECK(server->listen_tcp(url->substr(7)).error().code == Code::locked);
}

TEST_CASE("http: out of descriptors, it waits and goes on") {
    HttpFixture fixture;
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    RawHttp first(fixture.unix_url);
    REQUIRE(first.send(get("/hello")));
    CHECK(first.read().status == 200);
    // The descriptor of the second client is the last that there is.
    RawHttp second(fixture.unix_url);
    REQUIRE(second.send(get("/hello")));
    CHECK(second.read().status == 200);
    std::vector<int> taken;
    rlimit low = before;
    low.rlim_cur = 256;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken.push_back(fd);
    REQUIRE_FALSE(taken.empty());
    ::close(taken.back());
    taken.pop_back();
    RawHttp third(fixture.unix_url);
    CHECK(third.send(get("/hello")));
    // Those that are open are served on.
    CHECK(first.send(get("/hello")));
    CHECK(first.read().status == 200);
    for (const int fd : taken) ::close(fd);
    CHECK(third.read().status == 200);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("http: many connections at once each get their own answers") {
    HttpFixture fixture;
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            RawHttp peer(t % 2 == 0 ? fixture.unix_url : fixture.tcp_url);
            for (int i = 0; i < 200; ++i) {
                const std::string body = std::to_string(t) + ":" + std::to_string(i);
                const bool sent =
                    peer.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body);
                if (sent && peer.read().body == body) ++good;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == 1600);
}

TEST_SUITE_END();
