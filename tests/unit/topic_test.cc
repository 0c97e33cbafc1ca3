#include "topic/topic.h"

#include <doctest/doctest.h>

#include <string>

#include "base/utf8.h"

using klog::check_key;
using klog::check_space;
using klog::check_topic;
using klog::Code;
using klog::Status;

namespace {

std::string repeat(const std::string& text, std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += text;
    return out;
}

// 0 where the text was taken.
std::size_t column(const Status& status, Code code) {
    if (status.ok()) return 0;
    CHECK(status.error().code == code);
    const std::string& message = status.error().message;
    CHECK(message.ends_with(")"));
    CHECK(klog::find_invalid_utf8(message) == std::string::npos);
    const std::size_t at = message.rfind("(column ");
    REQUIRE(at != std::string::npos);
    return std::stoul(message.substr(at + 8));
}

std::size_t topic_column(const std::string& topic) {
    return column(check_topic(topic), Code::bad_topic);
}

struct Row {
    std::string text;
    std::size_t column;
};

}  // namespace

TEST_CASE("topic: what the grammar allows is taken") {
    for (const std::string topic :
         {"a", "orders/123/completed", "..", "a.b", "a/../b", "$klog/policies", "a/$b", "wiki/en:é",
          "日本/東京", "😀", "a-b_c~d", "%20", "a:b@c=d&e,f;g'h\"i\\j|k^l`m", "[x]/(y)/<z"}) {
        CAPTURE(topic);
        CHECK(topic_column(topic) == 0);
    }
}

TEST_CASE("topic: the column is the first byte that cannot stand there") {
    const Row rows[] = {
        {"", 1},
        {"/", 1},
        {"/a", 1},
        {"a/", 3},
        {"a//b", 3},
        {"a//", 3},
        {"a b", 2},
        {"a\tb", 2},
        {std::string("a\0b", 3), 2},
        {"ab\x7F", 3},
        {"é\xC2\x80", 3},       // U+0080
        {"é\xC2\x9F", 3},       // U+009F
        {"a\xC2\x85", 2},       // U+0085, white space and control
        {"a\xC2\xA0", 2},       // U+00A0
        {"a\xE1\x9A\x80", 2},   // U+1680
        {"a\xE2\x80\x80z", 2},  // U+2000
        {"a\xE2\x80\x8A", 2},   // U+200A
        {"a\xE2\x80\xA8", 2},   // U+2028
        {"a\xE2\x80\xA9", 2},   // U+2029
        {"a\xE2\x80\xAF", 2},   // U+202F
        {"a\xE2\x81\x9F", 2},   // U+205F
        {"é/\xE3\x80\x80", 4},  // U+3000
        {"a/\xFFz", 3},         // not UTF-8
        {"a\xC3(", 2},          // a cut character, told by its first byte
        {"aa\xE2\x82", 3},      // cut by the end
        {"\xED\xA0\x80", 1},    // a surrogate
        {"a\xC0\xAF"
         "b",
         2},  // an overlong slash
        {"a\xF4\x90\x80\x80", 2},
    };
    for (const Row& row : rows) {
        CAPTURE(klog::quoted(row.text));
        CHECK(topic_column(row.text) == row.column);
    }
    for (const char c : std::string("*>+#!{}?")) {
        CAPTURE(c);
        CHECK(topic_column(std::string("ab/") + c) == 4);
        CHECK(topic_column(std::string("ab/x") + c + "/") == 5);
    }
}

TEST_CASE("topic: neighbours of white space and controls may stand in a level") {
    for (const std::string topic :
         {"\xC2\xA1", "\xE2\x80\x8B", "\xE2\x80\xB0", "\xE2\x81\xA0", "\xE3\x80\x81",
          "\xE1\x9A\x81", "\xE1\xA0\x8E", "~", "\xEF\xBB\xBF"}) {
        CAPTURE(klog::quoted(topic));
        CHECK(topic_column(topic) == 0);
    }
}

TEST_CASE("topic: 1024 bytes and 128 levels are the limit") {
    const std::string long_level(1024, 'x');
    CHECK(topic_column(long_level) == 0);
    CHECK(topic_column(long_level + "x") == 1025);
    CHECK(topic_column(long_level + "/") == 1025);
    CHECK(topic_column(std::string(1023, 'x') + "/") == 1025);
    CHECK(topic_column(std::string(1023, 'x') + "é") == 1025);
    CHECK(topic_column(std::string(1022, 'x') + "é") == 0);
    CHECK(topic_column("a b" + std::string(1U << 20U, 'x')) == 2);
    CHECK(topic_column(std::string(1U << 20U, 'x') + " ") == 1025);
    CHECK(topic_column(repeat("x/", 127) + "x") == 0);
    CHECK(topic_column(repeat("x/", 128) + "x") == 256);
    CHECK(topic_column(repeat("1234567/", 127) + "12345678") == 0);
}

TEST_CASE("topic: a refusal says what is wrong and what to do") {
    const Status trailing = check_topic("a/");
    CHECK(trailing.error().message == "\"a/\" is not a topic: its last level is empty (column 3)");
    CHECK(trailing.error().hint == "leave out the \"/\" at the end");
    CHECK(check_topic("a/*").error().message ==
          "\"a/*\" is not a topic: \"*\" may not stand in a level (column 3)");
    CHECK(check_topic("a/*").error().hint.find("filters") != std::string::npos);
    CHECK(check_topic("a\n").error().message ==
          "\"a\\u000a\" is not a topic: the control character U+000A may not stand in a level "
          "(column 2)");
    CHECK(check_topic(std::string(1023, 'x') + "/").error().message.find("last level") !=
          std::string::npos);
}

TEST_CASE("topic: the space is the first level") {
    CHECK(klog::space_of("orders/123/created") == "orders");
    CHECK(klog::space_of("orders") == "orders");
    CHECK(klog::is_reserved_topic("$klog/x"));
    CHECK_FALSE(klog::is_reserved_topic("a/$klog"));
}

TEST_CASE("topic: a space is one level") {
    CHECK(column(check_space("orders"), Code::bad_topic) == 0);
    CHECK(column(check_space("$klog"), Code::bad_topic) == 0);
    const Row rows[] = {{"", 1},
                        {"a/b", 2},
                        {"a/", 2},
                        {"/a", 1},
                        {"a*/b", 2},
                        {"ab/c d", 3},
                        {std::string(1025, 'x'), 1025}};
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK(column(check_space(row.text), Code::bad_topic) == row.column);
    }
}

TEST_CASE("topic: keys are UTF-8 without control characters") {
    for (const std::string key : {"123", "a b", "a/b*>+#!{}?", "é€😀", "\xC2\xA0", "\xE3\x80\x80"}) {
        CHECK(column(check_key(key), Code::bad_key) == 0);
    }
    const Row rows[] = {{"", 1},
                        {"a\n", 2},
                        {std::string("\0", 1), 1},
                        {"a\x7F", 2},
                        {"é\xC2\x85", 3},
                        {"a\xFF", 2},
                        {"ab\xC3", 3},
                        {std::string(1025, 'k'), 1025},
                        {std::string(1023, 'k') + "é", 1025},
                        {"a\n" + std::string(5000, 'k'), 2}};
    for (const Row& row : rows) {
        CAPTURE(klog::quoted(row.text));
        CHECK(column(check_key(row.text), Code::bad_key) == row.column);
    }
    CHECK(check_key(std::string(1024, 'k')).ok());
    CHECK(check_key(std::string(1022, 'k') + "é").ok());
}
