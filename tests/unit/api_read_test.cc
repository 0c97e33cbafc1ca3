// Reads and tails.
#include <doctest/doctest.h>

#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;

namespace {

struct ReadFixture : ApiFixture {
    ReadFixture() {
        log().add("orders/1/created", "1", "10");
        log().add("orders/2/created", "2", "20");
        log().add("users/1", "1", "30");
        log().add("orders/1/completed", "1", "40");
    }
    std::vector<int> seqs(const std::string& query) const {
        const auto exchange = get("/v1/records?" + query);
        CAPTURE(query);
        CHECK(exchange->status() == 200);
        std::vector<int> found;
        for (const auto& line : lines_of(*exchange)) {
            if (line.contains("seq")) found.push_back(line["seq"]);
        }
        return found;
    }
    std::string code(const std::string& query) const {
        const auto exchange = get("/v1/records?" + query);
        return exchange->status() == 400 ? body_of(*exchange)["code"].get<std::string>() : "";
    }
};

using Seqs = std::vector<int>;

}  // namespace

TEST_CASE("api read: filters, keys and start points") {
    ReadFixture api;
    CHECK(api.seqs("") == Seqs{1, 2, 3, 4});
    CHECK(api.seqs("filter=orders/>&not=orders/2/created") == Seqs{1, 4});
    CHECK(api.seqs("filter=users/1&filter=orders/*/completed") == Seqs{3, 4});
    CHECK(api.seqs("key=1&filter=orders/>") == Seqs{1, 4});
    CHECK(api.seqs("after=2") == Seqs{3, 4});
    CHECK(api.seqs("from=2&limit=2") == Seqs{2, 3});
    CHECK(api.seqs("from=start&until=2") == Seqs{1, 2});
    CHECK(api.seqs("from=end").empty());
    CHECK(api.seqs("last=2&filter=orders/>") == Seqs{2, 4});
    CHECK(api.seqs("last=0").empty());
    CHECK(api.seqs("from=2026-11-22T13:39:00.000003Z") == Seqs{3, 4});
    CHECK(api.seqs("from=2h") == Seqs{1, 2, 3, 4});
    CHECK(api.seqs("from=59m").empty());
    CHECK(api.seqs("after=9&until=9").empty());
    api.log().disk_reads_ = true;
    api.log().scan_step_ = 1;
    CHECK(api.seqs("filter=users/>") == Seqs{3});
}

TEST_CASE("api read: how far it looked stands in the head") {
    ReadFixture api;
    const auto read_to = [&](const std::string& query) {
        return api.get("/v1/records?" + query)->header("Klog-Read-To");
    };
    CHECK(read_to("filter=nothing") == "4");
    CHECK(read_to("until=2") == "2");
    CHECK(read_to("after=9") == "9");
    CHECK(read_to("after=3&until=1") == "3");
    CHECK(read_to("limit=1") == "4");
    CHECK(read_to("follow=true").empty());
}

TEST_CASE("api read: parameters that are wrong are refused") {
    ReadFixture api;
    CHECK(api.code("from=start&after=1") == "bad_option");
    CHECK(api.code("after=x") == "bad_option");
    CHECK(api.code("from=soon") == "bad_option");
    CHECK(api.code("until=") == "bad_option");
    CHECK(api.code("limit=0") == "bad_option");
    CHECK(api.code("follow=yes") == "bad_option");
    CHECK(api.code("newest_per_key=1") == "bad_option");
    CHECK(api.code("newest_per_key=true&from=1&last=1") == "bad_option");
    CHECK(api.code("limit=1&limit=2") == "bad_option");
    for (const char* later : {"where=x", "from_snapshot=true", "reducer=r"}) {
        CHECK(api.code(later) == "unknown_parameter");
    }
    const auto space = api.get("/v1/records?filter=orders/+/x");
    CHECK(body_of(*space)["code"] == "bad_filter");
    CHECK(body_of(*space)["hint"].get<std::string>().find("%2B") != std::string::npos);
    const auto near = api.get("/v1/records?filtre=a");
    CHECK(body_of(*near)["hint"] == "did you mean 'filter'?");
}

TEST_CASE("api read: a start behind the end is a mistake, a cursor behind it is not") {
    ReadFixture api;
    for (const char* wrong :
         {"from=3&until=2", "from=2026-11-22T13:39:01Z&until=2026-11-22T13:39:00Z",
          "from=1m&until=1h", "from=59m&until=2026-11-22T13:39:00Z",
          "from=2026-11-22T13:39:00Z&until=1d"}) {
        const auto exchange = api.get(std::string("/v1/records?") + wrong);
        CAPTURE(std::string(wrong));
        REQUIRE(exchange->status() == 400);
        CHECK(body_of(*exchange)["code"] == "bad_option");
    }
    const auto told = api.get("/v1/records?from=3&until=2");
    CHECK(body_of(*told)["detail"] == "'from' (3) lies after 'until' (2)");
    CHECK(api.seqs("from=3&until=3") == Seqs{3});
    CHECK(api.seqs("from=1h&until=1h").size() <= 4);
    CHECK(api.seqs("after=2&until=2").empty());
    CHECK(api.seqs("after=3&until=2").empty());
    CHECK(api.seqs("from=3&until=1h").size() <= 2);  // a seq and a time cannot be compared
}

TEST_CASE("api count: filters, keys and ranges, in steps") {
    ReadFixture api;
    const auto count = [&](const std::string& query) {
        const auto exchange = api.get("/v1/count?" + query);
        CAPTURE(query);
        REQUIRE(exchange->status() == 200);
        return body_of(*exchange)["count"].get<int>();
    };
    for (const bool disk : {false, true}) {
        api.log().disk_reads_ = disk;
        api.log().scan_step_ = disk ? 1 : 1000;
        CHECK(count("") == 4);
        CHECK(count("filter=orders/>&not=orders/2/created") == 2);
        CHECK(count("key=1") == 3);
        CHECK(count("after=1&until=3") == 2);
        CHECK(count("after=9") == 0);
    }
    CHECK(api.log().readers_ == 0);
    api.log().read_error_ = Error{Code::corrupt, "a frame is damaged", {}};
    CHECK(api.get("/v1/count")->status() == 500);
    CHECK(api.get("/v1/count?from=1")->status() == 400);
    CHECK(body_of(*api.get("/v1/count?filter=a+b"))["hint"].get<std::string>().find("%2B") !=
          std::string::npos);
}

TEST_CASE("api read: marks tell how far was looked, unless the limit cut the answer short") {
    ReadFixture api;
    const auto last = [&](const std::string& query) {
        return lines_of(*api.get("/v1/records?" + query)).back();
    };
    CHECK(last("marks=true&filter=users/>") ==
          nlohmann::json::parse(R"({"mark":{"seq":4,"head":true}})"));
    CHECK(last("marks=true&until=2") == nlohmann::json::parse(R"({"mark":{"seq":2}})"));
    CHECK(last("marks=true&limit=2")["seq"] == 2);
    // A cursor ahead of the head is not the newest seq.
    CHECK(last("marks=true&after=9") == nlohmann::json::parse(R"({"mark":{"seq":9}})"));
}

TEST_CASE("api read: a follower gets what comes, and ends at its limit") {
    ReadFixture api;
    const auto exchange = api.get("/v1/records?filter=orders/>&follow=true&limit=2");
    CHECK(exchange->stream_status_ == 200);
    CHECK(exchange->written_.empty());
    api.post("/v1/records?topic=users/9", "application/json", "1");
    exchange->run();
    CHECK(exchange->written_.empty());
    api.post("/v1/records?topic=orders/9", "application/json", "1");
    exchange->run();
    REQUIRE(lines_of(*exchange).size() == 1);
    CHECK(lines_of(*exchange)[0]["seq"] == 6);
    CHECK_FALSE(exchange->finished_);
    api.post("/v1/records?topic=orders/9", "application/json", "1");
    exchange->run();
    CHECK(exchange->finished_);
    CHECK(api.log().readers_ == 0);
}

TEST_CASE("api read: the newest of each key first, then what comes") {
    ReadFixture api;
    CHECK(api.seqs("newest_per_key=true") == Seqs{2, 3, 4});
    CHECK(api.seqs("newest_per_key=true&filter=orders/>&not=orders/1/completed") == Seqs{1, 2});
    CHECK(api.seqs("newest_per_key=true&until=2") == Seqs{1, 2});
    CHECK(api.seqs("newest_per_key=true&limit=2") == Seqs{2, 3});
    CHECK(api.seqs("newest_per_key=true&after=3") == Seqs{4});
    CHECK(api.seqs("newest_per_key=false") == Seqs{1, 2, 3, 4});
    // From the start although it follows; from elsewhere where that is said.
    const auto seqs_of = [](const FakeExchange& exchange) {
        Seqs found;
        for (const auto& line : lines_of(exchange)) found.push_back(line["seq"]);
        return found;
    };
    const auto follow = [&seqs_of](const std::string& from) {
        ReadFixture fresh;
        const auto exchange = fresh.get("/v1/records?newest_per_key=true&follow=true" + from);
        for (int i = 0; i < 2; ++i) {
            fresh.post("/v1/records?topic=orders/1/x&key=1", "application/json", "1");
        }
        exchange->run();
        return seqs_of(*exchange);
    };
    CHECK(follow("") == Seqs{2, 3, 4, 5, 6});
    CHECK(follow("&from=end") == Seqs{5, 6});
}

TEST_CASE("api read: heartbeats in their forms") {
    ReadFixture api;
    const auto plain = api.get("/v1/records?filter=none&follow=true");
    CHECK(plain->timer_after_ <= std::chrono::milliseconds(15'000));
    CHECK(plain->timer_after_ >= std::chrono::milliseconds(7'500));
    plain->fire_timer();
    CHECK(plain->written_ == "\n");
    CHECK(plain->timer_after_ == std::chrono::milliseconds(15'000));
    plain->fire_timer();
    CHECK(plain->written_ == "\n\n");

    const auto marks = api.get("/v1/records?filter=none&follow=true&marks=true");
    CHECK(marks->written_ == "{\"mark\":{\"seq\":4,\"head\":true}}\n");
    api.log().add("users/1", "1", "1");
    marks->fire_timer();
    CHECK(lines_of(*marks).back() == nlohmann::json::parse(R"({"mark":{"seq":5,"head":true}})"));

    const auto events = FakeExchange::make("GET", "/v1/records?filter=none&follow=true");
    events->request_.headers.emplace_back("accept", "text/event-stream");
    api.start(events);
    CHECK(events->stream_type_ == "text/event-stream");
    events->fire_timer();
    CHECK(events->written_ == ":\nid: 5\n\n");
}

TEST_CASE("api read: events carry their seq, and Last-Event-ID counts before the URL") {
    ReadFixture api;
    const auto events = FakeExchange::make("GET", "/v1/records?from=start&marks=true");
    events->request_.headers.emplace_back("accept", "text/event-stream");
    events->request_.headers.emplace_back("last-event-id", "3");
    api.start(events);
    CHECK(events->written_ ==
          "id: 4\ndata: {\"seq\":4,\"topic\":\"orders/1/completed\",\"key\":\"1\",\"version\":2,"
          "\"time\":\"2026-11-22T13:39:00.000004Z\",\"value\":40}\n\n"
          "event: mark\nid: 4\ndata: {\"mark\":{\"seq\":4,\"head\":true}}\n\n");
}

TEST_CASE("api read: a peer that does not read costs a bounded amount of memory") {
    ReadFixture api;
    const std::string value = "\"" + std::string(1000, 'x') + "\"";
    for (int i = 0; i < 5000; ++i) api.log().add("big", "", value);
    const auto exchange = FakeExchange::make("GET", "/v1/records?filter=big");
    exchange->peer_reads_ = false;
    api.start(exchange);
    CHECK(exchange->unsent_bytes() < 1'500'000);
    CHECK_FALSE(exchange->finished_);
    for (int i = 0; i < 20 && !exchange->finished_; ++i) exchange->take_unsent();
    CHECK(exchange->finished_);
    CHECK(lines_of(*exchange).size() == 5000);
}

TEST_CASE("api read: where all peers together left much untaken, each is given little at a time") {
    ReadFixture api;
    const std::string value = "\"" + std::string(1000, 'x') + "\"";
    for (int i = 0; i < 300; ++i) api.log().add("big", "", value);
    const auto exchange = FakeExchange::make("GET", "/v1/records?filter=big");
    exchange->peer_reads_ = false;
    exchange->unsent_of_all_ = 100'000'000;
    api.start(exchange);
    CHECK(exchange->unsent_bytes() > 1000);
    CHECK(exchange->unsent_bytes() < 20'000);
    CHECK_FALSE(exchange->finished_);
    // Who takes it gets all of it, and more at a time once the others have taken theirs.
    for (int i = 0; i < 5; ++i) exchange->take_unsent();
    CHECK_FALSE(exchange->finished_);
    CHECK(exchange->unsent_bytes() < 20'000);
    exchange->unsent_of_all_ = 0;
    exchange->take_unsent();
    exchange->take_unsent();
    CHECK(exchange->finished_);
    CHECK(lines_of(*exchange).size() == 300);
}

TEST_CASE("api read: a read that fails never looks whole") {
    ReadFixture api;
    api.log().scan_step_ = 2;
    const auto exchange = FakeExchange::make("GET", "/v1/records");
    exchange->peer_reads_ = false;
    std::string big(600'000, ' ');
    api.log().add("users/1", "", "[" + big + "]");
    api.log().add("users/1", "", "1");
    api.log().add("users/1", "", "1");
    api.start(exchange);
    REQUIRE_FALSE(exchange->finished_);
    api.log().read_error_ = Error{Code::corrupt, "a frame is damaged", {}};
    exchange->take_unsent();
    exchange->take_unsent();
    CHECK(exchange->aborted_);
    CHECK_FALSE(exchange->finished_);
    CHECK(lines_of(*exchange).back()["error"]["code"] == "corrupt");
    // Before anything was sent it is an ordinary error.
    const auto early = api.get("/v1/records");
    CHECK(early->status() == 500);
    CHECK(body_of(*early)["code"] == "corrupt");
}

TEST_CASE("api read: closed and drained followers let go of everything") {
    ReadFixture api;
    std::weak_ptr<FakeExchange> weak;
    {
        const auto exchange = api.get("/v1/records?follow=true");
        weak = exchange;
        CHECK(api.log().readers_ == 1);
        exchange->close();
        CHECK(api.log().readers_ == 0);
    }
    CHECK(weak.expired());
    {
        const auto exchange = api.get("/v1/records?follow=true");
        weak = exchange;
        exchange->drain();
        CHECK(exchange->finished_);
        CHECK(api.log().readers_ == 0);
    }
    CHECK(weak.expired());
}

TEST_CASE("api read: a HEAD gets the head alone") {
    ReadFixture api;
    const auto exchange = api.start(FakeExchange::make("HEAD", "/v1/records?follow=false"));
    REQUIRE(exchange->response_.has_value());
    CHECK(exchange->response_->content_type == "application/x-ndjson");
    CHECK(exchange->header("Klog-Read-To") == "4");
    CHECK(exchange->response_->body.empty());
}

TEST_CASE("api read: a key's history, whole or in part") {
    ReadFixture api;
    api.log().add("orders", "1", "50");
    api.log().add("ordersx", "1", "60");
    const auto history = [&](const std::string& query) {
        Seqs found;
        const auto exchange = api.get("/v1/spaces/orders/keys/1/history" + query);
        CHECK(exchange->status() == 200);
        for (const auto& line : lines_of(*exchange)) found.push_back(line["seq"]);
        return found;
    };
    CHECK(history("") == Seqs{1, 4, 5});
    CHECK(history("?from_version=2") == Seqs{4, 5});
    CHECK(history("?from_version=2&to_version=2") == Seqs{4});
    CHECK(history("?from_version=7").empty());
    CHECK(history("?last=2") == Seqs{4, 5});
    CHECK(history("?to_version=2&last=1") == Seqs{4});
    CHECK(history("?from_version=2&last=9") == Seqs{4, 5});
    CHECK(history("?last=0").empty());
    const auto order = api.get("/v1/spaces/orders/keys/1/history?from_version=3&to_version=2");
    CHECK(order->status() == 400);
    CHECK(body_of(*order)["code"] == "bad_option");
    CHECK_FALSE(body_of(*order)["hint"].get<std::string>().empty());
    CHECK(api.get("/v1/spaces/orders/keys/1/history?last=x")->status() == 400);
    const auto never = api.get("/v1/spaces/orders/keys/nope/history");
    CHECK(never->status() == 404);
    CHECK(body_of(*never)["state"] == "absent");
    CHECK(api.get("/v1/spaces/o*/keys/1/history")->status() == 400);
    CHECK(api.get("/v1/spaces/orders/keys/1/history?limit=1")->status() == 400);
}
