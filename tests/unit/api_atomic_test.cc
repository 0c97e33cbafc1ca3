// Atomic batches: all lines of a body, or none.
#include <doctest/doctest.h>

#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;
using nlohmann::json;

namespace {

const std::string kBatch = "envelope=true&atomic=true";

std::string record(const std::string& topic, const std::string& more = "") {
    return R"({"topic":")" + topic + R"(","value":1)" + more + "}\n";
}

}  // namespace

TEST_CASE("api atomic: a batch is written and answered once, with the lines of its records") {
    ApiFixture api;
    const auto exchange = api.post_lines(
        kBatch, "\n" + record("a/1", R"(,"key":"k")") + R"({"guard":{"none":["b/>"]}})" + "\n" +
                    record("a/2", R"(,"key":"k")") + record("a/3"));
    REQUIRE(exchange->status() == 201);
    CHECK(exchange->text() ==
          "{\"count\":3,\"first_seq\":1,\"last_seq\":3,\"durable\":\"local\",\"records\":["
          "{\"line\":2,\"seq\":1,\"version\":1},{\"line\":4,\"seq\":2,\"version\":2},"
          "{\"line\":5,\"seq\":3}]}\n");
    CHECK(api.log().appends_ == 1);
    CHECK(exchange->outcome_open_);
}

TEST_CASE("api atomic: a body in pieces is one batch") {
    ApiFixture api;
    const auto exchange =
        FakeExchange::make("POST", "/v1/records?" + kBatch, "application/x-ndjson");
    const std::string body = record("a/1") + record("a/2") + record("a/3");
    for (const char c : body) exchange->feed(std::string(1, c), false);
    api.start(exchange);
    CHECK(api.log().appends_ == 0);
    exchange->feed("", true);
    exchange->run();
    CHECK(exchange->status() == 201);
    CHECK(api.log().appends_ == 1);
    CHECK(api.log().records_.size() == 3);
}

TEST_CASE("api atomic: guards and acks alone, or nothing at all, write no record") {
    ApiFixture api;
    api.log().add("a", "", "1");
    api.log().consumers_["c"].lease = 3;
    const auto exchange = api.post_lines(kBatch, R"({"guard":{"none":["b"]}})"
                                                 "\n"
                                                 R"({"ack":{"consumer":"c","seq":1,"lease":3}})"
                                                 "\n");
    CHECK(exchange->status() == 201);
    CHECK(body_of(*exchange) == json::parse(R"({"count":0,"durable":"local","records":[]})"));
    CHECK(api.log().consumers_["c"].seq == Seq{1});
    CHECK(api.log().appends_ == 1);
    for (const char* empty : {"", "\n \n"}) {
        CHECK(body_of(*api.post_lines(kBatch, empty))["count"] == 0);
    }
    CHECK(api.log().appends_ == 1);
}

TEST_CASE("api atomic: values with a topic, keys and ids taken from them") {
    ApiFixture api;
    const auto exchange = api.post_lines(
        "topic=orders/{/id}/created&key_from=/id&id_from=/id&header=a=b&atomic=true&expect_none=x",
        "{\"id\":\"7\"}\n{\"id\":8}\n");
    REQUIRE(exchange->status() == 201);
    CHECK(api.log().records_[1]->topic == "orders/8/created");
    CHECK(api.log().records_[1]->key == "8");
    CHECK(api.log().records_[1]->id == "8");
    CHECK(decode_headers(api.log().records_[1]->headers)[0].value == "b");
    const auto wrong = api.post_lines("topic=a&key_from=/id&atomic=true", "{\"id\":1}\n{}\nx\n");
    CHECK(wrong->status() == 400);
    const json violations = body_of(*wrong)["violations"];
    REQUIRE(violations.size() == 2);
    CHECK(violations[0]["line"] == 2);
    CHECK(violations[0]["code"] == "bad_record");
    CHECK(violations[1]["code"] == "bad_json");
    CHECK(api.log().records_.size() == 2);
    CHECK(api.post_lines(kBatch, "x\n")->status() == 400);  // nothing else is in it
}

TEST_CASE("api atomic: what stands against it is named in the order of the lines") {
    ApiFixture api;
    api.log().add("enrol/c1/s1", "s1", "1");
    api.log().add("acc/x", "x", "1");
    api.log().consumers_["c"] = {Seq{1}, 2};
    const auto exchange = api.post_lines(
        kBatch, record("enrol/c1/s2", R"(,"expect":{"none":["enrol/c1/*"]})") + record("ok/1") +
                    R"({"guard":{"space":"acc","key":"x","expect":0}})" + "\n" +
                    R"({"ack":{"consumer":"c","seq":2,"lease":1}})" + "\n" +
                    R"({"guard":{"space":"acc","key":"y","expect":"exists"}})" + "\n");
    CHECK(exchange->status() == 409);
    const json body = body_of(*exchange);
    CHECK(body["code"] == "guard_conflict");
    CHECK(body["detail"] == "line 1: a record stands against the guard");
    CHECK(body["violations"] ==
          json::parse(R"([{"code":"guard_conflict","line":1,"filter":"enrol/c1/*","after":0,)"
                      R"("seq":1,"topic":"enrol/c1/s1","key":"s1"},)"
                      R"({"code":"version_conflict","line":3,"space":"acc","key":"x",)"
                      R"("expected":0,"actual":1,"state":"live","last_seq":2},)"
                      R"({"code":"stale_lease","line":4,"detail":"an old lease"},)"
                      R"({"code":"version_conflict","line":5,"space":"acc","key":"y",)"
                      R"("expected":"exists","actual":0,"state":"absent"}])"));
    CHECK_FALSE(body.contains("violations_left_out"));
    CHECK(api.log().records_.size() == 2);
}

TEST_CASE("api atomic: a guard of the query has no line, and stands first") {
    ApiFixture api;
    api.log().add("a/1", "", "1");
    const auto exchange = api.post_lines(kBatch + "&expect_none=a/%2A&expect_none=b&after=0",
                                         record("b", R"(,"expect":{"none":["a/1"]})"));
    const json body = body_of(*exchange);
    CHECK(exchange->status() == 409);
    CHECK(body["detail"] == "a record stands against the guard");
    REQUIRE(body["violations"].size() == 2);
    CHECK_FALSE(body["violations"][0].contains("line"));
    CHECK(body["violations"][0]["filter"] == "a/*");
    CHECK(body["violations"][1]["line"] == 1);
    CHECK(api.post_lines(kBatch + "&expect_none=a/%2A&after=1", record("b"))->status() == 201);
}

TEST_CASE("api atomic: repeated it is a duplicate, and partly known it is refused") {
    ApiFixture api;
    const std::string batch =
        record("a/1", R"(,"id":"i1","expect":{"none":["a/*"]})") + record("a/2", R"(,"id":"i2")");
    CHECK(api.post_lines(kBatch, batch)->status() == 201);
    const auto again = api.post_lines(kBatch, batch);
    CHECK(again->status() == 200);
    CHECK(body_of(*again) ==
          json::parse(
              R"({"count":2,"first_seq":1,"last_seq":2,"durable":"local","records":[)"
              R"({"line":1,"seq":1,"duplicate":true},{"line":2,"seq":2,"duplicate":true}]})"));
    const auto partly = api.post_lines(kBatch, record("c") + record("a/2", R"(,"id":"i2")"));
    CHECK(partly->status() == 409);
    CHECK(body_of(*partly)["code"] == "partial_duplicate");
    CHECK(body_of(*partly)["violations"] ==
          json::parse(R"([{"code":"partial_duplicate","line":2,"detail":"this id is known"}])"));
    CHECK(api.log().records_.size() == 2);
}

TEST_CASE("api atomic: lines that are wrong refuse all, up to a hundred of them by name") {
    ApiFixture api;
    std::string body = record("a");
    for (int i = 0; i < 150; ++i) body += i % 2 == 0 ? "{\n" : "{\"topic\":\"a\",\"vale\":1}\n";
    const auto exchange = api.post_lines(kBatch, body);
    CHECK(exchange->status() == 400);
    const json answer = body_of(*exchange);
    CHECK(answer["code"] == "bad_json");
    CHECK(answer["detail"] == "line 2: the JSON text ends too early (line 2, column 2)");
    REQUIRE(answer["violations"].size() == 100);
    CHECK(answer["violations"][1] ==
          json::parse(R"({"code":"bad_record","line":3,"detail":"unknown member 'vale'",)"
                      R"("hint":"did you mean 'value'?"})"));
    CHECK(answer["violations"][99]["line"] == 101);
    CHECK(answer["violations_left_out"] == 50);
    CHECK(api.log().records_.empty());
}

TEST_CASE("api atomic: records, bytes and filters have limits, which are named") {
    const auto refusal = [](const ApiFixture& api, const std::string& query,
                            const std::string& body) {
        const auto exchange = api.post_lines(query, body);
        CHECK(exchange->status() == 413);
        CHECK(body_of(*exchange)["code"] == "batch_too_large");
        return body_of(*exchange)["detail"].get<std::string>();
    };
    ApiFixture api;
    std::string lines;
    for (std::size_t i = 0; i < Limits::kBatchItemsMax; ++i) lines += "1\n";
    CHECK(api.post_lines("topic=a&atomic=true", lines)->status() == 201);
    CHECK(refusal(api, "topic=a&atomic=true", lines + "1") ==
          "an atomic batch holds at most 10000 records, guards and acks");
    CHECK(refusal(api, "topic=a&atomic=true&expect_none=b", lines) ==
          "an atomic batch holds at most 10000 records, guards and acks");
    std::string filters = "\"f\"";
    for (int i = 1; i < 16; ++i) filters += ",\"f\"";
    std::string guards;
    for (int i = 0; i < 625; ++i) guards += "{\"guard\":{\"none\":[" + filters + "]}}\n";
    CHECK(api.post_lines(kBatch, guards)->status() == 201);
    const std::string one_more = "an atomic batch holds at most 10000 filters in its guards";
    CHECK(refusal(api, kBatch, guards + record("a", R"(,"expect":{"none":["f"]})")) == one_more);
    CHECK(refusal(api, kBatch + "&expect_none=f", guards) == one_more);

    const std::string bytes = "an atomic batch holds at most 16777216 bytes";
    ApiFixture large(1U << 20U);
    std::string full(Limits::kBatchBytesMax, '\n');
    CHECK(large.post_lines(kBatch, full)->status() == 201);
    CHECK(refusal(large, kBatch, full + "\n") == bytes);
    const auto stated = FakeExchange::make("POST", "/v1/records?" + kBatch, "application/x-ndjson");
    stated->request_.content_length = Limits::kBatchBytesMax + 1;
    large.start(stated);
    CHECK(stated->status() == 413);
    CHECK(stated->reads_ == 0);
    // One value may be larger than that.
    ApiFixture larger(20U << 20U);
    CHECK(larger.post_lines(kBatch, full + "\n")->status() == 201);
    // … and in base64, with all that stands beside it.
    const std::size_t line_bytes_max = (20U << 20U) / 3 * 4 + 128 * 1024;
    CHECK(refusal(larger, kBatch, std::string(line_bytes_max + 1, '\n')) ==
          "an atomic batch holds at most " + std::to_string(line_bytes_max) + " bytes");
}

TEST_CASE("api atomic: all bodies together have a limit as well, short lines by what they become") {
    const auto status = [](std::uint64_t value_bytes_max, const std::string& piece, int pieces) {
        api::ApiOptions options;
        options.value_bytes_max = value_bytes_max;
        options.bodies_bytes_max = 0;  // four of the longest values at least
        FakeStore store;
        const auto handler = api::make_api(store, options);
        const auto exchange =
            FakeExchange::make("POST", "/v1/records?topic=a&atomic=true", "application/x-ndjson");
        for (int i = 0; i < pieces; ++i) exchange->feed(piece, i + 1 == pieces);
        handler->handle(exchange);
        exchange->run();
        const int answered = exchange->status();
        exchange->end();
        return answered;
    };
    const std::string blank(1U << 20U, '\n');
    CHECK(status(1U << 20U, blank, 3) == 201);
    CHECK(status(1U << 20U, blank, 6) == 503);
    CHECK(status(10'000, "1\n", 100) == 201);
    CHECK(status(10'000, "1\n", 1'000) == 503);
}

TEST_CASE("api atomic: parameters that do not go together are refused") {
    ApiFixture api;
    const std::string session = "&session=0123456789abcdef0123456789abcdef";
    for (const std::string& more :
         {std::string("&on_error=skip"), std::string("&on_error=stop"),
          std::string("&acks=summary"), session, std::string("&session_line=1"),
          std::string("&session_after=1"), std::string("&topic=a"), std::string("&after=1"),
          std::string("&atomic=true")}) {
        CAPTURE(more);
        const auto exchange = api.post_lines(kBatch + more, record("a"));
        CHECK(exchange->status() == 400);
        CHECK(body_of(*exchange)["code"] == "bad_option");
    }
    CHECK(body_of(*api.post_lines("envelope=true&atomic=yes", record("a")))["code"] ==
          "bad_option");
    CHECK(body_of(*api.post_lines("atomic=true", record("a")))["code"] == "bad_topic");
    CHECK(body_of(*api.post_lines(kBatch + "&ack=bucket", record("a")))["code"] == "no_bucket");
    CHECK(body_of(*api.post_lines(kBatch + "&expect_none=*b", record("a")))["code"] ==
          "bad_filter");
    CHECK(api.log().appends_ == 0);
}

TEST_CASE("api atomic: outcomes of the whole become its status") {
    ApiFixture api;
    WriteResult result;
    result.outcome = WriteResult::Outcome::unknown;
    api.log().answer_all_with_ = result;
    const auto unknown = api.post_lines(kBatch, record("a"));
    CHECK(unknown->status() == 504);
    CHECK(body_of(*unknown)["code"] == "outcome_unknown");
    result.outcome = WriteResult::Outcome::refused;
    result.error = Error{Code::disk_full, "no room", {}};
    api.log().answer_all_with_ = result;
    const auto full = api.post_lines(kBatch, record("a"));
    CHECK(full->status() == 507);
    CHECK_FALSE(body_of(*full).contains("violations"));
    result.error = Error{Code::backpressure, "the queue is full", {}};
    api.log().answer_all_with_ = result;
    CHECK(api.post_lines(kBatch, record("a"))->header("Retry-After") == "1");
    api.log().answer_all_with_.reset();
    api.log().disk_reads_ = true;
    CHECK(api.post_lines(kBatch, record("a"))->status() == 201);
    CHECK(api.log().looks_ == 1);
    api.log().look_error_ = Error{Code::rebuilding, "indexes are made anew", {}};
    CHECK(api.post_lines(kBatch, record("a"))->status() == 503);
    CHECK(api.log().records_.size() == 1);
}

TEST_CASE("api atomic: changed settings are judged again with all of the batch, but not for ever") {
    ApiFixture api;
    api.log().settings_seq_counts_ = true;
    api.log().hold_ = true;
    api.log().add("a", "", "1");
    api.log().consumers_["c"];
    const auto exchange =
        FakeExchange::make("POST", "/v1/records?" + kBatch, "application/x-ndjson");
    exchange->feed(record("a/1", R"(,"key":"\u006b")") + R"({"guard":{"none":["b\u002fc"]}})" +
                       "\n" + R"({"ack":{"consumer":"c","seq":1}})" + "\n",
                   true);
    api.start(exchange);
    ++api.log().settings_;
    api.log().release();
    exchange->run();
    CHECK_FALSE(exchange->ended());
    REQUIRE(api.log().held_.size() == 1);
    const AtomicPart& atomic = *api.log().held_[0]->atomic;
    CHECK(atomic.guards.size() == 1);
    CHECK(atomic.guards[0].filters->none[0] == "b/c");
    CHECK(atomic.acks.size() == 1);
    api.log().release();
    exchange->run();
    CHECK(exchange->status() == 201);
    CHECK(api.log().records_.back()->key == "k");
    CHECK(api.log().consumers_["c"].seq == Seq{1});

    WriteResult stale;
    stale.outcome = WriteResult::Outcome::stale_settings;
    api.log().answer_all_with_ = stale;
    api.log().hold_ = false;
    CHECK(api.post_lines(kBatch, record("a"))->status() == 503);
}

TEST_CASE("api atomic: a body that breaks off writes nothing") {
    ApiFixture api;
    const auto exchange =
        FakeExchange::make("POST", "/v1/records?" + kBatch, "application/x-ndjson");
    exchange->feed(record("a/1"), false);
    exchange->feed_error(Error{Code::timeout, "the body stalls", {}});
    api.start(exchange);
    CHECK(exchange->status() == 408);
    CHECK(api.log().appends_ == 0);
    CHECK_FALSE(exchange->outcome_open_);
}
