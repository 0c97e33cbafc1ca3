// One record a request.
#include <doctest/doctest.h>

#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;

namespace {
const std::string kJsonType = "application/json";
}

TEST_CASE("api produce: a JSON value is stored as it came and acknowledged with 201") {
    ApiFixture api;
    const auto exchange = api.post(
        "/v1/records?topic=orders/1/created&key=1&id=i-1&header=a=b%3Dc"
        "&event_time=2026-11-22T13:39:00Z&expect=absent",
        "Application/JSON; charset=utf-8", " {\"n\":\n1e400} ");
    REQUIRE(exchange->status() == 201);
    CHECK(exchange->text() ==
          "{\"seq\":1,\"version\":1,\"time\":\"2026-11-22T13:39:00.000001Z\","
          "\"durable\":\"local\"}\n");
    REQUIRE(api.log().records_.size() == 1);
    const StoredRecord& stored = *api.log().records_[0];
    CHECK(stored.topic == "orders/1/created");
    CHECK(stored.key == "1");
    CHECK(stored.id == "i-1");
    CHECK(stored.value == "{\"n\": 1e400}");
    CHECK(stored.view.encoding == Encoding::json);
    CHECK(stored.view.has_event_time);
    REQUIRE(decode_headers(stored.headers).size() == 1);
    CHECK(decode_headers(stored.headers)[0].value == "b=c");
}

TEST_CASE("api produce: a repeated id is 200 and says so") {
    ApiFixture api;
    api.post("/v1/records?topic=a&id=x", kJsonType, "1");
    const auto again = api.post("/v1/records?topic=a&id=x", kJsonType, "1");
    CHECK(again->status() == 200);
    CHECK(body_of(*again)["duplicate"] == true);
    CHECK(body_of(*again)["seq"] == 1);
    CHECK_FALSE(body_of(*again).contains("version"));
}

TEST_CASE("api produce: bytes stay bytes, and arrive in pieces") {
    ApiFixture api;
    const auto exchange =
        FakeExchange::make("POST", "/v1/records?topic=a", "application/octet-stream");
    exchange->feed(std::string("\0{", 2), false);
    exchange->feed("}\xff", false);
    exchange->feed("", true);
    api.start(exchange);
    CHECK(exchange->status() == 201);
    CHECK(api.log().records_[0]->value == std::string("\0{}\xff", 4));
    CHECK(api.log().records_[0]->view.encoding == Encoding::bytes);
}

TEST_CASE("api produce: a tombstone needs neither body nor type") {
    ApiFixture api;
    const auto exchange =
        api.start(FakeExchange::make("POST", "/v1/records?topic=a&key=k&kind=tombstone"));
    exchange->feed("", true);
    exchange->run();
    CHECK(exchange->status() == 201);
    CHECK(api.log().records_[0]->view.kind == Kind::tombstone);
    CHECK(api.post("/v1/records?topic=a&key=k", kJsonType, "")->status() == 400);
}

TEST_CASE("api produce: a conflict names what is there") {
    ApiFixture api;
    api.post("/v1/records?topic=orders/1&key=k%22&id=last", kJsonType, "1");
    const auto exchange = api.post("/v1/records?topic=orders/2&key=k%22&expect=5", kJsonType, "1");
    CHECK(exchange->status() == 409);
    CHECK(exchange->response_->content_type == "application/problem+json");
    const auto body = body_of(*exchange);
    CHECK(body["code"] == "version_conflict");
    CHECK(body["title"] == "Version conflict");
    CHECK(body["violations"] ==
          nlohmann::json::parse(R"([{"code":"version_conflict","line":1,"space":"orders",)"
                                R"("key":"k\"","expected":5,"actual":1,"state":"live",)"
                                R"("last_seq":1,"last_id":"last"}])"));
    const auto absent = api.post("/v1/records?topic=orders/2&key=n&expect=exists", kJsonType, "1");
    CHECK(body_of(*absent)["violations"] ==
          nlohmann::json::parse(R"([{"code":"version_conflict","line":1,"space":"orders",)"
                                R"("key":"n","expected":"exists","actual":0,"state":"absent"}])"));
    CHECK(api.log().records_.size() == 1);
}

TEST_CASE("api produce: what is wrong with a request is told by its code") {
    ApiFixture api;
    struct Case {
        const char* target;
        const char* type;
        const char* body;
        int status;
        const char* code;
    };
    const Case cases[] = {
        {"/v1/records?topic=a", "", "1", 415, "unsupported"},
        {"/v1/records?topic=a", "text/plain", "1", 415, "unsupported"},
        {"/v1/records?topic=a", "application/x-www-form-urlencoded", "1", 415, "unsupported"},
        {"/v1/records", "application/json", "1", 400, "bad_topic"},
        {"/v1/records?topic=a&topic=b", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&atomic=true", "application/json", "1", 400, "unknown_parameter"},
        {"/v1/records?topic=a&after=1", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&expect_none=", "application/json", "1", 400, "bad_filter"},
        {"/v1/records?topic=a&expect_none=b/*c", "application/json", "1", 400, "bad_filter"},
        {"/v1/records?topic=a&expect_none=$klog/%3E", "application/json", "1", 400, "bad_filter"},
        {"/v1/records?topic=a&expect_none=b&after=x", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&expect_none=b&after=1&after=2", "application/json", "1", 400,
         "bad_option"},
        {"/v1/records?topic=a&wait_for=c", "application/json", "1", 400, "unknown_parameter"},
        {"/v1/records?topic=a&ack=bucket", "application/json", "1", 400, "no_bucket"},
        {"/v1/records?topic=a&ack=disk", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&kind=final", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&expect=-1", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&header=x", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&header=x=1&header=x=2", "application/json", "1", 400, "bad_record"},
        {"/v1/records?topic=a&event_time=now", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a&id=", "application/json", "1", 400, "bad_option"},
        {"/v1/records?topic=a", "application/json", "{", 400, "bad_json"},
    };
    for (const Case& c : cases) {
        CAPTURE(std::string(c.target));
        const auto exchange = api.post(c.target, c.type, c.body);
        CHECK(exchange->status() == c.status);
        CHECK(body_of(*exchange)["code"] == c.code);
    }
    CHECK(api.log().records_.empty());
    const auto near = api.post("/v1/records?topic=a&exepct=1", kJsonType, "1");
    CHECK(body_of(*near)["hint"] == "did you mean 'expect'?");
}

TEST_CASE("api produce: a value beyond the limit is 413, stated or not") {
    ApiFixture api(16);
    const std::string large(17, '1');
    CHECK(api.post("/v1/records?topic=a", kJsonType, large)->status() == 413);
    CHECK(api.post("/v1/records?topic=a", kJsonType, std::string(16, '1') + "  \n")->status() ==
          201);
    const auto stated = FakeExchange::make("POST", "/v1/records?topic=a", kJsonType);
    stated->request_.content_length = 1'000'000;
    api.start(stated);
    CHECK(stated->status() == 413);
    CHECK(stated->reads_ == 0);
    const auto endless =
        FakeExchange::make("POST", "/v1/records?topic=a", "application/octet-stream");
    endless->feed(large, false);
    api.start(endless);
    CHECK(endless->status() == 413);
}

TEST_CASE("api produce: refusals and unknown outcomes become their statuses") {
    ApiFixture api;
    WriteResult result;
    result.outcome = WriteResult::Outcome::refused;
    result.error = Error{Code::backpressure, "the queue is full", {}};
    api.log().answer_all_with_ = result;
    const auto busy = api.post("/v1/records?topic=a", kJsonType, "1");
    CHECK(busy->status() == 503);
    CHECK(busy->header("Retry-After") == "1");
    result.error = Error{Code::disk_full, "no room", {}};
    api.log().answer_all_with_ = result;
    CHECK(api.post("/v1/records?topic=a", kJsonType, "1")->status() == 507);
    result.outcome = WriteResult::Outcome::unknown;
    result.error.reset();
    api.log().answer_all_with_ = result;
    const auto unknown = api.post("/v1/records?topic=a", kJsonType, "1");
    CHECK(unknown->status() == 504);
    CHECK(body_of(*unknown)["code"] == "outcome_unknown");
}

TEST_CASE("api produce: changed settings are judged again, but not for ever") {
    ApiFixture api;
    api.log().settings_seq_counts_ = true;
    api.log().hold_ = true;
    const auto exchange = FakeExchange::make("POST", "/v1/records?topic=a", kJsonType);
    exchange->feed("1", true);
    api.start(exchange);
    ++api.log().settings_;
    api.log().release();
    exchange->run();
    CHECK_FALSE(exchange->ended());
    api.log().release();
    exchange->run();
    CHECK(exchange->status() == 201);
    CHECK(api.log().records_.size() == 1);

    WriteResult stale;
    stale.outcome = WriteResult::Outcome::stale_settings;
    api.log().answer_all_with_ = stale;
    api.log().hold_ = false;
    CHECK(api.post("/v1/records?topic=a", kJsonType, "1")->status() == 503);
}
