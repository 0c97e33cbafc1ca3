#include "index/key_index_block.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "base/crc32c.h"
#include "index/key_index_list.h"

using namespace klog;

namespace {

std::vector<KeyBlock> blocks_of(const std::set<std::string>& keys) {
    std::vector<KeyBlock> blocks;
    KeyBlockBuilder builder;
    for (const std::string& key : keys) {
        if (builder.add(key)) continue;
        blocks.push_back(builder.take());
        REQUIRE(builder.add(key));
    }
    if (!builder.empty()) blocks.push_back(builder.take());
    return blocks;
}

std::vector<std::string> keys_of(KeyBlock block) {
    KeyBlockKeys keys;
    REQUIRE(keys.decode(std::move(block)));
    std::vector<std::string> out;
    for (std::size_t i = 0; i < keys.size(); ++i) out.emplace_back(keys[i]);
    return out;
}

KeyBlock block_of(const std::string& text, const std::string& first, const std::string& last,
                  std::uint64_t count) {
    return {first, last, count, crc32c(text), text};
}

}  // namespace

TEST_CASE("key_index_block: its text is a JSON array, and its keys come back") {
    KeyBlockBuilder builder;
    for (const char* key : {"\t", "a", "b\"\\", "c\\\"", "é"}) REQUIRE(builder.add(key));
    const KeyBlock block = builder.take();
    CHECK(block.text == "[\"\\u0009\",\"a\",\"b\\\"\\\\\",\"c\\\\\\\"\",\"é\"]");
    CHECK(block.first == "\t");
    CHECK(block.last == "é");
    CHECK(block.count == 5);
    CHECK(keys_of(block) == std::vector<std::string>{"\t", "a", "b\"\\", "c\\\"", "é"});
    CHECK(builder.empty());
}

TEST_CASE("key_index_block: blocks hold as much as fits on a page, however long the keys are") {
    std::mt19937_64 random(11);
    for (const std::size_t longest : {5U, 40U, 300U, 1024U}) {
        std::set<std::string> keys;
        for (int i = 0; i < 2'000; ++i) {
            std::string key;
            for (std::size_t left = 1 + random() % longest; left > 0; --left) {
                key += std::string_view("abcdefghijklmnop\"\\\x01")[random() % 19];
            }
            keys.insert(key);
        }
        std::vector<std::string> found;
        for (KeyBlock& block : blocks_of(keys)) {
            const std::size_t bytes = block.text.size() + block.first.size() + block.last.size();
            CHECK((bytes <= KeyBlockBuilder::kBlockBytesMax || block.count == 1));
            const std::vector<std::string> more = keys_of(std::move(block));
            found.insert(found.end(), more.begin(), more.end());
        }
        CHECK(found == std::vector<std::string>(keys.begin(), keys.end()));
    }
}

TEST_CASE("key_index_block: what is no block is not decoded") {
    KeyBlockKeys keys;
    CHECK(keys.decode(block_of(R"(["a","b"])", "a", "b", 2)));
    for (const char* text :
         {"", "[", "[]", "[\"", "[\"a", "[\"a\"", "[\"a\",", "[\"a\",]", "[\"a\" ,\"b\"]",
          "[\"a\",\"b\"] ", "[\"b\",\"a\"]", "[\"a\",\"a\",\"b\"]", "[\"a\",\"b\\\"]", "[\"a\\n\"]",
          "[\"\\u0020\"]", "[\"\\u00\"]", "[\"a\",\"\\u001\"]", "{\"a\":\"b\"}",
          "[\"a\",1,\"b\"]"}) {
        CAPTURE(text);
        CHECK_FALSE(keys.decode(block_of(text, "a", "b", 2)));
    }
    CHECK_FALSE(keys.decode(block_of(R"(["a","b"])", "a", "b", 3)));
    CHECK_FALSE(keys.decode(block_of(R"(["a","b"])", "", "b", 2)));
    CHECK_FALSE(keys.decode(block_of(R"(["a","b"])", "a", "c", 2)));
    KeyBlock flipped = block_of(R"(["a","b"])", "a", "b", 2);
    flipped.crc ^= 1U;
    CHECK_FALSE(keys.decode(flipped));
}

TEST_CASE("key_index_list: sorts by space and key, drops repeats, goes on after sorting") {
    std::mt19937_64 random(12);
    KeyList list;
    std::set<std::pair<std::string, std::string>> wanted;
    for (int round = 0; round < 20; ++round) {
        const std::uint64_t spaces = round % 3 == 0 ? 1 : 5;
        for (std::uint64_t left = random() % 400; left > 0; --left) {
            const std::string space = "s" + std::string(random() % spaces, 'x');
            std::string key = "same-beginning-" + std::to_string(random() % 500);
            if (random() % 8 == 0) key += std::string(1, '\0') + "\xff";
            if (random() % 50 == 0) key = "s";
            list.add(space, key);
            wanted.emplace(space, key);
        }
        list.sort();
        REQUIRE(list.size() == wanted.size());
        std::size_t i = 0;
        for (const auto& [space, key] : wanted) {
            CHECK(list.space(i) == space);
            CHECK(list.key(i) == key);
            CHECK(list.lower_bound(space, key) == i);
            ++i;
        }
        CHECK(list.lower_bound("t", "") == list.size());
    }
    KeyList more;
    more.add("a", "first");
    list.add_all(more);
    list.sort();
    CHECK(list.key(0) == "first");
    CHECK(list.bytes() >= list.size() * KeyList::kEntryBytes);
}
