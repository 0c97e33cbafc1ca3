// Streams of lines.
#include <doctest/doctest.h>

#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;

namespace {

std::shared_ptr<FakeExchange> stream(const std::string& query) {
    return FakeExchange::make("POST", "/v1/records?" + query, "application/x-ndjson");
}

}  // namespace

TEST_CASE("api stream: each line is a record, each has its answer") {
    ApiFixture api;
    const auto exchange = api.post_lines("topic=a/b&key_from=/k&id_from=/i",
                                         "{\"k\":\"x\",\"i\":\"1\"}\n\n  \r\n{\"k\":7,\"i\":2}\n"
                                         "{\"k\":\"x\",\"i\":\"1\"}");
    CHECK(exchange->stream_status_ == 200);
    CHECK(exchange->stream_type_ == "application/x-ndjson");
    CHECK(exchange->finished_);
    CHECK(exchange->text() ==
          "{\"line\":1,\"status\":201,\"seq\":1,\"version\":1}\n"
          "{\"line\":4,\"status\":201,\"seq\":2,\"version\":1}\n"
          "{\"line\":5,\"status\":200,\"seq\":1,\"version\":1,\"duplicate\":true}\n");
    REQUIRE(api.log().records_.size() == 2);
    CHECK(api.log().records_[1]->key == "7");
    CHECK(api.log().records_[1]->id == "2");
    CHECK(api.log().appends_ == 1);
}

TEST_CASE("api stream: lines that lie across pieces of the body are whole") {
    const std::string body = "{\"a\":\"xyz\"}\n[1,2,3]\n\n\"last\"";
    for (std::size_t step = 1; step < body.size(); ++step) {
        ApiFixture api;
        const auto exchange = stream("topic=t");
        for (std::size_t at = 0; at < body.size(); at += step) {
            exchange->feed(body.substr(at, step), at + step >= body.size());
        }
        api.start(exchange);
        REQUIRE(exchange->finished_);
        REQUIRE(api.log().records_.size() == 3);
        CHECK(api.log().records_[0]->value == "{\"a\":\"xyz\"}");
        CHECK(api.log().records_[1]->value == "[1,2,3]");
        CHECK(api.log().records_[2]->value == "\"last\"");
        CHECK(lines_of(*exchange)[2]["line"] == 4);
    }
}

TEST_CASE("api stream: after an error nothing more is written") {
    ApiFixture api;
    const auto exchange = api.post_lines("topic=a", "1\n{\"x\n3\n");
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 2);
    CHECK(lines[1]["line"] == 2);
    CHECK(lines[1]["status"] == 400);
    CHECK(lines[1]["code"] == "bad_json");
    CHECK(lines[1]["detail"] == "the JSON text ends too early (line 2, column 4)");
    CHECK(api.log().records_.size() == 1);
    CHECK(exchange->finished_);
}

TEST_CASE("api stream: skip goes on behind errors, in the order of the lines") {
    ApiFixture api;
    const auto exchange =
        api.post_lines("envelope=true&on_error=skip",
                       "x\n{\"topic\":\"s/1\",\"key\":\"k\",\"value\":1}\ny\n"
                       "{\"topic\":\"s/2\",\"key\":\"k\",\"value\":2,\"expect\":9}\n"
                       "{\"topic\":\"s/1\",\"key\":\"k\",\"value\":3,\"expect\":1}\nz\n");
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 6);
    const int expected[] = {400, 201, 400, 409, 201, 400};
    for (std::size_t i = 0; i < lines.size(); ++i) {
        CHECK(lines[i]["line"] == i + 1);
        CHECK(lines[i]["status"] == expected[i]);
    }
    CHECK(lines[3]["violations"] ==
          nlohmann::json::parse(R"([{"code":"version_conflict","line":4,"space":"s","key":"k",)"
                                R"("expected":9,"actual":1,"state":"live","last_seq":1}])"));
}

TEST_CASE("api stream: a refusal by the log stops what is behind it, also in later batches") {
    ApiFixture api;
    api.log().hold_ = true;
    const auto exchange = stream("envelope=true");
    exchange->feed("{\"topic\":\"a\",\"key\":\"k\",\"value\":1,\"expect\":1}\n", false);
    exchange->feed("{\"topic\":\"a\",\"value\":2}\nbroken\n", false);
    api.start(exchange);
    CHECK(api.log().held_.size() == 2);
    api.log().release();
    exchange->run();
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0]["code"] == "version_conflict");
    CHECK(api.log().records_.empty());
    CHECK(exchange->finished_);
}

TEST_CASE("api stream: only a few batches are under way, and acks keep the order") {
    ApiFixture api;
    api.log().hold_ = true;
    const auto exchange = stream("topic=a");
    for (int i = 0; i < 10; ++i) exchange->feed(std::to_string(i) + "\n", i == 9);
    api.start(exchange);
    CHECK(api.log().held_.size() == 4);
    // Answered from the back: nothing is told before the first one is.
    while (api.log().held_.size() > 1) {
        auto first = std::move(api.log().held_.front());
        api.log().held_.pop_front();
        api.log().release();
        exchange->run();
        CHECK(exchange->written_.empty());
        api.log().held_.push_back(std::move(first));
    }
    api.log().hold_ = false;
    api.log().release();
    exchange->run();
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) CHECK(lines[i]["line"] == i + 1);
}

TEST_CASE("api stream: acks=summary answers once") {
    ApiFixture api;
    const auto exchange = api.post_lines("topic=a&key=k&acks=summary&on_error=skip", "1\n{\n3\n");
    CHECK(exchange->status() == 200);
    const auto body = body_of(*exchange);
    CHECK(body["count"] == 2);
    CHECK(body["first_seq"] == 1);
    CHECK(body["last_seq"] == 2);
    REQUIRE(body["errors"].size() == 1);
    CHECK(body["errors"][0]["line"] == 2);
    CHECK(body["errors"][0]["code"] == "bad_json");
    CHECK(exchange->stream_status_ == 0);

    std::string bad;
    for (int i = 0; i < 1500; ++i) bad += "{\n";
    const auto many = body_of(*api.post_lines("topic=a&acks=summary&on_error=skip", bad));
    CHECK(many["errors"].size() == 1000);
    CHECK(many["errors_left_out"] == 500);
    CHECK(body_of(*api.post_lines("topic=a&acks=summary", "")) ==
          nlohmann::json::parse(R"({"count":0,"errors":[]})"));
}

TEST_CASE("api stream: a line that is too long is refused without being kept") {
    ApiFixture api(64);
    const auto exchange = stream("topic=a&on_error=skip");
    exchange->feed("1\n\"", false);
    for (int i = 0; i < 20; ++i) exchange->feed(std::string(16 * 1024, 'x'), false);
    exchange->feed("\"\n3\n", false);
    exchange->feed("\"" + std::string(100, 'x') + "\"\n5", true);
    api.start(exchange);
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 5);
    CHECK(lines[0]["status"] == 201);
    CHECK(lines[1]["code"] == "value_too_large");
    CHECK(lines[1]["line"] == 2);
    CHECK(lines[2]["status"] == 201);
    CHECK(lines[3]["code"] == "value_too_large");
    CHECK(lines[4]["line"] == 5);
}

TEST_CASE("api stream: topics are filled from the value") {
    ApiFixture api;
    const auto exchange = api.post_lines(
        "topic=orders/{/id}/{/s~1t/0}/x&on_error=skip",
        "{\"id\":\"a\",\"s/t\":[5]}\n{\"id\":\"a/b\",\"s/t\":[5]}\n{\"id\":\"a\"}\n");
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 3);
    CHECK(api.log().records_[0]->topic == "orders/a/5/x");
    CHECK(lines[1]["code"] == "bad_record");
    CHECK(lines[2]["detail"] == "the value has nothing at '/s~1t/0'");
    CHECK(body_of(*api.post_lines("topic=orders/x{/id}", "1"))["code"] == "bad_topic");
    CHECK(body_of(*api.post_lines("topic={id}", "1"))["code"] == "bad_option");
}

TEST_CASE("api stream: parameters that do not go together are refused") {
    ApiFixture api;
    const auto code = [&](const std::string& query) {
        const auto exchange = api.post_lines(query, "1\n");
        CHECK(exchange->status() == 400);
        return body_of(*exchange)["code"].get<std::string>();
    };
    CHECK(code("") == "bad_topic");
    CHECK(code("topic=a&envelope=true") == "bad_option");
    CHECK(code("topic=a&envelope=1") == "bad_option");
    CHECK(code("topic=a&on_error=go") == "bad_option");
    CHECK(code("topic=a&acks=all") == "bad_option");
    CHECK(code("topic=a&key=k&key_from=/k") == "bad_option");
    CHECK(code("topic=a&key_from=k") == "bad_option");
    CHECK(code("topic=a&expect_none=b") == "bad_option");
    CHECK(code("topic=a&after=1") == "bad_option");
    CHECK(code("topic=a&ack=bucket") == "no_bucket");
    CHECK(code("topic=a&session=12") == "bad_option");
    CHECK(code("topic=a&session_line=1") == "bad_option");
    CHECK(code("topic=a&session=000000000000000000000000000000ff&session_line=0") == "bad_option");
    CHECK(api.log().records_.empty());
}

TEST_CASE("api stream: a session writes each line once, and says where it was") {
    ApiFixture api;
    const std::string session = "topic=a&key=k&session=0123456789abcdef0123456789ABCDEF";
    api.post_lines(session + "&session_line=11", "1\n\n3\n");
    REQUIRE(api.log().records_.size() == 2);
    CHECK(api.log().records_[1]->view.session_line == 13);
    CHECK(api.log().records_[1]->view.session.bytes[15] == 0xef);
    for (const bool hidden : {false, true}) {
        api.log().hide_session_seqs_ = hidden;
        const auto again = api.post_lines(session + "&session_line=13", "3\n4\n");
        const auto lines = lines_of(*again);
        REQUIRE(lines.size() == 2);
        CHECK(lines[0] == nlohmann::json::parse(
                              R"({"line":1,"status":200,"seq":2,"version":2,"duplicate":true})"));
        CHECK(lines[1]["line"] == 2);
    }
    CHECK(api.log().records_.size() == 3);
}

TEST_CASE("api stream: when settings change the lines are judged again in their order") {
    ApiFixture api;
    api.log().settings_seq_counts_ = true;
    api.log().hold_ = true;
    const auto exchange = stream("topic=a&key=k");
    exchange->feed("1\n2\n", false);
    exchange->feed("3\n", false);
    api.start(exchange);
    REQUIRE(api.log().held_.size() == 2);
    ++api.log().settings_;
    exchange->feed("4\n", true);
    api.log().release();
    api.log().hold_ = false;
    exchange->run();
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 4);
    REQUIRE(api.log().records_.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(lines[i]["version"] == i + 1);
        CHECK(api.log().records_[i]->value == std::to_string(i + 1));
    }
}

TEST_CASE("api stream: unread acks stop the reading, and end the stream in time") {
    ApiFixture api;
    const auto exchange = stream("topic=a");
    exchange->peer_reads_ = false;
    std::string piece;
    for (int i = 0; i < 4096; ++i) piece += "1\n";
    for (int i = 0; i < 40; ++i) exchange->feed(piece, false);
    api.start(exchange);
    CHECK(exchange->unsent_bytes() > 1'000'000);
    CHECK(exchange->unsent_bytes() < 3'000'000);
    const std::size_t reads = exchange->reads_;
    CHECK(reads < 20);
    CHECK(exchange->timer_after_ == std::chrono::milliseconds(30'000));
    SUBCASE("the peer reads on") {
        exchange->take_unsent();
        CHECK(exchange->reads_ > reads);
        CHECK_FALSE(exchange->finished_);
    }
    SUBCASE("the peer does not") {
        exchange->fire_timer();
        CHECK(exchange->finished_);
        const auto last = lines_of(*exchange).back();
        CHECK(last["status"] == 408);
        CHECK(last["code"] == "timeout");
        CHECK(last["hint"].get<std::string>().find("acks=summary") != std::string::npos);
    }
}

TEST_CASE("api stream: a body that breaks off writes its whole lines and no half one") {
    ApiFixture api;
    const auto gone = stream("topic=a");
    gone->feed("1\n2", false);
    gone->feed_error(Error{Code::io, "the peer is gone", {}});
    api.start(gone);
    CHECK(api.log().records_.size() == 1);
    const auto stalled = stream("topic=a");
    stalled->feed("1\n2", false);
    stalled->feed_error(Error{Code::timeout, "the body stalled", {}});
    api.start(stalled);
    CHECK(stalled->finished_);
    CHECK(lines_of(*stalled).back()["status"] == 408);
    CHECK(api.log().records_.size() == 2);
}

TEST_CASE("api stream: a daemon that drains says from which line to go on") {
    ApiFixture api;
    const auto exchange = stream("topic=a");
    exchange->feed("1\n2\n", false);
    api.start(exchange);
    exchange->drain();
    CHECK(exchange->finished_);
    const auto lines = lines_of(*exchange);
    REQUIRE(lines.size() == 3);
    CHECK(lines[2]["line"] == 3);
    CHECK(lines[2]["code"] == "stopping");
    CHECK(lines[2]["status"] == 503);
}

TEST_CASE("api stream: nothing is kept once the stream is over") {
    ApiFixture api;
    std::weak_ptr<FakeExchange> weak;
    {
        const auto exchange = api.post_lines("topic=a", "1\n2\n");
        weak = exchange;
        CHECK(exchange->finished_);
    }
    CHECK(weak.expired());
}
