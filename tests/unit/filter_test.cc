#include "topic/filter.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/utf8.h"
#include "support/naive_matcher.h"
#include "topic/topic.h"

using klog::Code;
using klog::Filter;
using klog::FilterSet;

namespace {

std::string repeat(const std::string& text, std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += text;
    return out;
}

Filter compile(const std::string& text) {
    klog::Result<Filter> filter = Filter::parse(text);
    REQUIRE_MESSAGE(filter.ok(), text);
    return *filter;
}

struct Spelling {
    std::string text;
    std::string result;
};

struct Refusal {
    std::string text;
    std::size_t column;
};

struct Match {
    std::string filter;
    std::string topic;
    bool matches;
};

void check_table(const std::vector<Match>& rows) {
    for (const Match& row : rows) {
        CAPTURE(row.filter);
        CAPTURE(row.topic);
        REQUIRE(klog::check_topic(row.topic).ok());
        CHECK(compile(row.filter).matches(row.topic) == row.matches);
        CHECK(klog::naive::matches(row.filter, row.topic) == row.matches);
    }
}

// 0 where the text was taken.
std::size_t column(const std::string& text) {
    const klog::Result<Filter> filter = Filter::parse(text);
    if (filter.ok()) return 0;
    CHECK(filter.error().code == Code::bad_filter);
    const std::string& message = filter.error().message;
    CHECK(message.ends_with(")"));
    const std::size_t at = message.rfind("(column ");
    REQUIRE(at != std::string::npos);
    return std::stoul(message.substr(at + 8));
}

}  // namespace

TEST_CASE("filter: a literal matches itself alone, byte by byte") {
    check_table({{"orders", "orders", true},
                 {"orders", "order", false},
                 {"orders", "orderss", false},
                 {"orders", "Orders", false},
                 {"orders", "orders/1", false},
                 {"orders/1", "orders", false},
                 {"orders/1", "orders/1", true},
                 {"orders/1", "orders/12", false},
                 {"é", "é", true},
                 {"é", "e\xCC\x81", false},
                 {"..", "..", true}});
}

TEST_CASE("filter: a star is exactly one level, a prefix one level that begins so") {
    check_table({{"*", "a", true},
                 {"*", "a/b", false},
                 {"*/*", "a", false},
                 {"*/*", "a/b", true},
                 {"orders/*/completed", "orders/1/completed", true},
                 {"orders/*/completed", "orders/1/2/completed", false},
                 {"orders/*/completed", "orders/completed", false},
                 {"orders/*/completed", "orders/1/created", false},
                 {"wiki/en*", "wiki/en", true},
                 {"wiki/en*", "wiki/en:Berlin", true},
                 {"wiki/en*", "wiki/e", false},
                 {"wiki/en*", "wiki/de", false},
                 {"wiki/en*", "wiki/en/x", false},
                 {"wiki/en*", "wiki", false},
                 {"wiki/en*/x", "wiki/english/x", true},
                 {"wiki/en*/x", "wiki/en/x", true},
                 {"wiki/en*/x", "wiki/e/x", false},
                 {"a*/b*", "a1/b1", true},
                 {"a*/b*", "a1/c1", false}});
}

TEST_CASE("filter: a rest is one or more levels, with # none or more") {
    check_table({{">", "a", true},
                 {">", "a/b/c", true},
                 {"a/>", "a", false},
                 {"a/>", "a/b", true},
                 {"a/>", "a/b/c", true},
                 {"a/>", "ab/c", false},
                 {"a*/>", "ab/c", true},
                 {"a*/>", "ab", false},
                 {"*/>", "a", false},
                 {"*/>", "a/b", true},
                 {"orders/", "orders", false},
                 {"orders/", "orders/1/x", true},
                 {"orders/+/", "orders/1", false},
                 {"orders/+/", "orders/1/x", true},
                 {"a/#", "a", true},
                 {"a/#", "a/b/c", true},
                 {"a/#", "ab", false},
                 {"a/b/#", "a", false},
                 {"*/#", "a", true},
                 {"*/#", "a/b", true},
                 {"a*/#", "abc", true},
                 {"#", "a/b", true}});
}

TEST_CASE("filter: reserved topics match only filters that name them") {
    check_table({{">", "$klog/x", false},
                 {"#", "$klog/x", false},
                 {"*/x", "$klog/x", false},
                 {"+/#", "$klog", false},
                 {"$klog/x", "$klog/x", true},
                 {"$klog/>", "$klog/x", true},
                 {"$klog/#", "$klog", true},
                 {"$*/x", "$klog/x", true},
                 {"$*", "$", true},
                 {"$k*/>", "$klog/x", true},
                 {"$k*/>", "$log/x", false},
                 {"$klog/*", "klog/x", false},
                 {"a/*", "a/$x", true},
                 {"a/>", "a/$x", true}});
}

// paho's test_matcher and the examples of MQTT 3.1.1, section 4.7. Left out: levels that are
// empty, which are no topics here.
TEST_CASE("filter: MQTT's documented tables") {
    check_table({{"foo/bar", "foo/bar", true},
                 {"foo/+", "foo/bar", true},
                 {"foo/+/baz", "foo/bar/baz", true},
                 {"foo/+/#", "foo/bar/baz", true},
                 {"A/B/+/#", "A/B/B/C", true},
                 {"#", "foo/bar/baz", true},
                 {"$SYS/bar", "$SYS/bar", true},
                 {"test/6/#", "test/3", false},
                 {"foo/bar", "foo", false},
                 {"foo/+", "foo/bar/baz", false},
                 {"foo/+/baz", "foo/bar/bar", false},
                 {"foo/+/#", "fo2/bar/baz", false},
                 {"#", "$SYS/bar", false},
                 {"$BOB/bar", "$SYS/bar", false},
                 {"sport/tennis/player1/#", "sport/tennis/player1", true},
                 {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
                 {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
                 {"sport/#", "sport", true},
                 {"sport/tennis/+", "sport/tennis/player1", true},
                 {"sport/tennis/+", "sport/tennis/player2", true},
                 {"sport/tennis/+", "sport/tennis/player1/ranking", false},
                 {"sport/+", "sport", false},
                 {"+", "finance", true},
                 {"+/tennis/#", "sport/tennis/x", true},
                 {"sport/+/player1", "sport/tennis/player1", true},
                 {"+/monitor/Clients", "$SYS/monitor/Clients", false},
                 {"$SYS/#", "$SYS/monitor/Clients", true},
                 {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
                 {"a/+/c/d", "a/b/c/d", true},
                 {"+/+/+/+", "a/b/c/d", true},
                 {"a/b/c", "a/b/c/d", false},
                 {"b/+/c/d", "a/b/c/d", false},
                 {"+/+/+", "a/b/c/d", false},
                 {"a/b/c/#", "a/b/c/d", true},
                 {"+/b/c/#", "a/b/c/d", true}});
    for (const std::string wrong : {"sport/tennis#", "sport/tennis/#/ranking", "sport+"}) {
        CHECK_FALSE(Filter::parse(wrong).ok());
    }
}

// NATS's subject documentation and its server's table for literals, "/" for ".".
TEST_CASE("filter: NATS's documented tables") {
    check_table({{"time/*/east", "time/us/east", true},
                 {"time/*/east", "time/eu/east", true},
                 {"time/*/east", "time/us/east/atlanta", false},
                 {"time/us/*", "time/us/east", true},
                 {"time/us/*", "time/us/east/atlanta", false},
                 {"time/us/>", "time/us/east", true},
                 {"time/us/>", "time/us/east/atlanta", true},
                 {"time/us/>", "time/us", false},
                 {"*/*/east/>", "time/us/east/atlanta", true},
                 {"*/*/east/>", "time/us/east", false},
                 {"foo", "foo", true},
                 {"bar", "foo", false},
                 {"*", "foo", true},
                 {">", "foo", true},
                 {">", "foo/bar", true},
                 {"foo/>", "foo/bar", true},
                 {"bar/>", "foo/bar", false},
                 {"stats/*/*", "stats/test/22", true},
                 {"stats/*", "stats/test/22", false},
                 {"foo/*/*", "foo/bar", false},
                 {"*/bar", "foo/bar", true},
                 {"*/*", "foo/bar/baz", false},
                 {"foo/*/baz", "foo/bar/baz", true},
                 {"*/>", "foo/bar/baz", true},
                 {"*/bar/>", "foo/bar/baz", true}});
    for (const std::string wrong : {"foo/>/bar", "*foo", "f*o"}) {
        CHECK_FALSE(Filter::parse(wrong).ok());
    }
}

TEST_CASE("filter: aliases have one spelling in the end") {
    const Spelling rows[] = {{">", ">"},
                             {"#", ">"},
                             {"orders/", "orders/>"},
                             {"+", "*"},
                             {"+/", "*/>"},
                             {"orders/+/", "orders/*/>"},
                             {"a/#", "a/#"},
                             {"+/#", "*/#"},
                             {"a/b", "a/b"},
                             {"wiki/en*/", "wiki/en*/>"},
                             {"a/+/b", "a/*/b"},
                             {"$k*", "$k*"}};
    for (const Spelling& row : rows) {
        CAPTURE(row.text);
        CHECK(compile(row.text).text() == row.result);
        CHECK(compile(row.result).text() == row.result);
    }
}

TEST_CASE("filter: the column of what cannot stand there") {
    const Refusal rows[] = {
        {"", 1},      {"/", 1},          {"/a", 1},      {"/>", 1},   {"a//", 3},     {"a//b", 3},
        {"a*b", 2},   {"*a", 1},         {"**", 1},      {"a**", 2},  {"a/b*c/d", 4}, {"a+", 2},
        {"+a", 1},    {"a+b", 2},        {"++", 1},      {"+*", 1},   {"*+", 1},      {"a/>/b", 3},
        {"a/#/b", 3}, {">/", 1},         {"#/", 1},      {"a/>/", 3}, {">/a", 1},     {"a>", 2},
        {">a", 1},    {">>", 1},         {"a/>>", 3},    {"a#", 2},   {"a/b#", 4},    {"##", 1},
        {"*>", 1},    {"a b", 2},        {"a/!x", 3},    {"{id}", 1}, {"a/x?", 4},    {"a\n", 2},
        {"é\xFF", 3}, {"a/\xC2\xA0", 3}, {"a/*\xFF", 3}, {"$>", 2},   {"a!*b", 2}};
    for (const Refusal& row : rows) {
        CAPTURE(klog::quoted(row.text));
        CHECK(column(row.text) == row.column);
    }
}

TEST_CASE("filter: the limits of topics hold, for the spelling in full") {
    const std::string bytes_1024(1024, 'x');
    CHECK(column(bytes_1024) == 0);
    CHECK(column(bytes_1024 + "x") == 1025);
    CHECK(column(bytes_1024 + "*") == 1025);
    CHECK(column(std::string(1023, 'x') + "*") == 0);
    CHECK(column(std::string(1022, 'x') + "/>") == 0);
    CHECK(column(std::string(1022, 'x') + "/") == 0);
    CHECK(column(std::string(1023, 'x') + "/") == 1025);
    CHECK(column(std::string(1U << 20U, 'x') + ">") == 1025);
    CHECK(column("a>" + std::string(1U << 20U, 'x')) == 2);
    CHECK(column(repeat("*/", 127) + "*") == 0);
    CHECK(column(repeat("*/", 127) + ">") == 0);
    CHECK(column(repeat("*/", 127)) == 0);
    CHECK(column(repeat("*/", 128) + "*") == 256);
    CHECK(column(repeat("*/", 128) + "#") == 256);
    CHECK(column(repeat("*/", 128)) == 256);
}

TEST_CASE("filter: the longest topics match as short ones do") {
    const std::string topic = repeat("xxxxxxx/", 127) + "xxxxxxxx";
    REQUIRE(topic.size() == 1024);
    REQUIRE(klog::check_topic(topic).ok());
    CHECK(compile(topic).matches(topic));
    CHECK(compile(repeat("*/", 127) + "*").matches(topic));
    CHECK(compile(repeat("x*/", 127) + "x*").matches(topic));
    CHECK(compile(repeat("*/", 127) + ">").matches(topic));
    CHECK(compile(repeat("*/", 127) + "#").matches(topic));
    CHECK(compile(repeat("*/", 126) + "*/#").matches(repeat("x/", 126) + "x"));
    CHECK_FALSE(compile(repeat("*/", 126) + "*").matches(topic));
    CHECK_FALSE(compile(repeat("x*/", 127) + "y*").matches(topic));
    CHECK_FALSE(compile(repeat("*/", 127) + "y").matches(topic));
}

TEST_CASE("filter: a refusal says what is wrong and what to do") {
    const auto refuse = [](const std::string& text) { return Filter::parse(text).error(); };
    CHECK(refuse("a/>/b").message ==
          "\"a/>/b\" is not a filter: \">\" stands only as the last segment (column 3)");
    CHECK(refuse("a/>/b").hint == "\"*\" stands for exactly one level, anywhere");
    CHECK(refuse("orders>").hint ==
          "try \"orders/>\" for what is below it, or \"orders*\" for levels that begin so");
    CHECK(refuse("orders/en+").hint == "try \"en*\"");
    CHECK(refuse("a/**/b").hint.find("\">\"") != std::string::npos);
    CHECK(refuse("").message == "\"\" is not a filter: it is empty (column 1)");
    CHECK(refuse("/a").hint.find("start") != std::string::npos);
}

TEST_CASE("filter: the literal prefix is what all matching topics begin with") {
    const Spelling rows[] = {{"orders/*/x", "orders/"},
                             {"wiki/en*", "wiki/en"},
                             {"wiki/en*/x", "wiki/en"},
                             {"a/#", "a"},
                             {"a/>", "a/"},
                             {"a/b/", "a/b/"},
                             {"a/b", "a/b"},
                             {"*", ""},
                             {">", ""},
                             {"*/a", ""},
                             {"a/*", "a/"},
                             {"$k*", "$k"},
                             {"a/*/#", "a/"}};
    for (const Spelling& row : rows) {
        CAPTURE(row.text);
        CHECK(compile(row.text).literal_prefix() == row.result);
    }
}

TEST_CASE("filter set: a union, with others taken out again") {
    const std::vector<std::string> filters = {"orders/>", "users/*"};
    const std::vector<std::string> nots = {"*/*/secret", "users/x*"};
    const auto set = FilterSet::parse(filters, nots);
    REQUIRE(set.ok());
    CHECK(set->matches("orders/1"));
    CHECK(set->matches("users/1"));
    CHECK_FALSE(set->matches("users/xy"));
    CHECK_FALSE(set->matches("orders/1/secret"));
    CHECK_FALSE(set->matches("other"));
    CHECK(set->excludes("other/1/secret"));
    CHECK(set->filters().size() == 2);
    CHECK(set->not_filters().size() == 2);
}

TEST_CASE("filter set: none at all means everything but reserved topics") {
    const FilterSet none;
    CHECK(none.matches("a/b"));
    CHECK_FALSE(none.matches("$klog/x"));
    REQUIRE(none.filters().size() == 1);
    const std::vector<std::string> nots = {"a/>"};
    const auto most = FilterSet::parse({}, nots);
    REQUIRE(most.ok());
    CHECK(most->filters()[0].text() == ">");
    CHECK(most->matches("a"));
    CHECK_FALSE(most->matches("a/b"));
}

TEST_CASE("filter set: it knows when it is everything") {
    using Texts = std::vector<std::string>;
    const auto all = [](const Texts& filters, const Texts& nots) {
        const auto set = FilterSet::parse(filters, nots);
        REQUIRE(set.ok());
        return set->all();
    };
    CHECK(all({}, {}));
    CHECK(all({"#"}, {}));
    CHECK(all({"a", ">"}, {}));
    CHECK(all({"*/#"}, {}));
    CHECK(all({"*", "*/>"}, {}));
    CHECK(all({"*", "*/*/>", "*/+"}, {}));
    CHECK(all({">"}, {"$klog/>"}));
    CHECK_FALSE(all({"*/>"}, {}));
    CHECK_FALSE(all({"*", "*/*/>"}, {}));
    CHECK_FALSE(all({"*"}, {}));
    CHECK_FALSE(all({"a*/#"}, {}));
    CHECK_FALSE(all({">"}, {"a"}));
    CHECK_FALSE(all({"$klog/>"}, {}));
}

TEST_CASE("filter set: bad filters and too many are refused") {
    const std::vector<std::string> good = {"a"};
    const std::vector<std::string> bad = {"a", "b>"};
    CHECK(FilterSet::parse(bad, {}).error().code == Code::bad_filter);
    CHECK(FilterSet::parse(good, bad).error().code == Code::bad_filter);
    const std::vector<std::string> most(FilterSet::kFiltersMax, "a");
    const std::vector<std::string> many(FilterSet::kFiltersMax + 1, "a");
    CHECK(FilterSet::parse(most, most).ok());
    CHECK(FilterSet::parse(many, {}).error().code == Code::bad_option);
    CHECK(FilterSet::parse({}, many).error().code == Code::bad_option);
}
