// The JSON check against an independent parser, and what is rendered against what is read back.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"

using namespace klog;
using namespace klog::json;

namespace {

// Pieces that make nearly valid JSON likely. Without half surrogate pairs and huge exponents, which
// the other parser refuses and klog keeps.
const std::vector<std::string> kPieces = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "\"a\"",
                                          "\"\"",
                                          "1",
                                          "0",
                                          "-",
                                          "1.5",
                                          "e1",
                                          "E+2",
                                          ".",
                                          "true",
                                          "false",
                                          "null",
                                          " ",
                                          "\n",
                                          "\t",
                                          "\r",
                                          "\"",
                                          "\\",
                                          "\\n",
                                          "\\u00e9",
                                          "é",
                                          "\x01",
                                          "\x7f",
                                          "\"é日\"",
                                          "\xff",
                                          "\xc3",
                                          "nul",
                                          "tru",
                                          "[[",
                                          "]]",
                                          "{\"k\":",
                                          "}}",
                                          "\"x\":1",
                                          ",\"y\":[",
                                          "/",
                                          "'",
                                          "01",
                                          "-0",
                                          "\"\\\"\"",
                                          "\"12345678\"",
                                          "\"abcdefgh\\\\\"",
                                          "12345678901234567890123"};

std::string random_text() {
    const auto picks = *rc::gen::container<std::vector<std::size_t>>(
        rc::gen::inRange<std::size_t>(0, kPieces.size()));
    std::string text;
    for (const std::size_t pick : picks) text += kPieces[pick];
    return text;
}

nlohmann::json random_value(int depth) {
    const int kind = *rc::gen::inRange(0, depth > 3 ? 5 : 7);
    switch (kind) {
        case 0:
            return nullptr;
        case 1:
            return *rc::gen::arbitrary<bool>();
        case 2:
            return *rc::gen::arbitrary<std::int64_t>();
        case 3:
            return *rc::gen::inRange(-1000, 1000) / 8.0;
        case 4: {
            std::string text;
            const auto points = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 300));
            for (const int point : points) {
                if (point < 0x80) {
                    text.push_back(static_cast<char>(point));
                } else {
                    text.push_back(static_cast<char>(0xc0 | (point >> 6)));
                    text.push_back(static_cast<char>(0x80 | (point & 0x3f)));
                }
            }
            return text;
        }
        default:
            break;
    }
    nlohmann::json made = kind == 5 ? nlohmann::json::array() : nlohmann::json::object();
    const int count = *rc::gen::inRange(0, 4);
    for (int i = 0; i < count; ++i) {
        if (kind == 5) {
            made.push_back(random_value(depth + 1));
        } else {
            made["k" + std::to_string(i)] = random_value(depth + 1);
        }
    }
    return made;
}

bool accepted(std::string text) { return Checker().check(text.data(), text.size()).ok(); }

}  // namespace

TEST_CASE("json: random texts are judged as an independent parser judges them") {
    CHECK(rc::check([] {
        const std::string text = random_text();
        // A byte order mark is skipped by the other parser; no piece makes one.
        RC_ASSERT(accepted(text) == nlohmann::json::accept(text));
    }));
}

TEST_CASE("json: a valid text with one byte changed is judged alike") {
    CHECK(rc::check([] {
        std::string text = random_value(0).dump(*rc::gen::inRange(-1, 3));
        RC_ASSERT(accepted(text));
        const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
        text[at] = *rc::gen::element('"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', 'n', ' ',
                                     '\n', '\x01', '\x80', '\xff');
        RC_PRE(text.find("\\ud") == std::string::npos && text.find("\\uD") == std::string::npos);
        RC_ASSERT(accepted(text) == nlohmann::json::accept(text));
    }));
}

TEST_CASE("json: every cut of a valid object is refused") {
    CHECK(rc::check([] {
        nlohmann::json object = nlohmann::json::object();
        object["v"] = random_value(0);
        const std::string text = object.dump();
        for (std::size_t size = 0; size < text.size(); ++size) {
            RC_ASSERT_FALSE(accepted(text.substr(0, size)));
        }
    }));
}

TEST_CASE("json: a quoted text reads back as it was") {
    CHECK(rc::check([](const std::string& ascii) {
        std::string text;
        for (const char c : ascii) text.push_back(static_cast<char>(c & 0x7f));
        std::string quoted;
        append_quoted(quoted, text);
        RC_ASSERT(nlohmann::json::parse(quoted).get<std::string>() == text);
        RC_ASSERT(*text_at(quoted, {}) == text);
    }));
}

TEST_CASE("json: a rendered record is an envelope of the same record") {
    CHECK(rc::check([](const std::string& bytes, std::int32_t seconds, std::uint32_t micros) {
        RecordView record;
        record.seq = {*rc::gen::arbitrary<std::uint64_t>()};
        record.topic = "a\"\\/b";
        record.has_key = *rc::gen::arbitrary<bool>();
        const std::string key = *rc::gen::element<std::string>("k", "é\"", "\\", "日本");
        if (record.has_key) record.key = key;
        record.version = {record.has_key ? 3U : 0U};
        record.encoding = *rc::gen::element(Encoding::json, Encoding::bytes);
        const std::string value =
            record.encoding == Encoding::bytes ? bytes : random_value(0).dump();
        record.value = value;
        record.has_event_time = true;
        record.event_time = {seconds * INT64_C(1'000'000) + micros % 1'000'000};
        const std::string headers = encode_headers({{"h\n", "v\""}});
        if (*rc::gen::arbitrary<bool>()) record.headers = headers;
        std::string line;
        append_record(line, record);
        RC_ASSERT(line.find('\n') == line.size() - 1);
        WriteBatch batch;
        WriteRecord back;
        const Status status = parse_envelope(line.data(), line.size(), 1U << 20U, batch, back);
        RC_ASSERT(status.ok());
        RC_ASSERT(back.topic == record.topic);
        RC_ASSERT(back.has_key == record.has_key);
        RC_ASSERT(back.key == record.key);
        RC_ASSERT(back.value == record.value);
        RC_ASSERT(back.encoding == record.encoding);
        RC_ASSERT(back.headers == record.headers);
        RC_ASSERT(back.event_time == record.event_time);
    }));
}
