#include "topic/recent_topics.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "support/naive_matcher.h"

using namespace klog;
using Outcome = RecentTopics::Found::Outcome;

namespace {

FilterSet set_of(const std::vector<std::string>& none, const std::vector<std::string>& nots = {}) {
    auto set = FilterSet::parse(none, nots);
    REQUIRE(set.ok());
    return *std::move(set);
}

constexpr HashKey kKey{1, 2, 3};
constexpr std::size_t kBytes = 1U << 20U;
constexpr std::size_t kSteps = 100'000;

}  // namespace

TEST_CASE("recent topics: the newest that matches, with what is taken out again") {
    RecentTopics topics(Seq{10}, kBytes, kKey);
    topics.add("enrol/c1/s1", Seq{11});
    topics.add("enrol/c1/s2", Seq{12});
    topics.add("enrol/c2/s1", Seq{13});
    topics.add("enrol/c1/s1", Seq{14});
    const auto newest = [&](const FilterSet& set, std::uint64_t after) {
        return topics.newest(set, Seq{after}, kSteps);
    };
    CHECK(newest(set_of({"enrol/c1/*"}), 10).seq == Seq{14});
    CHECK(newest(set_of({"enrol/c1/*"}), 10).topic == "enrol/c1/s1");
    CHECK(newest(set_of({"enrol/c1/*"}), 14).outcome == Outcome::none);
    CHECK(newest(set_of({"enrol/c1/*"}, {"enrol/c1/s1"}), 10).seq == Seq{12});
    CHECK(newest(set_of({"enrol/*/s1"}), 12).seq == Seq{14});
    CHECK(newest(set_of({"enrol/c2/>"}), 10).seq == Seq{13});
    CHECK(newest(set_of({"enrol/c2"}), 10).outcome == Outcome::none);
    CHECK(newest(set_of({"enrol/c2/#"}), 10).seq == Seq{13});
    CHECK(newest(set_of({"en*/c*/s2"}), 10).seq == Seq{12});
    CHECK(newest(set_of({"x/>", "enrol/c2/s1"}), 10).seq == Seq{13});
    CHECK(newest(set_of({">"}), 13).seq == Seq{14});
    CHECK(newest(set_of({"$klog/>"}), 10).outcome == Outcome::none);
}

TEST_CASE("recent topics: a topic may end where others go on") {
    RecentTopics topics(Seq{}, kBytes, kKey);
    topics.add("a", Seq{1});
    topics.add("a/b", Seq{2});
    topics.add("a/b/c", Seq{3});
    CHECK(topics.newest(set_of({"a"}), Seq{}, kSteps).seq == Seq{1});
    CHECK(topics.newest(set_of({"a/b"}), Seq{}, kSteps).seq == Seq{2});
    CHECK(topics.newest(set_of({"a/>"}), Seq{}, kSteps).seq == Seq{3});
    CHECK(topics.newest(set_of({"a/#"}), Seq{}, kSteps).seq == Seq{3});
    topics.add("a", Seq{4});
    CHECK(topics.newest(set_of({"a/#"}), Seq{}, kSteps).seq == Seq{4});
    CHECK(topics.newest(set_of({"a/>"}), Seq{}, kSteps).seq == Seq{3});
}

TEST_CASE("recent topics: a wildcard costs what is new, not what is there") {
    RecentTopics topics(Seq{}, 64U << 20U, kKey);
    constexpr std::uint64_t kTopics = 20'000;
    for (std::uint64_t i = 1; i <= kTopics; ++i) {
        topics.add("orders/" + std::to_string(i) + "/done", Seq{i});
    }
    const auto recent = topics.newest(set_of({"orders/*/paid"}), Seq{kTopics - 10}, kSteps);
    CHECK(recent.outcome == Outcome::none);
    CHECK(recent.steps < 50);
    const auto all = topics.newest(set_of({"orders/*/paid"}), Seq{}, 1000);
    CHECK(all.outcome == Outcome::gave_up);
}

TEST_CASE("recent topics: what was written to longest ago goes first, and the floor says so") {
    RecentTopics topics(Seq{}, 20'000, kKey);
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        topics.add("t/" + std::to_string(i), Seq{2 * i - 1});
        topics.add("often", Seq{2 * i});
    }
    CHECK(topics.bytes() <= 20'000);
    CHECK(topics.floor() > Seq{1500});
    CHECK(topics.topics() > 20);
    CHECK(topics.newest(set_of({"often"}), topics.floor(), kSteps).seq == Seq{2000});
    CHECK(topics.newest(set_of({"t/1000"}), topics.floor(), kSteps).seq == Seq{1999});
    CHECK(topics.newest(set_of({"t/10"}), topics.floor(), kSteps).outcome == Outcome::none);
}

// A million decisions against a scan of everything that was written.
TEST_CASE("recent topics: a scan decides the same") {
    std::mt19937_64 chance(12);
    const std::vector<std::string> words = {"a", "b", "ab", "abc", "c"};
    const auto word = [&] { return words[chance() % words.size()]; };
    std::vector<std::string> names;
    while (names.size() < 120) {
        std::string name = word();
        for (std::uint64_t more = chance() % 4; more > 0; --more) name += "/" + word();
        names.push_back(name);
    }
    const std::vector<std::string> segments = {"a", "b", "ab", "*", "a*", "ab*", "c"};
    std::vector<std::string> filters = {">", "a/#", "*/*", "*"};
    while (filters.size() < 60) {
        std::string filter = segments[chance() % segments.size()];
        for (std::uint64_t more = chance() % 4; more > 0; --more) {
            filter += "/" + segments[chance() % segments.size()];
        }
        if (chance() % 4 == 0) filter += "/>";
        if (chance() % 8 == 0 && !filter.ends_with('>')) filter += "/#";
        if (Filter::parse(filter).ok()) filters.push_back(filter);
    }
    std::vector<std::vector<bool>> matches;
    for (const std::string& filter : filters) {
        auto& of_filter = matches.emplace_back();
        for (const std::string& name : names) of_filter.push_back(naive::matches(filter, name));
    }
    struct Guard {
        std::size_t none_a, none_b, taken_out;
        FilterSet set;
    };
    std::vector<Guard> guards;
    for (int i = 0; i < 300; ++i) {
        Guard guard{
            chance() % filters.size(), chance() % filters.size(), chance() % filters.size(), {}};
        guard.set =
            set_of({filters[guard.none_a], filters[guard.none_b]}, {filters[guard.taken_out]});
        guards.push_back(std::move(guard));
    }
    std::uint64_t decisions = 0;
    std::uint64_t conflicts = 0;
    for (const std::size_t bytes : {std::size_t{4000}, kBytes}) {
        RecentTopics topics(Seq{}, bytes, kKey);
        std::vector<std::size_t> log = {0};  // by seq: which name
        for (std::uint64_t seq = 1; seq <= 4000; ++seq) {
            log.push_back(chance() % names.size());
            topics.add(names[log.back()], Seq{seq});
            for (int i = 0; i < 130; ++i, ++decisions) {
                const Guard& guard = guards[chance() % guards.size()];
                const std::uint64_t known = seq - topics.floor().value;
                const std::uint64_t back =
                    chance() % (1 + (chance() % 2 == 0 ? known : known % 20));
                const std::uint64_t after = seq - back;
                std::uint64_t newest = seq;
                const auto stands = [&](std::size_t name) {
                    return (matches[guard.none_a][name] || matches[guard.none_b][name]) &&
                           !matches[guard.taken_out][name];
                };
                while (newest > after && !stands(log[newest])) --newest;
                const auto found = topics.newest(guard.set, Seq{after}, kSteps);
                const bool same = newest == after ? found.outcome == Outcome::none
                                                  : found.outcome == Outcome::found &&
                                                        found.seq == Seq{newest} &&
                                                        found.topic == names[log[newest]];
                if (!same) FAIL("seq " << seq << " after " << after << ": not " << newest);
                conflicts += newest > after;
            }
        }
    }
    CHECK(decisions > 1'000'000);
    CHECK(conflicts > decisions / 10);
    CHECK(conflicts < decisions);
}
