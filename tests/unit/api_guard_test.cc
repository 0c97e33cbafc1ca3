// Guards over filters: of one record, and of envelopes in a stream.
#include <doctest/doctest.h>

#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;
using nlohmann::json;

namespace {
const std::string kJsonType = "application/json";
}

TEST_CASE("api guard: one record is refused by the newest one that matches, and says which") {
    ApiFixture api;
    api.log().add("enrol/c1/s1", "k\"1", "1");
    api.log().add("enrol/c1/s2", "", "1");
    const std::string write =
        "/v1/records?topic=enrol/c1/s3&expect_none=other/%2A&expect_none=enrol/c1/%2A";
    const auto refused = api.post(write, kJsonType, "1");
    CHECK(refused->status() == 409);
    CHECK(refused->response_->content_type == "application/problem+json");
    const json body = body_of(*refused);
    CHECK(body["code"] == "guard_conflict");
    CHECK(body["title"] == "Guard conflict");
    CHECK(body["violations"] ==
          json::parse(R"([{"code":"guard_conflict","line":1,"filter":"enrol/c1/*","after":0,)"
                      R"("seq":2,"topic":"enrol/c1/s2"}])"));
    CHECK(api.post(write + "&after=2", kJsonType, "1")->status() == 201);
    api.log().add("enrol/c1/s4", "k\"4", "1");
    const auto with_key = body_of(*api.post(write + "&after=3", kJsonType, "1"));
    CHECK(with_key["violations"] ==
          json::parse(R"([{"code":"guard_conflict","line":1,"filter":"enrol/c1/*","after":3,)"
                      R"("seq":4,"topic":"enrol/c1/s4","key":"k\"4"}])"));
    CHECK(api.log().records_.size() == 4);
}

TEST_CASE("api guard: an expected version stands beside it, and both must hold") {
    ApiFixture api;
    api.log().add("a/x", "k", "1");
    const std::string write = "/v1/records?topic=a/y&key=k&expect_none=b/%3E";
    CHECK(body_of(*api.post(write + "&expect=7", kJsonType, "1"))["code"] == "version_conflict");
    CHECK(api.post(write + "&expect=1", kJsonType, "1")->status() == 201);
    api.log().add("b/x", "", "1");
    CHECK(body_of(*api.post(write + "&expect=2", kJsonType, "1"))["code"] == "guard_conflict");
    CHECK(api.post(write + "&expect=2&after=3", kJsonType, "1")->status() == 201);
}

TEST_CASE("api guard: filters are counted, and a plus in a query is explained") {
    ApiFixture api;
    std::string target = "/v1/records?topic=a";
    for (int i = 0; i < 16; ++i) target += "&expect_none=f/" + std::to_string(i);
    CHECK(api.post(target, kJsonType, "1")->status() == 201);
    const auto many = api.post(target + "&expect_none=one", kJsonType, "1");
    CHECK(many->status() == 400);
    CHECK(body_of(*many)["code"] == "bad_option");
    CHECK(body_of(*many)["detail"] == "'expect_none' stands 17 times, at most 16 are allowed");
    const auto plus = body_of(*api.post("/v1/records?topic=a&expect_none=b/+", kJsonType, "1"));
    CHECK(plus["code"] == "bad_filter");
    CHECK(plus["hint"] == "'+' is a space in a query: write %2B");
    CHECK(body_of(*api.post("/v1/records?topic=a&after=1", kJsonType, "1"))["detail"] ==
          "'after' stands without 'expect_none'");
}

TEST_CASE("api guard: what needs the disk is looked at on a thread that may block") {
    ApiFixture api;
    const std::string write = "/v1/records?topic=a&expect_none=b";
    CHECK(api.post(write, kJsonType, "1")->status() == 201);
    CHECK(api.log().looks_ == 0);
    api.log().disk_reads_ = true;
    CHECK(api.post(write, kJsonType, "1")->status() == 201);
    CHECK(api.log().looks_ == 1);
    api.log().look_error_ = Error{Code::corrupt, "a block is damaged", {}};
    const auto damaged = api.post(write, kJsonType, "1");
    CHECK(damaged->status() == 500);
    CHECK(body_of(*damaged)["code"] == "corrupt");
    CHECK(api.log().records_.size() == 2);
}

TEST_CASE("api guard: each envelope of a stream has its own, and sees those before it") {
    ApiFixture api;
    const auto exchange = api.post_lines(
        "envelope=true&on_error=skip",
        "{\"topic\":\"a/1\",\"value\":1,\"expect\":{\"none\":[\"a/*\"]}}\n"
        "{\"topic\":\"a/2\",\"value\":1,\"expect\":{\"none\":[\"a/*\"]}}\n"
        "{\"topic\":\"a/2\",\"value\":1,\"expect\":{\"none\":[\"a/*\"],\"after\":1}}\n"
        "{\"topic\":\"a/3\",\"value\":1,\"expect\":{\"none\":[\"a/*\"],\"not\":[\"a/1\",\"a/"
        "2\"]}}\n"
        "{\"topic\":\"a/3\",\"value\":1,\"expect\":{\"none\":[]}}\n"
        "{\"guard\":{\"none\":[\"a\"]}}\n{\"ack\":{\"consumer\":\"c\",\"seq\":1}}\n");
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 7);
    const int expected[] = {201, 409, 201, 201, 400, 400, 400};
    for (std::size_t i = 0; i < lines.size(); ++i) CHECK(lines[i]["status"] == expected[i]);
    CHECK(lines[1]["code"] == "guard_conflict");
    CHECK(lines[1]["violations"] ==
          json::parse(R"([{"code":"guard_conflict","line":2,"filter":"a/*","after":0,"seq":1,)"
                      R"("topic":"a/1"}])"));
    CHECK(lines[5]["hint"] == "atomic=true, or klog produce --atomic");
    CHECK(lines[6]["code"] == "bad_record");
}

TEST_CASE("api guard: nothing overtakes a batch of a stream whose guards are looked at") {
    ApiFixture api;
    api.log().disk_reads_ = true;
    const auto exchange =
        FakeExchange::make("POST", "/v1/records?envelope=true", "application/x-ndjson");
    const std::string guarded = R"({"topic":"a/1","value":1,"expect":{"none":["b"],"after":0}})";
    exchange->feed(guarded + "\n", false);
    exchange->feed("{\"topic\":\"b\",\"value\":2}\n", false);
    exchange->feed(guarded + "\n", true);
    api.start(exchange);
    CHECK(api.log().looks_ == 3);
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 3);
    CHECK(lines[0]["seq"] == 1);
    CHECK(lines[1]["seq"] == 2);
    CHECK(lines[2]["code"] == "guard_conflict");
    CHECK(exchange->finished_);
}

TEST_CASE("api guard: a look that fails ends a stream, or its batch where errors are skipped") {
    const std::string body = "{\"topic\":\"a\",\"value\":1,\"expect\":{\"none\":[\"b\"]}}\n";
    for (const bool skip : {false, true}) {
        CAPTURE(skip);
        ApiFixture api;
        api.log().disk_reads_ = true;
        api.log().look_error_ = Error{Code::io, "the disk fails", {}};
        const auto exchange = FakeExchange::make(
            "POST", std::string("/v1/records?envelope=true") + (skip ? "&on_error=skip" : ""),
            "application/x-ndjson");
        exchange->feed(body, false);
        api.start(exchange);
        api.log().disk_reads_ = false;
        exchange->feed(body, true);
        exchange->run();
        const auto lines = lines_of(*exchange);
        REQUIRE(lines.size() == (skip ? 2 : 1));
        CHECK(lines[0]["code"] == "io");
        if (skip) CHECK(lines[1]["status"] == 201);
        CHECK(api.log().records_.size() == (skip ? 1 : 0));
        CHECK(exchange->finished_);
    }
}
