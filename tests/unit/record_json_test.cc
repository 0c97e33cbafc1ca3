#include "daemon/json/record_json.h"

#include <doctest/doctest.h>

#include <string>

using namespace klog;
using namespace klog::json;

namespace {

struct Parsed {
    WriteBatch batch;
    WriteRecord record;
    std::string line;
    Status status;

    explicit Parsed(std::string text, std::size_t value_bytes_max = 1U << 20U)
        : line(std::move(text)) {
        status = parse_envelope(line.data(), line.size(), value_bytes_max, batch, record);
    }
};

std::string rendered(const RecordView& record) {
    std::string out;
    append_record(out, record);
    return out;
}

RecordView sample() {
    RecordView record;
    record.seq = {1042};
    record.topic = "orders/123/completed";
    record.has_key = true;
    record.key = "123";
    record.version = {7};
    record.time = {1'795'354'740'123'456};
    record.value = R"({"amount":12.5})";
    return record;
}

}  // namespace

TEST_CASE("record_json: a record is rendered as the interface shows it") {
    RecordView record = sample();
    CHECK(rendered(record) ==
          R"({"seq":1042,"topic":"orders/123/completed","key":"123","version":7,)"
          R"("time":"2026-11-22T13:39:00.123456Z","value":{"amount":12.5}})"
          "\n");
    const std::string headers = encode_headers({{"traceparent", "00-\"x"}, {"b", ""}});
    record.id = "01J";
    record.headers = headers;
    record.has_event_time = true;
    record.event_time = {-1};
    record.session.bytes[3] = 9;
    record.session_line = 4;
    CHECK(rendered(record) ==
          R"({"seq":1042,"topic":"orders/123/completed","key":"123","version":7,)"
          R"("time":"2026-11-22T13:39:00.123456Z","event_time":"1969-12-31T23:59:59.999999Z",)"
          R"("id":"01J","headers":{"traceparent":"00-\"x","b":""},"value":{"amount":12.5}})"
          "\n");
}

TEST_CASE("record_json: what is empty is left out") {
    RecordView record = sample();
    record.has_key = false;
    record.version = {};
    record.encoding = Encoding::bytes;
    record.value = "";
    CHECK(rendered(record) == R"({"seq":1042,"topic":"orders/123/completed",)"
                              R"("time":"2026-11-22T13:39:00.123456Z","value_base64":""})"
                              "\n");
    record.kind = Kind::tombstone;
    CHECK(rendered(record) == R"({"seq":1042,"topic":"orders/123/completed",)"
                              R"("time":"2026-11-22T13:39:00.123456Z","kind":"tombstone"})"
                              "\n");
}

TEST_CASE("record_json: names that need escapes or are long are rendered all the same") {
    RecordView record = sample();
    record.topic = "a\"b/c";
    CHECK(rendered(record).find(R"("topic":"a\"b/c","key":"123","version":7)") !=
          std::string::npos);
    const std::string key(1024, 'k');
    record.key = key;
    CHECK(rendered(record).find("\"key\":\"" + key + "\",\"version\":7") != std::string::npos);
}

TEST_CASE("record_json: an envelope's members become the record") {
    Parsed parsed(R"( {"topic":"orders/1","key":"k\u00e9","value" : { "n" : 1e400 } ,"id":"i",)"
                  R"("headers":{"a":"1","b":"\n"},"event_time":"2026-11-22T15:39:00.5+02:00",)"
                  R"("expect":7,"seq":9,"version":[1],"time":"x","meta":{"y":null}} )");
    REQUIRE(parsed.status.ok());
    const WriteRecord& r = parsed.record;
    CHECK(r.topic == "orders/1");
    CHECK(r.has_key);
    CHECK(r.key == "k\xc3\xa9");
    CHECK(r.value == R"({ "n" : 1e400 })");
    CHECK(r.encoding == Encoding::json);
    CHECK(r.id == "i");
    REQUIRE(decode_headers(r.headers).size() == 2);
    CHECK(decode_headers(r.headers)[1].value == "\n");
    CHECK(r.has_event_time);
    CHECK(r.event_time.micros == 1'795'354'740'500'000);
    CHECK(r.expect.form == Expect::Form::version);
    CHECK(r.expect.version == 7);
    // Without escapes nothing is copied.
    CHECK(r.topic.data() > parsed.line.data());
    CHECK(r.topic.data() < parsed.line.data() + parsed.line.size());
}

TEST_CASE("record_json: what tail prints can be produced again") {
    RecordView record = sample();
    record.kind = Kind::tombstone;
    record.encoding = Encoding::bytes;
    record.value = std::string_view("\0\xff\n", 3);
    Parsed parsed(rendered(record));
    REQUIRE(parsed.status.ok());
    CHECK(parsed.record.kind == Kind::tombstone);
    CHECK(parsed.record.encoding == Encoding::bytes);
    CHECK(parsed.record.value == record.value);
    CHECK(parsed.record.topic == record.topic);
}

TEST_CASE("record_json: a tombstone may lack a value, nothing else may") {
    CHECK(Parsed(R"({"topic":"a","key":"k","kind":"tombstone"})").status.ok());
    CHECK(Parsed(R"({"topic":"a","key":"k"})").status.error().code == Code::bad_record);
    CHECK(Parsed(R"({"topic":"a","value":null})").record.value == "null");
}

TEST_CASE("record_json: expectations in their forms") {
    const auto expect = [](const std::string& member) {
        return Parsed(R"({"topic":"a","key":"k","value":1,)" + member + "}");
    };
    CHECK(expect(R"("expect":"absent")").record.expect.form == Expect::Form::absent);
    CHECK(expect(R"("expectedVersion":"exists")").record.expect.form == Expect::Form::exists);
    CHECK(expect(R"("expect":0,"expectedVersion":0)").status.ok());
    CHECK(expect(R"("expect":18446744073709551615)").record.expect.version == UINT64_MAX);
    for (const char* bad :
         {R"("expect":1,"expectedVersion":2)", R"("expect":-1)", R"("expect":1.0)",
          R"("expect":"1")", R"("expect":null)", R"("expect":18446744073709551616)",
          R"("expect":["absent"])", R"("expect":"absent","expectedVersion":0)"}) {
        CAPTURE(bad);
        const Parsed parsed = expect(bad);
        REQUIRE_FALSE(parsed.status.ok());
        CHECK(parsed.status.error().code == Code::bad_record);
    }
}

TEST_CASE("record_json: wrong envelopes say what is wrong") {
    struct Case {
        const char* line;
        Code code;
        const char* message;
        const char* hint;
    };
    const Case cases[] = {
        {R"({"topic":"a","value":1,"exepct":1})", Code::bad_record, "unknown member 'exepct'",
         "did you mean 'expect'?"},
        {R"({"guard":{"none":["a"]}})", Code::bad_record,
         "a line of 'guard' stands only in an atomic batch",
         "atomic=true, or klog produce --atomic"},
        {R"({"ack":{"consumer":"c","seq":1}})", Code::bad_record,
         "a line of 'ack' stands only in an atomic batch", "atomic=true, or klog produce --atomic"},
        {R"({"topic":"a","value":1,"zzzzzz":1})", Code::bad_record, "unknown member 'zzzzzz'", ""},
        {R"({"topic":"a","topic":"b","value":1})", Code::bad_record,
         "the member 'topic' stands twice", ""},
        {R"({"topic":"a","\u0074opic":"b","value":1})", Code::bad_record,
         "the member 'topic' stands twice", ""},
        {R"({"value":1})", Code::bad_record, "the envelope has no topic", ""},
        {R"({"topic":"a","key":null,"value":1})", Code::bad_record, "'key' is not a string", ""},
        {R"({"topic":"a","key":"\ud800","value":1})", Code::bad_record,
         "'key' holds half a surrogate pair", ""},
        {R"({"topic":"a","id":"","value":1})", Code::bad_record, "'id' is empty", ""},
        {R"({"topic":"a","value":1,"value_base64":""})", Code::bad_record,
         "'value' and 'value_base64' exclude each other", ""},
        {R"({"topic":"a","value":1,"kind":"snapshot"})", Code::bad_record,
         "snapshots cannot be produced", ""},
        {R"({"topic":"a","headers":{"a":"1","a":"2"},"value":1})", Code::bad_record,
         "the header 'a' stands twice", ""},
        {R"({"topic":"a","headers":{"a":1},"value":1})", Code::bad_record, "'a' is not a string",
         ""},
        {R"({"topic":"a","value":1)", Code::bad_json,
         "the JSON text ends too early (line 1, column 23)", "was the input cut short?"},
        {R"({"topic":"a","value":1} x)", Code::bad_json,
         "something follows the JSON value (line 1, column 25)", ""},
        {R"([1])", Code::bad_record, "an envelope is a JSON object",
         R"({"topic":"orders/1/created","value":{}})"},
        {R"({"topic":"a","value":1,})", Code::bad_json,
         "unexpected '}' in JSON (line 1, column 24)", ""},
        {R"({"topic":"a","value":01})", Code::bad_json,
         "unexpected '1' in JSON (line 1, column 23)", ""},
        {R"({"topic":"a","headers":{"a":"b",},"value":1})", Code::bad_json,
         "unexpected '}' in JSON (line 1, column 33)", ""},
        {R"({"topic":"a","value":"12345678901234567"})", Code::value_too_large,
         "the value holds 19 bytes, at most 16 are allowed", ""},
        {R"({"topic":"a","kind":"final","value":1})", Code::bad_record,
         "closing an entity ('final') is not supported by this version", ""},
    };
    for (const Case& c : cases) {
        CAPTURE(c.line);
        const Parsed parsed(c.line, 16);
        REQUIRE_FALSE(parsed.status.ok());
        CHECK(parsed.status.error().code == c.code);
        CHECK(parsed.status.error().message == c.message);
        CHECK(parsed.status.error().hint == c.hint);
    }
    CHECK_FALSE(
        Parsed(R"({"topic":"a","value":1,"id":")" + std::string(129, 'i') + "\"}").status.ok());
    std::string headers;
    for (int i = 0; i < 65; ++i) headers += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
    const Parsed many(R"({"topic":"a","value":1,"headers":{)" + headers + "}}");
    CHECK(many.status.error().code == Code::headers_too_large);
    const Parsed large(R"({"topic":"a","value":1,"headers":{"a":")" + std::string(65'536, 'h') +
                       "\"}}");
    CHECK(large.status.error().code == Code::headers_too_large);
}

TEST_CASE("record_json: base64 is strict") {
    for (const char* text : {"", "AA==", "AAA=", "AAAA", "+/8=", "AAAAAQ=="}) {
        CAPTURE(text);
        const auto bytes = parse_base64(text);
        REQUIRE(bytes.ok());
        std::string back;
        append_base64(back, *bytes);
        CHECK(back == text);
    }
    for (const char* text : {"A", "AA", "AAA", "AA=A", "A===", "====", "AB==", "AAB=", "-_8=",
                             "AA==AAAA", "AAAA\n", " AAA"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_base64(text).ok());
    }
}

TEST_CASE("record_json: times") {
    const auto shown = [](std::int64_t micros) {
        std::string out;
        append_time(out, Time{micros});
        return out;
    };
    CHECK(shown(0) == "1970-01-01T00:00:00.000000Z");
    CHECK(shown(951'782'400'000'001) == "2000-02-29T00:00:00.000001Z");
    CHECK(shown(-62'167'219'200'000'000) == "0000-01-01T00:00:00.000000Z");
    CHECK(shown(253'402'300'799'999'999) == "9999-12-31T23:59:59.999999Z");
    for (const std::int64_t micros : {INT64_C(0), INT64_C(-1), INT64_C(1'795'354'740'123'456),
                                      INT64_C(4'107'542'399'999'999)}) {
        CHECK(parse_time(shown(micros))->micros == micros);
    }
    CHECK(parse_time("2026-11-22T13:39:00Z")->micros == 1'795'354'740'000'000);
    CHECK(parse_time("2026-11-22t13:39:00.1234567899-01:30")->micros == 1'795'360'140'123'456);
    for (const char* bad :
         {"", "2026-11-22", "2026-11-22T13:39:00", "2026-13-22T13:39:00Z", "2026-02-29T00:00:00Z",
          "2026-11-22T24:00:00Z", "2026-11-22T13:60:00Z", "2026-11-22T13:39:61Z",
          "2026-11-22T13:39:00.Z", "2026-11-22T13:39:00+1:00", "2026-11-22T13:39:00Zx",
          "2026/11/22T13:39:00Z", "26-11-22T13:39:00Z"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_time(bad).ok());
    }
    TimeCache cache;
    char text[kTimeBytes];
    put_time(text, Time{1'000'000}, cache);
    put_time(text, Time{1'999'999}, cache);
    CHECK(std::string_view(text, sizeof text) == "1970-01-01T00:00:01.999999Z");
    put_time(text, Time{-1}, cache);
    CHECK(std::string_view(text, sizeof text) == "1969-12-31T23:59:59.999999Z");
}

TEST_CASE("record_json: durations and near names") {
    CHECK(*parse_duration("250ms") == 250'000);
    CHECK(*parse_duration("15m") == 900'000'000);
    CHECK(*parse_duration("2w") == INT64_C(1'209'600'000'000));
    for (const char* bad : {"", "5", "m", "-5m", "1.5h", "5 m", "5M", "999999999999w"}) {
        CAPTURE(bad);
        CHECK(parse_duration(bad).error().code == Code::bad_option);
    }
    const std::string_view names[] = {"filter", "follow", "limit"};
    CHECK(nearest_name("filtre", names) == "filter");
    CHECK(nearest_name("folow", names) == "follow");
    CHECK(nearest_name("reducer", names).empty());
}
