#include "daemon/json/json_check.h"

#include <doctest/doctest.h>

#include <string>

using namespace klog;
using namespace klog::json;

namespace {

struct Checked {
    bool ok = false;
    std::string value;
    std::string message;
};

Checked check(std::string text, std::uint64_t line = 1) {
    const Checker checker;
    const auto result = checker.check(text.data(), text.size(), line);
    if (!result) {
        CHECK(result.error().code == Code::bad_json);
        return {false, "", result.error().message};
    }
    return {true, std::string(*result), ""};
}

std::string nested(std::size_t depth, char open, char close, const std::string& inner) {
    return std::string(depth, open) + inner + std::string(depth, close);
}

// The cases of JSONTestSuite that every parser must accept.
const char* const kAccepted[] = {
    "[[]   ]",
    "[\"\"]",
    "[]",
    "[\"a\"]",
    "[false]",
    "[null, 1, \"1\", {}]",
    "[null]",
    "[1\n]",
    " [1]",
    "[1,null,null,null,2]",
    "[2] ",
    "[123e65]",
    "[0e+1]",
    "[0e1]",
    "[ 4]",
    "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]\n",
    "[20e1]",
    "[-0]",
    "[-123]",
    "[-1]",
    "[1E22]",
    "[1E-2]",
    "[1E+2]",
    "[123e45]",
    "[123.456e78]",
    "[1e-2]",
    "[1e+2]",
    "[123]",
    "[123.456789]",
    "[123123123123123123123123123123]",
    "[-1e+9999]",
    "[1.5e+9999]",
    "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
    "{\"asd\":\"sdf\"}",
    "{\"a\":\"b\",\"a\":\"c\"}",
    "{\"a\":\"b\",\"a\":\"b\"}",
    "{}",
    "{\"\":0}",
    "{\"foo\\u0000bar\": 42}",
    "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }",
    "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": "
    "\"xxxxxxxxxxxxxxxxx\"}",
    "{\"a\":[]}",
    "{\n\"a\": \"b\"\n}",
    "[\"\\u0060\\u012a\\u12AB\"]",
    "[\"\\uD801\\udc37\"]",
    "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\\\u0000\"]",
    "[\"\\\"\"]",
    "[\"a/*b*/c/*d//e\"]",
    "[\"\\\\a\"]",
    "[\"\\\\n\"]",
    "[\"\\u0012\"]",
    "[\"\\uFFFF\"]",
    "[ \"asd\"]",
    "[\"\\uDBFF\\uDFFF\"]",
    "[\"new\\u00A0line\"]",
    "[\"\xf4\x8f\xbf\xbf\"]",
    "[\"\xef\xbf\xbf\"]",
    "[\"\\u0000\"]",
    "[\"\\u002c\"]",
    "[\"\xcf\x80\"]",
    "[\"\xf0\x9b\xbf\xbf\"]",
    "[\"asd \"]",
    "\" \"",
    "[\"\\uD834\\uDd1e\"]",
    "[\"\\u0821\"]",
    "[\"\\u0123\"]",
    "[\"\xe2\x80\xa8\"]",
    "[\"\xe2\x80\xa9\"]",
    "[\"\\u0061\\u30af\\u30EA\\u30b9\"]",
    "[\"new\\u000Aline\"]",
    "[\"\x7f\"]",
    "[\"\\uA66D\"]",
    "[\"\\u0022\"]",
    "[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]",
    "[\"a\x7f"
    "a\"]",
    "false",
    "42",
    "-0.1",
    "null",
    "\"asd\"",
    "true",
    "\"\"",
    "[\"a\"]\n",
    "[true]",
    " [] ",
    // Where parsers may differ, klog keeps what it is given.
    "[\"\\uD800\"]",
    "[\"\\uDd1e\\uD834\"]",
    "[\"\\uD800\\uD800\\n\"]",
    "[0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999]",
};

// The cases that every parser must refuse.
const char* const kRefused[] = {
    "[1 true]",
    "[a\xe5]",
    "[\"\": 1]",
    "[\"\"],",
    "[,1]",
    "[1,,2]",
    "[\"x\",,]",
    "[\"x\"]]",
    "[\"\",]",
    "[\"x\"",
    "[x",
    "[3[4]]",
    "[\xff]",
    "[1:2]",
    "[,]",
    "[-]",
    "[   , \"\"]",
    "[\"a\",\n4\n,1,",
    "[1,]",
    "[1,,]",
    "[\"\x0b"
    "a\"\\f]",
    "[*]",
    "[\"\"",
    "[1,",
    "[1,\n1\n,1",
    "[{}",
    "[fals]",
    "[nul]",
    "[tru]",
    "[++1234]",
    "[+1]",
    "[+Inf]",
    "[-01]",
    "[-1.0.]",
    "[-2.]",
    "[-NaN]",
    "[.-1]",
    "[.2e-3]",
    "[0.1.2]",
    "[0.3e+]",
    "[0.3e]",
    "[0.e1]",
    "[0E+]",
    "[0E]",
    "[0e+]",
    "[0e]",
    "[1.0e+]",
    "[1.0e-]",
    "[1.0e]",
    "[1 000.0]",
    "[1eE2]",
    "[2.e+3]",
    "[2.e-3]",
    "[2.e3]",
    "[9.e+]",
    "[Inf]",
    "[NaN]",
    "[\xef\xbc\x91]",
    "[1+2]",
    "[0x1]",
    "[0x42]",
    "[Infinity]",
    "[0e+-1]",
    "[-123.123foo]",
    "[123\xe5]",
    "[1e1\xe5]",
    "[0\xe5]",
    "[-Infinity]",
    "[-foo]",
    "[- 1]",
    "[-012]",
    "[-.123]",
    "[-1x]",
    "[1ea]",
    "[1.]",
    "[.123]",
    "[1.2a-3]",
    "[1.8011670033376514H-308]",
    "[012]",
    "[\"x\", truth]",
    "{[: \"x\"}\n",
    "{\"x\", null}",
    "{\"x\"::\"b\"}",
    "{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}",
    "{\"a\":\"a\" 123}",
    "{key: 'value'}",
    "{\"\xb9\":\"0\",}",
    "{\"a\" b}",
    "{:\"b\"}",
    "{\"a\" \"b\"}",
    "{\"a\":",
    "{\"a\"",
    "{1:1}",
    "{9999E9999:1}",
    "{null:null,null:null}",
    "{\"id\":0,,,,,}",
    "{'a':0}",
    "{\"id\":0,}",
    "{\"a\":\"b\"}/**/",
    "{\"a\":\"b\"}/**//",
    "{\"a\":\"b\"}//",
    "{\"a\":\"b\"}/",
    "{\"a\":\"b\",,\"c\":\"d\"}",
    "{a: \"b\"}",
    "{\"a\":\"a",
    "{ \"foo\" : \"bar\", \"a\" }",
    "{\"a\":\"b\"}#",
    " ",
    "[\"\\uD800\\\"]",
    "[\"\\uD800\\u\"]",
    "[\"\\uD800\\u1\"]",
    "[\"\\uD800\\u1x\"]",
    "[\xc3\xa9]",
    "[\"\\\x01\"]",
    "[\"\\x00\"]",
    "[\"\\\\\\\"]",
    "[\"\\\t\"]",
    "[\"\\\xf0\x9f\x8c\x80\"]",
    "[\"\\\"]",
    "[\"\\u00A\"]",
    "[\"\\uD834\\uDd\"]",
    "[\"\\uD800\\uD800\\x\"]",
    "[\"\\u\xe5\"]",
    "[\"\\a\"]",
    "[\"\\uqqqq\"]",
    "[\"\\\xe5\"]",
    "[\\u0020\"asd\"]",
    "[\\n]",
    "\"",
    "['single quote']",
    "abc",
    "[\"\\",
    "[\"a\x01"
    "a\"]",
    "[\"new\nline\"]",
    "[\"\t\"]",
    "\"\\UA66D\"",
    "\"\"x",
    "<.>",
    "[<null>]",
    "[1]x",
    "[1]]",
    "[\"asd]",
    "a\xc3\xa5",
    "[True]",
    "1]",
    "{\"x\": true,",
    "[][]",
    "]",
    "\xef\xbb\xbf{}",
    "\xef\xbb",
    "\xe5",
    "[",
    "",
    "2@",
    "{}}",
    "{\"\":",
    "{\"a\":/*comment*/\"b\"}",
    "{\"a\": true} \"x\"",
    "['",
    "[,",
    "[{",
    "[\"a",
    "{",
    "{]",
    "{,",
    "{[",
    "{\"a",
    "{'a'",
    "[\"\\{[\"\\{[\"\\{[\"\\{",
    "*",
    "{\"a\":\"b\"}#{}",
    "[\\u000A\"\"]",
    "[1",
    "[ false, nul",
    "[ true, fals",
    "[ false, tru",
    "{\"asd\":\"asd\"",
    "\xc3\xa5",
    "[\xe2\x81\xa0]",
    "[\x0c]",
    "\xe2\x81\xa0",
    // Bytes that are not UTF-8, where parsers may differ and klog does not.
    "[\"\xff\"]",
    "[\"\xe6\x97\xa5\xd1\x88\xfa\"]",
    "[\"\xed\xa0\x80\"]",
    "[\"\xc0\xaf\"]",
    "[\"\x81\"]",
    "[\"\xf4\xbf\xbf\xbf\"]",
    "[\"\xfc\x83\xbf\xbf\xbf\xbf\"]",
    "[\"\xe0\xff\"]",
};

}  // namespace

TEST_CASE("json_check: what RFC 8259 allows is accepted") {
    for (const char* text : kAccepted) {
        CAPTURE(text);
        const Checked result = check(text);
        CAPTURE(result.message);
        CHECK(result.ok);
    }
}

TEST_CASE("json_check: what RFC 8259 does not allow is refused") {
    for (const char* text : kRefused) {
        CAPTURE(text);
        CHECK_FALSE(check(text).ok);
    }
    CHECK_FALSE(check(std::string("123\0", 4)).ok);
    CHECK_FALSE(check(std::string("[\"a\0a\"]", 7)).ok);
}

TEST_CASE("json_check: 128 levels are the limit") {
    CHECK(check(nested(128, '[', ']', "")).ok);
    CHECK(check(nested(127, '[', ']', "{}")).ok);
    const Checked deep = check(nested(129, '[', ']', ""));
    CHECK_FALSE(deep.ok);
    CHECK(deep.message == "JSON is nested more than 128 levels deep (line 1, column 129)");
    CHECK_FALSE(check(nested(100'000, '[', ']', "")).ok);
    std::string objects;
    for (int i = 0; i < 129; ++i) objects += "{\"a\":";
    CHECK_FALSE(check(objects).ok);
    // Objects and arrays in turn: each level must be closed by its own bracket.
    std::string mixed;
    std::string end;
    for (int i = 0; i < 64; ++i) {
        mixed += "[{\"a\":";
        end = "}]" + end;
    }
    CHECK(check(mixed + "1" + end).ok);
    end[70] = end[70] == ']' ? '}' : ']';
    CHECK_FALSE(check(mixed + "1" + end).ok);
}

TEST_CASE("json_check: the value loses the white space around it and nothing else") {
    CHECK(check(" \t\r\n{\"b\":1,\"a\":2,\"b\":12345678901234567890123} \n").value ==
          "{\"b\":1,\"a\":2,\"b\":12345678901234567890123}");
    CHECK(check("{\n\r\"a\" :\n[1,\n2]}").value == "{  \"a\" : [1, 2]}");
    CHECK(check("[\"\\n\\r\"]").value == "[\"\\n\\r\"]");
}

TEST_CASE("json_check: errors name line and column") {
    CHECK(check("{\"a\":1,}").message == "unexpected '}' in JSON (line 1, column 8)");
    CHECK(check("{\n \"a\":\n  x}").message == "unexpected 'x' in JSON (line 3, column 3)");
    CHECK(check("[1,\n\"\xff\"]").message == "a JSON string is not UTF-8 (line 2, column 2)");
    CHECK(check("{\"a\":1").message == "the JSON text ends too early (line 1, column 7)");
    CHECK(check("").message == "there is no JSON value (line 1, column 1)");
    CHECK(check("\xef\xbb\xbf{}").message ==
          "a byte order mark stands before the JSON value (line 1, column 1)");
    CHECK(check("1 2").message == "something follows the JSON value (line 1, column 3)");
    CHECK(check("[\x01]").message == "unexpected byte 0x01 in JSON (line 1, column 2)");
    CHECK(check("[}", 17).message == "unexpected '}' in JSON (line 17, column 2)");
}

TEST_CASE("json_check: a control character is found at every place of a string") {
    for (std::size_t length = 0; length < 40; ++length) {
        for (std::size_t i = 0; i < length; ++i) {
            std::string text = "\"" + std::string(length, 'x') + "\"";
            CHECK(check(text).ok);
            text[i + 1] = '\x1f';
            CHECK_FALSE(check(text).ok);
            text[i + 1] = '\x80';
            CHECK_FALSE(check(text).ok);
        }
    }
}

TEST_CASE("json_check: a pointer names strings and numbers") {
    const std::string_view value =
        R"({"id":"a-1","n":12345678901234567890,"o":{"x/y":[true,"\u00e9\ud83d\ude39"]},)"
        R"("d":1,"d":2,"":"empty","l":"\ud800","z":null,"~":-1.5e3})";
    const auto at = [&](std::string_view pointer) {
        const auto parsed = parse_pointer(pointer);
        REQUIRE(parsed.ok());
        return text_at(value, *parsed);
    };
    CHECK(*at("/id") == "a-1");
    CHECK(*at("/n") == "12345678901234567890");
    CHECK(*at("/o/x~1y/1") == "\xc3\xa9\xf0\x9f\x98\xb9");
    CHECK(*at("/d") == "2");
    CHECK(*at("/") == "empty");
    CHECK(*at("/~0") == "-1.5e3");
    for (const char* missing : {"/nope", "/o/x~1y/2", "/o/x~1y/01", "/o/x~1y/-", "/id/x", "/z",
                                "/o", "/l", "", "/o/x~1y/0"}) {
        CAPTURE(missing);
        const auto result = at(missing);
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Code::bad_record);
        CHECK(result.error().message.find("'" + std::string(missing) + "'") != std::string::npos);
    }
    CHECK(parse_pointer("id").error().code == Code::bad_option);
    CHECK(parse_pointer("id").error().hint == "/id");
    CHECK(parse_pointer("/a~2").error().code == Code::bad_option);
    CHECK(*text_at("17", {}) == "17");
}

TEST_CASE("json_check: quoting escapes what JSON demands and repairs what is no UTF-8") {
    const auto quoted = [](std::string_view text) {
        std::string out;
        append_quoted(out, text);
        return out;
    };
    CHECK(quoted("plain") == "\"plain\"");
    CHECK(quoted("a\"b\\c\nd\x01"
                 "12345678é") == "\"a\\\"b\\\\c\\nd\\u000112345678é\"");
    CHECK(quoted("12345678\xff\"\xc3") == "\"12345678\xef\xbf\xbd\\\"\xef\xbf\xbd\"");
}
