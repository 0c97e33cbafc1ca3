#include "topic/screened_map.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <random>
#include <string>

using klog::ScreenedMap;

TEST_CASE("screened map: it holds what a plain map holds, as it grows and shrinks") {
    std::mt19937 random(11);
    ScreenedMap<int> map;
    std::map<std::string, int> model;
    const auto same = [&](const std::string& text) {
        const int* const found = map.find(text);
        const auto known = model.find(text);
        if (known == model.end()) return found == nullptr;
        return found != nullptr && *found == known->second;
    };
    // Names of a range that grows and shrinks again, so that the filter is made anew both ways.
    for (const unsigned names : {20U, 3'000U, 40U, 10U, 500U}) {
        for (unsigned step = 0; step < 4 * names; ++step) {
            const std::string text = fmt::format("name-{}", random() % names);
            if (random() % 3 == 0) {
                map.erase(text);
                model.erase(text);
            } else {
                map[text] = static_cast<int>(step);
                model[text] = static_cast<int>(step);
            }
            const std::string other = fmt::format("name-{}", random() % (2 * names));
            if (!same(text) || !same(other)) FAIL("wrong for " << text << " or " << other);
        }
        REQUIRE(map.size() == model.size());
        for (const auto& [text, value] : model) {
            if (!same(text)) FAIL("wrong for " << text);
        }
    }
    while (!model.empty()) {
        const std::string text = model.begin()->first;
        map.erase(text);
        map.erase(text);  // once more does nothing
        model.erase(text);
        if (map.find(text) != nullptr) FAIL("still there: " << text);
    }
    CHECK(map.empty());
}

TEST_CASE("screened map: a value stays where it is while others come and go") {
    ScreenedMap<int> map;
    int* const first = &map["first"];
    *first = 7;
    for (int i = 0; i < 1000; ++i) map[std::to_string(i)] = i;
    for (int i = 0; i < 1000; ++i) map.erase(std::to_string(i));
    CHECK(map.find("first") == first);
    CHECK(*first == 7);
    CHECK(map.size() == 1);
}
