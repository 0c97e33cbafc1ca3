// Filters, sets and the index against the plain matcher of tests/support. Levels come from a small
// alphabet, so that matches, near misses and shared prefixes are common.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/naive_matcher.h"
#include "topic/filter.h"
#include "topic/filter_index.h"
#include "topic/topic.h"

namespace {

using Texts = std::vector<std::string>;
using klog::Filter;
using klog::FilterIndex;
using klog::FilterSet;

// Each run costs microseconds. A larger number in RC_PARAMS stands.
constexpr int kRunsMin = 2000;

template <class Property>
bool holds(const std::string& what, Property property) {
    rc::detail::TestMetadata metadata;
    metadata.id = what;
    metadata.description = what;
    rc::detail::TestParams params = rc::detail::configuration().testParams;
    params.maxSuccess = std::max(params.maxSuccess, kRunsMin);
    const rc::detail::TestResult result =
        rc::detail::checkTestable(std::move(property), metadata, params);
    rc::detail::printResultMessage(result, std::cerr << what << ": ");
    std::cerr << std::endl;
    return result.is<rc::detail::SuccessResult>();
}

// From 0 to n - 1, evenly, also in the first runs, which RapidCheck would keep small.
template <class T>
rc::Gen<T> below(T n) {
    return rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(0, n));
}

std::string join(const Texts& parts) {
    std::string text;
    for (std::size_t i = 0; i < parts.size(); ++i) text += (i > 0 ? "/" : "") + parts[i];
    return text;
}

rc::Gen<std::string> word() {
    return rc::gen::element<std::string>("a", "b", "ab", "abc", "aa", "é", "ée", "b$");
}

template <class T>
rc::Gen<std::vector<T>> up_to(std::size_t least, std::size_t most, const rc::Gen<T>& gen) {
    return rc::gen::mapcat(below(most - least + 1), [gen, least](std::size_t n) {
        return rc::gen::container<std::vector<T>>(least + n, gen);
    });
}

// One in four begins with "$".
rc::Gen<std::string> reserve_some(const rc::Gen<std::string>& gen) {
    return rc::gen::map(rc::gen::pair(gen, below(4)), [](const std::pair<std::string, int>& p) {
        const bool named =
            p.first[0] != '*' && p.first[0] != '+' && p.first[0] != '>' && p.first[0] != '#';
        return p.second == 0 && named ? "$" + p.first : p.first;
    });
}

rc::Gen<std::string> topic() {
    return reserve_some(rc::gen::map(up_to<std::string>(1, 5, word()), join));
}

rc::Gen<std::string> segment() {
    return rc::gen::weightedOneOf<std::string>(
        {{4, word()},
         {2, rc::gen::element<std::string>("*", "+")},
         {2, rc::gen::map(word(), [](const std::string& w) { return w + "*"; })}});
}

rc::Gen<std::string> filter() {
    return reserve_some(
        rc::gen::map(rc::gen::pair(up_to<std::string>(0, 5, segment()),
                                   rc::gen::element<std::string>("", "", "/>", "/#", "/")),
                     [](const std::pair<Texts, std::string>& p) {
                         if (p.first.empty()) return std::string(p.second == "/#" ? "#" : ">");
                         return join(p.first) + p.second;
                     }));
}

FilterSet parse_set(const Texts& filters, const Texts& nots) {
    auto set = FilterSet::parse(filters, nots);
    RC_ASSERT(set.ok());
    return *std::move(set);
}

struct Followed {
    Texts filters;
    Texts nots;
    std::optional<std::string> key;
};

Followed any_followed() {
    Followed followed;
    followed.filters = *up_to<std::string>(0, 4, filter());
    followed.nots = *up_to<std::string>(0, 2, filter());
    if (*below(3) == 0) followed.key = *word();
    return followed;
}

// Bytes that fall into every class: whole and broken characters, wildcards, what is forbidden.
rc::Gen<std::string> any_text() {
    const auto piece = rc::gen::element<std::string>(
        "a", "b", "a", "b", "/", "/", "é", "*", "+", ">", "#", "$", "!", " ", "\n", "\xC2\xA0",
        "\xC3", "\xFF", "\xE2\x82", "\xED\xA0\x80", "😀", "*/", "a/b/c", "/>", "/#");
    return rc::gen::map(up_to<std::string>(0, 8, piece), [](const Texts& pieces) {
        std::string text;
        for (const std::string& p : pieces) text += p;
        return text;
    });
}

// The index from 0 of the byte that a refusal names.
std::size_t refused_at(const klog::Error& error) {
    const std::size_t at = error.message.rfind("(column ");
    RC_ASSERT(at != std::string::npos);
    return std::stoul(error.message.substr(at + 8)) - 1;
}

}  // namespace

TEST_CASE("filter property: it matches what the plain matcher matches") {
    CHECK(holds("filter against plain matcher", [] {
        const std::string f = *filter();
        const auto parsed = Filter::parse(f);
        RC_ASSERT(parsed.ok());
        for (const std::string& t : *up_to<std::string>(1, 20, topic())) {
            RC_ASSERT(klog::check_topic(t).ok());
            RC_ASSERT(parsed->matches(t) == klog::naive::matches(f, t));
            if (parsed->matches(t)) RC_ASSERT(t.starts_with(parsed->literal_prefix()));
        }
    }));
}

TEST_CASE("filter property: a set matches what the plain matcher matches") {
    CHECK(holds("set against plain matcher", [] {
        const Texts filters = *up_to<std::string>(0, 4, filter());
        const Texts nots = *up_to<std::string>(0, 3, filter());
        const FilterSet set = parse_set(filters, nots);
        for (const std::string& t : *up_to<std::string>(1, 20, topic())) {
            RC_ASSERT(set.matches(t) == klog::naive::set_matches(filters, nots, t));
            if (set.all() && t[0] != '$') RC_ASSERT(set.matches(t));
        }
    }));
}

TEST_CASE("filter property: the canonical spelling is the same filter") {
    CHECK(holds("canonical spelling", [] {
        const auto first = Filter::parse(*rc::gen::oneOf(filter(), any_text()));
        if (!first.ok()) return;
        const auto again = Filter::parse(first->text());
        RC_ASSERT(again.ok());
        RC_ASSERT(again->text() == first->text());
        RC_ASSERT(again->rest() == first->rest());
        RC_ASSERT(again->rest_optional() == first->rest_optional());
        RC_ASSERT(again->segment_count() == first->segment_count());
        for (std::size_t i = 0; i < first->segment_count(); ++i) {
            RC_ASSERT(again->segment(i).kind == first->segment(i).kind);
            RC_ASSERT(again->segment(i).text == first->segment(i).text);
        }
    }));
}

// Up to the column all is well: with any letter there instead, the text is taken. And what stands
// at the column is the reason: it stays refused there, whatever follows.
TEST_CASE("filter property: the column parts what may stand from what may not") {
    CHECK(holds("column of a topic", [] {
        const std::string text = *any_text();
        const klog::Status status = klog::check_topic(text);
        if (status.ok()) {
            RC_ASSERT(text.find_first_of("*+>#! \n") == std::string::npos);
            return;
        }
        const std::size_t at = refused_at(status.error());
        RC_ASSERT(at <= text.size());
        RC_ASSERT(klog::check_topic(text.substr(0, at) + "x").ok());
        if (at == text.size()) return;
        const klog::Status longer = klog::check_topic(text + "/x");
        RC_ASSERT(!longer.ok());
        RC_ASSERT(refused_at(longer.error()) == at);
    }));
    CHECK(holds("column of a filter", [] {
        const std::string text = *any_text();
        const auto parsed = Filter::parse(text);
        if (parsed.ok()) return;
        const std::size_t at = refused_at(parsed.error());
        RC_ASSERT(at <= text.size());
        RC_ASSERT(Filter::parse(text.substr(0, at) + "x").ok());
    }));
    CHECK(holds("a topic is a filter of itself", [] {
        const std::string t = *rc::gen::oneOf(topic(), any_text());
        if (!klog::check_topic(t).ok()) return;
        const auto parsed = Filter::parse(t);
        RC_ASSERT(parsed.ok());
        RC_ASSERT(parsed->text() == t);
        RC_ASSERT(parsed->literal_prefix() == t);
        RC_ASSERT(parsed->matches(t));
    }));
}

TEST_CASE("filter property: the index finds what asking each follower finds") {
    CHECK(holds("index against plain matcher", [] {
        FilterIndex index;
        std::map<FilterIndex::Follower, Followed> all;
        const int steps = 1 + *below(40);
        for (int step = 0; step < steps; ++step) {
            const auto follower = *below<FilterIndex::Follower>(12);
            if (*below(3) == 0) {
                index.remove(follower);
                all.erase(follower);
            } else {
                const Followed followed = any_followed();
                index.add(follower, parse_set(followed.filters, followed.nots), followed.key);
                all[follower] = followed;
            }
            const std::string t = *topic();
            const bool has_key = *rc::gen::arbitrary<bool>();
            const std::string key = has_key ? *word() : std::string();
            std::vector<FilterIndex::Follower> expected;
            for (const auto& [id, followed] : all) {
                const bool keyed = !followed.key || (has_key && *followed.key == key);
                if (keyed && klog::naive::set_matches(followed.filters, followed.nots, t)) {
                    expected.push_back(id);
                }
            }
            std::vector<FilterIndex::Follower> found;
            index.find(t, has_key, key, found);
            std::sort(found.begin(), found.end());
            RC_ASSERT(found == expected);
            RC_ASSERT(index.size() == all.size());
        }
        for (const auto& [id, followed] : all) index.remove(id);
        RC_ASSERT(index.empty());
        RC_ASSERT(index.parts() == 0U);
    }));
}
