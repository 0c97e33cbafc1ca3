// Reads in the framed form, over a log in memory.
#include <doctest/doctest.h>

#include "support/api_fixture.h"
#include "tests/support/batch_golden.h"

using namespace klog;
using namespace klog::test;

namespace {

struct BatchFixture : ApiFixture {
    BatchFixture() : ApiFixture(1U << 20U) {
        log().add("orders/1/created", "1", "10");
        log().add("orders/2/created", "2", "20");
        log().add("users/1", "", "30");
    }
    std::shared_ptr<FakeExchange> frames(const std::string& query,
                                         const std::string& accept = std::string(kBatchMediaType)) {
        const auto exchange = FakeExchange::make("GET", "/v1/records?" + query);
        exchange->request_.headers.emplace_back("accept", accept);
        return start(exchange);
    }
};

// The seqs of records, and m5 or m5! for marks (! at the head), e for an end, c for one that was
// cut, and the code of an error.
std::string short_form(const std::string& stream) {
    BatchDecoder decoder;
    BatchFrame frame;
    std::string out;
    decoder.feed(stream);
    for (;;) {
        const Result<bool> more = decoder.next(frame);
        if (!more) return out + more.error().message;
        if (!*more) return out;
        const BatchHeader& header = frame.header;
        const bool at_head = (header.flags & BatchHeader::kAtHead) != 0;
        if (header.type == BatchType::mark) {
            out += "m" + std::to_string(header.first_seq.value) + (at_head ? "! " : " ");
        } else if (header.type == BatchType::end) {
            out += (header.flags & BatchHeader::kCut) != 0 ? "c " : "e ";
        } else if (header.type == BatchType::error) {
            out += decode_batch_problem(frame.payload)->code + " ";
        }
        if (header.type != BatchType::records) continue;
        RecordDecoder records(frame.payload, header.first_seq, header.base_time, header.count);
        RecordView record;
        while (*records.next(record)) out += std::to_string(record.seq.value) + " ";
    }
}

}  // namespace

TEST_CASE("api batch: records, how far it looked, and an end") {
    BatchFixture api;
    const auto all = api.frames("");
    CHECK(all->stream_type_ == kBatchMediaType);
    CHECK(all->header("Klog-Read-To") == "3");
    CHECK(all->finished_);
    CHECK(short_form(all->written_) == "1 2 3 m3! e ");
    CHECK(short_form(api.frames("filter=orders/>&until=2")->written_) == "1 2 m2 e ");
    CHECK(short_form(api.frames("filter=none")->written_) == "m3! e ");
    CHECK(short_form(api.frames("limit=2")->written_) == "1 2 c ");
    CHECK(short_form(api.frames("last=1")->written_) == "3 m3! e ");
    CHECK(short_form(api.frames("after=9")->written_) == "m9 e ");
    CHECK(api.frames("from=3&until=2")->status() == 400);
}

TEST_CASE("api batch: what is in a record comes through") {
    BatchFixture api;
    const std::string headers = encode_headers({{"a", "b"}});
    api.post("/v1/records?topic=x/y&key=k&id=i&header=a=b&event_time=2026-01-02T03:04:05Z",
             "application/octet-stream", std::string("\0\xff", 2));
    const std::string dump = testing::dump_batch(api.frames("last=1")->written_, 1000);
    CHECK(dump.find("topic x/y key \"k\" id i event_time 1767323045000000 header a=b value "
                    "\\x00\\xff") != std::string::npos);
    CHECK(dump.find("version 1 ") != std::string::npos);
    CHECK(dump.find("encoding 1 ") != std::string::npos);
}

TEST_CASE("api batch: a follower is told when it has caught up, and kept alive by marks") {
    BatchFixture api;
    const auto tail = api.frames("filter=orders/>&from=start&follow=true");
    CHECK(short_form(tail->written_) == "1 2 m3! ");
    api.log().add("users/2", "", "1");
    tail->fire_timer();
    CHECK(short_form(tail->written_) == "1 2 m3! m4! ");
    api.post("/v1/records?topic=orders/9", "application/json", "1");
    tail->run();
    CHECK(short_form(tail->written_) == "1 2 m3! m4! 5 ");
    tail->drain();
    CHECK(short_form(tail->written_) == "1 2 m3! m4! 5 c ");
    CHECK(tail->finished_);
    CHECK(api.log().readers_ == 0);
}

TEST_CASE("api batch: a long answer is cut into frames, and waits for a peer that does not read") {
    BatchFixture api;
    const std::string value = "\"" + std::string(1000, 'x') + "\"";
    for (int i = 0; i < 5000; ++i) api.log().add("big", "", value);
    const auto exchange = FakeExchange::make("GET", "/v1/records?filter=big");
    exchange->request_.headers.emplace_back("accept", kBatchMediaType);
    exchange->peer_reads_ = false;
    api.start(exchange);
    CHECK(exchange->unsent_bytes() < 1'500'000);
    CHECK_FALSE(exchange->finished_);
    for (int i = 0; i < 40 && !exchange->finished_; ++i) exchange->take_unsent();
    REQUIRE(exchange->finished_);
    BatchDecoder decoder;
    BatchFrame frame;
    decoder.feed(exchange->written_);
    std::size_t frames = 0;
    std::size_t records = 0;
    while (*decoder.next(frame)) {
        frames += frame.header.type == BatchType::records ? 1 : 0;
        records += frame.header.count;
        CHECK(frame.payload.size() <= kBatchPayloadBytesWanted);
    }
    CHECK(records == 5000);
    CHECK(frames >= 5'000'000 / kBatchPayloadBytesWanted);
    CHECK(frames < 60);
}

TEST_CASE("api batch: an answer that breaks off says why, and has no end") {
    BatchFixture api;
    api.log().scan_step_ = 1;
    const auto exchange = FakeExchange::make("GET", "/v1/records");
    exchange->request_.headers.emplace_back("accept", kBatchMediaType);
    exchange->peer_reads_ = false;
    api.log().add("big", "", "\"" + std::string(600'000, 'x') + "\"");
    api.log().add("big", "", "1");
    api.start(exchange);
    REQUIRE_FALSE(exchange->finished_);
    api.log().read_error_ = Error{Code::corrupt, "a frame is damaged", {}};
    for (int i = 0; i < 3; ++i) exchange->take_unsent();
    CHECK(exchange->aborted_);
    CHECK(short_form(exchange->written_) == "1 2 3 4 corrupt ");
    CHECK(api.frames("")->status() == 500);
}

TEST_CASE("api batch: frames and events at once are refused, other types stay what they were") {
    BatchFixture api;
    const std::string batch(kBatchMediaType);
    const auto both = api.frames("", "text/event-stream, " + batch);
    CHECK(both->status() == 406);
    CHECK(body_of(*both)["code"] == "unsupported");
    CHECK(body_of(*both)["hint"].get<std::string>().find("not both") != std::string::npos);
    const auto apart = FakeExchange::make("GET", "/v1/records");
    apart->request_.headers.emplace_back("accept", batch);
    apart->request_.headers.emplace_back("accept", "text/event-stream");
    CHECK(api.start(apart)->status() == 406);
    CHECK(api.frames("", "application/x-ndjson, " + batch)->stream_type_ == batch);
    CHECK(api.frames("", "text/html")->stream_type_ == "application/x-ndjson");
    CHECK(api.frames("", "text/event-stream")->stream_type_ == "text/event-stream");
    const auto head = FakeExchange::make("HEAD", "/v1/records");
    head->request_.headers.emplace_back("accept", batch);
    CHECK(api.start(head)->response_->content_type == batch);
}
