#include "daemon/json/guard_json.h"

#include <doctest/doctest.h>

#include <string>

#include "daemon/json/batch_line.h"
#include "daemon/json/record_json.h"
#include "topic/filter.h"

using namespace klog;
using namespace klog::json;

namespace {

// An envelope whose `expect` is the text.
struct Guarded {
    WriteBatch batch;
    WriteRecord record;
    std::string line;
    Status status;

    explicit Guarded(const std::string& expect, const std::string& more = "")
        : line(R"({"topic":"a","value":1,"expect":)" + expect + more + "}") {
        status = parse_envelope(line.data(), line.size(), 100, batch, record);
    }
};

// A line of an atomic batch.
struct BatchLine {
    WriteBatch batch;
    std::string line;
    Status status;

    explicit BatchLine(std::string text) : line(std::move(text)) {
        batch.atomic = std::make_unique<AtomicPart>();
        status = parse_batch_line(line.data(), line.size(), 100, batch, 7);
    }
    [[nodiscard]] std::size_t added() const {
        return batch.records.size() + batch.atomic->guards.size() + batch.atomic->acks.size();
    }
};

std::string filters(std::size_t count, const std::string& name) {
    std::string text = "\"" + name + "\":[";
    for (std::size_t i = 0; i < count; ++i)
        text += (i > 0 ? ",\"f/" : "\"f/") + std::to_string(i) + "\"";
    return text + "]";
}

struct Wrong {
    std::string text;
    Code code;
    const char* message;
    const char* hint;
};

}  // namespace

TEST_CASE("guard_json: a guard in an envelope has filters, a cursor and a version") {
    const Guarded all(
        R"({ "none" : ["enrol/c1/+", "a\u002fb"] ,"not":["enrol/c1/s9"],"after":18446744073709551615,"version":"absent"})",
        R"(,"key":"k")");
    REQUIRE(all.status.ok());
    REQUIRE(all.record.guard != nullptr);
    CHECK(all.record.guard->none == std::vector<std::string>{"enrol/c1/+", "a/b"});
    CHECK(all.record.guard->not_filters == std::vector<std::string>{"enrol/c1/s9"});
    CHECK(all.record.guard->after == Seq{UINT64_MAX});
    CHECK(all.record.expect.form == Expect::Form::absent);

    const Guarded little(R"({"none":[">"],"not":[]})");
    REQUIRE(little.status.ok());
    CHECK(little.record.guard->after == Seq{});
    CHECK(little.record.guard->not_filters.empty());
    CHECK(little.record.expect.form == Expect::Form::any);
    CHECK(Guarded("{" + filters(10, "none") + "," + filters(6, "not") + "}").status.ok());
}

TEST_CASE("guard_json: what is wrong with a guard is said") {
    const std::string form = R"({"none":["orders/7/+"],"after":42})";
    const Wrong cases[] = {
        {"{}", Code::bad_record, "the guard has no filter in 'none'", form.c_str()},
        {R"({"none":[]})", Code::bad_record, "the guard has no filter in 'none'", form.c_str()},
        {R"({"version":7})", Code::bad_record, "the guard has no filter in 'none'", form.c_str()},
        {R"({"not":["a"],"after":1})", Code::bad_record, "the guard has no filter in 'none'",
         form.c_str()},
        {R"({"none":"a"})", Code::bad_record, "'none' is not an array of filters", form.c_str()},
        {R"({"none":[1]})", Code::bad_record, "'none' is not a string", ""},
        {R"({"none":["\ud800"]})", Code::bad_record, "'none' holds half a surrogate pair", ""},
        {R"({"none":["a"],"none":["b"]})", Code::bad_record, "the member 'none' stands twice", ""},
        {R"({"none":["a"],"n\u006fne":["b"]})", Code::bad_record, "the member 'none' stands twice",
         ""},
        {R"({"none":["a"],"aftr":1})", Code::bad_record, "unknown member 'aftr' in a guard",
         "did you mean 'after'?"},
        {R"({"none":["a"],"expected":1})", Code::bad_record, "unknown member 'expected' in a guard",
         form.c_str()},
        {R"({"none":["a"],"after":-1})", Code::bad_record, "'after' is -1",
         "'after' takes a whole number from 0"},
        {R"({"none":["a"],"after":1.0})", Code::bad_record, "'after' is 1.0",
         "'after' takes a whole number from 0"},
        {R"({"none":["a"],"after":"1"})", Code::bad_record, "'after' is \"1\"",
         "'after' takes a whole number from 0"},
        {R"({"none":["a"],"after":18446744073709551616})", Code::bad_record,
         "'after' is 18446744073709551616", "'after' takes a whole number from 0"},
        {R"({"none":["a"],"version":"1"})", Code::bad_record, "'version' is \"1\"",
         R"(a version such as 7, "absent" or "exists")"},
        {R"({"none":["a"],"version":{"none":["a"]}})", Code::bad_record,
         R"('version' is {"none":["a"]})", R"(a version such as 7, "absent" or "exists")"},
        {R"({"none":["$klog/>"]})", Code::bad_filter,
         "'$klog/>' cannot stand in a guard: it begins with '$' (column 1)",
         "a guard looks at records that producers wrote"},
        {R"({"none":["a"],"not":["$x"]})", Code::bad_filter,
         "'$x' cannot stand in a guard: it begins with '$' (column 1)",
         "a guard looks at records that producers wrote"},
        {R"({"none":["a"],)", Code::bad_json, "unexpected '}' in JSON (line 1, column 47)", ""},
        {R"({"none":["a",]})", Code::bad_json, "unexpected ']' in JSON (line 1, column 46)", ""},
    };
    for (const Wrong& c : cases) {
        CAPTURE(c.text);
        const Guarded guarded(c.text);
        REQUIRE_FALSE(guarded.status.ok());
        CHECK(guarded.status.error().code == c.code);
        CHECK(guarded.status.error().message == c.message);
        CHECK(guarded.status.error().hint == c.hint);
    }
    const Guarded wild(R"({"none":["orders/*/x*y"]})");
    REQUIRE_FALSE(wild.status.ok());
    CHECK(wild.status.error().code == Code::bad_filter);
    CHECK(wild.status.error().message.find("(column 11)") != std::string::npos);
    for (const std::string& many :
         {filters(17, "none"), filters(8, "none") + "," + filters(9, "not"),
          filters(16, "not") + "," + filters(1, "none")}) {
        const Guarded guarded("{" + many + "}");
        REQUIRE_FALSE(guarded.status.ok());
        CHECK(guarded.status.error().code == Code::bad_record);
        CHECK(guarded.status.error().message ==
              "a guard has at most 16 filters in 'none' and 'not' together");
    }
}

TEST_CASE("guard_json: expect and expectedVersion are one, also with a guard") {
    const std::string guard = R"({"none":["a"]})";
    CHECK(Guarded(guard).status.ok());
    CHECK_FALSE(Guarded(guard, R"(,"expectedVersion":1)").status.ok());
    CHECK_FALSE(Guarded("1", R"(,"expectedVersion":)" + guard).status.ok());
    CHECK_FALSE(Guarded(guard, R"(,"expectedVersion":)" + guard).status.ok());
}

TEST_CASE("guard_json: check_guard judges what came by another way") {
    FilterGuard guard;
    CHECK(check_guard(guard).error().code == Code::bad_record);
    guard.none = {"a/>"};
    CHECK(check_guard(guard).ok());
    guard.not_filters.assign(16, "b");
    CHECK(check_guard(guard).error().code == Code::bad_record);
    guard.not_filters = {"b/*c"};
    CHECK(check_guard(guard).error().code == Code::bad_filter);
}

TEST_CASE("guard_json: the filters of a guard are those that the parser takes") {
    // Every text of up to five of these letters.
    const std::string letters = "a/*+>#$ ";
    std::size_t taken = 0;
    for (std::size_t number = 0; number < 8 * 8 * 8 * 8 * 8 * 6; ++number) {
        std::string text;
        std::size_t rest = number;
        for (std::size_t size = rest % 6; text.size() < size;) {
            rest = text.empty() ? rest / 6 : rest / letters.size();
            text.push_back(letters[rest % letters.size()]);
        }
        FilterGuard guard;
        guard.none = {text};
        const Result<Filter> parsed = Filter::parse(text);
        const bool sound = parsed.ok() && !parsed->reserved();
        const Status status = check_guard(guard);
        CAPTURE(text);
        REQUIRE(status.ok() == sound);
        if (!sound) CHECK(status.error().code == Code::bad_filter);
        if (sound) ++taken;
    }
    CHECK(taken > 100);
    std::string deep = "a";
    for (std::size_t i = 1; i < Limits::kTopicLevelsMax; ++i) deep += "/a";
    FilterGuard guard;
    guard.none = {deep};
    CHECK(check_guard(guard).ok());
    guard.none = {deep + "/a"};
    CHECK(check_guard(guard).error().code == Code::bad_filter);
    guard.none = {std::string(Limits::kTopicBytesMax + 1, 'a')};
    CHECK(check_guard(guard).error().code == Code::bad_filter);
}

TEST_CASE("guard_json: lines of an atomic batch") {
    const BatchLine record(R"({"topic":"a","value":1,"expect":{"none":["b"]}})");
    REQUIRE(record.status.ok());
    REQUIRE(record.batch.records.size() == 1);
    CHECK(record.batch.records[0].line == 7);
    CHECK(record.batch.records[0].guard->none.size() == 1);

    const BatchLine entity(R"( {"guard" : {"space":"s","key":"k\u0031","expect":"exists"}} )");
    REQUIRE(entity.status.ok());
    REQUIRE(entity.batch.atomic->guards.size() == 1);
    const BatchGuard& guard = entity.batch.atomic->guards[0];
    CHECK(guard.line == 7);
    CHECK(guard.filters == nullptr);
    CHECK(guard.space == "s");
    CHECK(guard.key == "k1");
    CHECK(guard.expect.form == Expect::Form::exists);

    const BatchLine over(R"({"guard":{"none":["a","b"],"not":["a"],"after":3}})");
    REQUIRE(over.status.ok());
    REQUIRE(over.batch.atomic->guards.size() == 1);
    REQUIRE(over.batch.atomic->guards[0].filters != nullptr);
    CHECK(over.batch.atomic->guards[0].filters->none.size() == 2);
    CHECK(over.batch.atomic->guards[0].filters->after == Seq{3});

    const BatchLine ack(
        R"({"ack":{"consumer":"mailer","seq":42,"lease":3,"result":{"ok": true}}})");
    REQUIRE(ack.status.ok());
    REQUIRE(ack.batch.atomic->acks.size() == 1);
    CHECK(ack.batch.atomic->acks[0].line == 7);
    CHECK(ack.batch.atomic->acks[0].consumer == "mailer");
    CHECK(ack.batch.atomic->acks[0].seq == Seq{42});
    CHECK(ack.batch.atomic->acks[0].lease == 3);
    CHECK(ack.batch.atomic->acks[0].result == R"({"ok": true})");
    const BatchLine bare(R"({"ack":{"consumer":"m","seq":1}})");
    REQUIRE(bare.status.ok());
    CHECK_FALSE(bare.batch.atomic->acks[0].lease.has_value());
    CHECK(bare.batch.atomic->acks[0].result.empty());
}

TEST_CASE("guard_json: what is wrong with a line of a batch is said, and adds nothing") {
    const std::string long_name(129, 'c');
    const std::string long_result = "\"" + std::string(127, 'r') + "\"";
    const Wrong cases[] = {
        {R"({"guard":1})", Code::bad_record, "'guard' is not an object", nullptr},
        {R"({"guard":{}})", Code::bad_record, "the guard has no filter in 'none'", nullptr},
        {R"({"guard":{"space":"s","key":"k"}})", Code::bad_record,
         "a guard of an entity has no 'expect'", nullptr},
        {R"({"guard":{"space":"s","expect":1}})", Code::bad_record,
         "a guard of an entity has no 'key'", nullptr},
        {R"({"guard":{"key":"k","expect":1}})", Code::bad_record,
         "a guard of an entity has no 'space'", nullptr},
        {R"({"guard":{"key":"k","none":["a"]}})", Code::bad_record,
         "a guard is of an entity or over filters, not both", nullptr},
        {R"({"guard":{"none":["a"],"version":1}})", Code::bad_record,
         "unknown member 'version' in a guard", nullptr},
        {R"({"guard":{"space":"s","key":"k","expecct":1}})", Code::bad_record,
         "unknown member 'expecct' in a guard", "did you mean 'expect'?"},
        {R"({"guard":{"space":"s","key":"k","expect":{"none":["a"]}}})", Code::bad_record,
         R"('expect' is {"none":["a"]})", nullptr},
        {R"({"guard":{"none":["*a"]}})", Code::bad_filter, nullptr, nullptr},
        {R"({"guard":{"none":["a"]},"topic":"a","value":1})", Code::bad_record,
         "'guard' has a line of its own", "a record's own guard stands in it as 'expect'"},
        {R"({"topic":"a","value":1,"guard":{"none":["a"]}})", Code::bad_record,
         "'guard' has a line of its own", "a record's own guard stands in it as 'expect'"},
        {R"({"guard":{"none":["a"]},"guard":{"none":["a"]}})", Code::bad_record,
         "'guard' has a line of its own", nullptr},
        {R"({"guard":{"none":["a"]}} 1)", Code::bad_json, nullptr, nullptr},
        {R"({"guard":{"none":["a"]})", Code::bad_json, nullptr, nullptr},
        {R"({"guard")", Code::bad_json, nullptr, nullptr},
        {R"({"ack":[1]})", Code::bad_record, "'ack' is not an object", nullptr},
        {R"({"ack":{"consumer":"c"}})", Code::bad_record, "an ack has no 'seq'", nullptr},
        {R"({"ack":{"seq":1}})", Code::bad_record, "an ack has no 'consumer'", nullptr},
        {R"({"ack":{"consumer":"","seq":1}})", Code::bad_record,
         "a consumer's name has 1 to 128 bytes, this one 0", nullptr},
        {R"({"ack":{"consumer":")" + long_name + R"(","seq":1}})", Code::bad_record,
         "a consumer's name has 1 to 128 bytes, this one 129", nullptr},
        {R"({"ack":{"consumer":"c","seq":1,"result":)" + long_result + "}}", Code::bad_record,
         "'result' holds 129 bytes, at most 128 are allowed", nullptr},
        {R"({"ack":{"consumer":"c","seq":-1}})", Code::bad_record, "'seq' is -1", nullptr},
        {R"({"ack":{"consumer":"c","seq":1,"lease":"3"}})", Code::bad_record, "'lease' is \"3\"",
         nullptr},
        {R"({"ack":{"consumer":"c","seq":1,"leese":3}})", Code::bad_record,
         "unknown member 'leese' in an ack", "did you mean 'lease'?"},
        {R"({"ack":{"consumer":"c","consumer":"c","seq":1}})", Code::bad_record,
         "the member 'consumer' stands twice", nullptr},
        {R"([1])", Code::bad_record, "an envelope is a JSON object", nullptr},
        {R"({"value":1})", Code::bad_record, "the envelope has no topic", nullptr},
        {R"({})", Code::bad_record, "the envelope has no topic", nullptr},
        {R"({"topic":"a","value":1)", Code::bad_json,
         "the JSON text ends too early (line 7, column 23)", nullptr},
    };
    for (const Wrong& c : cases) {
        CAPTURE(c.text);
        const BatchLine line(c.text);
        REQUIRE_FALSE(line.status.ok());
        CHECK(line.status.error().code == c.code);
        if (c.message != nullptr) CHECK(line.status.error().message == c.message);
        if (c.hint != nullptr) CHECK(line.status.error().hint == c.hint);
        CHECK(line.added() == 0);
    }
}
