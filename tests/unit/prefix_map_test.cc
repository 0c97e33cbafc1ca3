#include "topic/prefix_map.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace {

std::vector<std::string> prefixes_of(const klog::PrefixMap<std::string>& map,
                                     std::string_view text) {
    std::vector<std::string> found;
    map.for_each_prefix_of(text, [&found](const std::string& value) { found.push_back(value); });
    return found;
}

}  // namespace

TEST_CASE("prefix map: all prefixes of a text, longest first") {
    klog::PrefixMap<std::string> map;
    for (const std::string prefix : {"b", "abc", "a", "abcde", "abd", "ac"}) map[prefix] = prefix;
    using Found = std::vector<std::string>;
    CHECK(prefixes_of(map, "abcd") == Found{"abc", "a"});
    CHECK(prefixes_of(map, "abcde") == Found{"abcde", "abc", "a"});
    CHECK(prefixes_of(map, "abdz") == Found{"abd", "a"});
    CHECK(prefixes_of(map, "ab") == Found{"a"});
    CHECK(prefixes_of(map, "zz") == Found{});
    CHECK(prefixes_of(map, "\xC3\xA9") == Found{});
    map.erase("abc");
    map.erase("nothing");
    CHECK(prefixes_of(map, "abcde") == Found{"abcde", "a"});
    map.erase("a");
    CHECK(prefixes_of(map, "abcde") == Found{"abcde"});
    map["ab"] = "ab";
    CHECK(prefixes_of(map, "abcde") == Found{"abcde", "ab"});
    CHECK(prefixes_of(map, "abdx") == Found{"abd", "ab"});
}

// All 62 texts of 1 to 5 letters over {a, b} come and go in an order that mixes lengths; after
// each step each of them is asked.
TEST_CASE("prefix map: entries that come and go in any order leave it right") {
    std::vector<std::string> texts = {""};
    for (std::size_t i = 0; texts[i].size() < 5; ++i) {
        texts.push_back(texts[i] + "a");
        texts.push_back(texts[i] + "b");
    }
    texts.erase(texts.begin());
    REQUIRE(texts.size() == 62);

    klog::PrefixMap<std::string> map;
    std::set<std::string> there;
    for (std::size_t step = 0; step < 400; ++step) {
        const std::string& text = texts[step * 37 % 61 + step % 2];
        if (there.erase(text) > 0) {
            map.erase(text);
        } else {
            map[text] = text;
            there.insert(text);
        }
        for (const std::string& asked : texts) {
            std::vector<std::string> expected;
            for (std::size_t n = asked.size(); n > 0; --n) {
                if (there.contains(asked.substr(0, n))) expected.push_back(asked.substr(0, n));
            }
            if (prefixes_of(map, asked) != expected) FAIL("wrong for " << asked << ", " << step);
        }
    }
    for (const std::string& text : texts) map.erase(text);
    CHECK(map.empty());
}
