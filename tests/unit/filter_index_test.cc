#include "topic/filter_index.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

using klog::FilterIndex;
using klog::FilterSet;

namespace {

using Found = std::vector<FilterIndex::Follower>;
using Texts = std::vector<std::string>;

FilterSet set_of(const Texts& filters, const Texts& nots = {}) {
    auto set = FilterSet::parse(filters, nots);
    REQUIRE(set.ok());
    return *std::move(set);
}

Found find(const FilterIndex& index, const std::string& topic,
           const std::optional<std::string>& key = std::nullopt) {
    Found out;
    index.find(topic, key.has_value(), key.value_or(""), out);
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace

TEST_CASE("filter index: each kind of segment and end is found") {
    FilterIndex index;
    CHECK(index.empty());
    index.add(1, set_of({"orders/1/created"}), std::nullopt);
    index.add(2, set_of({"orders/*/created"}), std::nullopt);
    index.add(3, set_of({"orders/>"}), std::nullopt);
    index.add(4, set_of({"orders/1*/created"}), std::nullopt);
    index.add(5, set_of({"orders/#"}), std::nullopt);
    index.add(6, set_of({}), std::nullopt);
    index.add(7, set_of({"or*/12*/#"}), std::nullopt);
    CHECK(index.size() == 7);
    CHECK(find(index, "orders/1/created") == Found{1, 2, 3, 4, 5, 6});
    CHECK(find(index, "orders/123/created") == Found{2, 3, 4, 5, 6, 7});
    CHECK(find(index, "orders/12") == Found{3, 5, 6, 7});
    CHECK(find(index, "orders") == Found{5, 6});
    CHECK(find(index, "ordersx") == Found{6});
    CHECK(find(index, "orders/1/created/x") == Found{3, 5, 6});
}

TEST_CASE("filter index: reserved topics reach only filters that name them") {
    FilterIndex index;
    index.add(1, set_of({">"}), std::nullopt);
    index.add(2, set_of({"*/x"}), std::nullopt);
    index.add(3, set_of({"$klog/x"}), std::nullopt);
    index.add(4, set_of({"$k*/*"}), std::nullopt);
    index.add(5, set_of({">"}), "k");
    index.add(6, set_of({"$klog/>"}, {">"}), std::nullopt);
    CHECK(find(index, "$klog/x", "k") == Found{3, 4, 6});
    CHECK(find(index, "a/x", "k") == Found{1, 2, 5});
}

TEST_CASE("filter index: a follower with several matching filters is found once") {
    FilterIndex index;
    index.add(1, set_of({"a/b", "a/*", "a/>", "a/#", "a/b", ">"}), std::nullopt);
    index.add(2, set_of({"a/b", "c"}), std::nullopt);
    CHECK(find(index, "a/b") == Found{1, 2});
    index.remove(1);
    CHECK(find(index, "a/b") == Found{2});
    index.remove(2);
    CHECK(index.parts() == 0);
}

TEST_CASE("filter index: what a set takes out is not found") {
    FilterIndex index;
    index.add(1, set_of({"a/>"}, {"a/x*", "a/*/secret"}), std::nullopt);
    index.add(2, set_of({"a/*", "a/>"}, {"a/y"}), std::nullopt);
    index.add(3, set_of({"a/>"}, {"a/x*"}), "k");
    CHECK(find(index, "a/x1", "k") == Found{2});
    CHECK(find(index, "a/y", "k") == Found{1, 3});
    CHECK(find(index, "a/1/secret", "k") == Found{2, 3});
}

TEST_CASE("filter index: a follower of a key sees that key alone") {
    FilterIndex index;
    index.add(1, set_of({}), "k1");
    index.add(2, set_of({"orders/>"}), "k1");
    index.add(3, set_of({}), "k2");
    index.add(4, set_of({}), "");
    CHECK(find(index, "orders/1", "k1") == Found{1, 2});
    CHECK(find(index, "users/1", "k1") == Found{1});
    CHECK(find(index, "orders/1", "k") == Found{});
    CHECK(find(index, "orders/1") == Found{});
    CHECK(find(index, "orders/1", "") == Found{4});
    index.remove(1);
    CHECK(find(index, "orders/1", "k1") == Found{2});
}

TEST_CASE("filter index: what is found is appended") {
    FilterIndex index;
    index.add(1, set_of({"a", ">"}), std::nullopt);
    Found out = {1, 99};
    index.find("a", false, "", out);
    CHECK(out == Found{1, 99, 1});
}

TEST_CASE("filter index: the same follower again replaces what it had") {
    FilterIndex index;
    index.add(1, set_of({"a/b/c"}), std::nullopt);
    index.add(1, set_of({"b"}), "k");
    CHECK(index.size() == 1);
    CHECK(find(index, "a/b/c") == Found{});
    CHECK(find(index, "b", "k") == Found{1});
    CHECK(index.parts() == 1);
    index.remove(7);
    CHECK(index.size() == 1);
}

TEST_CASE("filter index: removal leaves nothing behind") {
    FilterIndex index;
    index.add(1, set_of({"a/b/c", "a/*/c", "a/b*/>", "x/#"}), std::nullopt);
    const std::size_t parts = index.parts();
    index.add(2, set_of({"a/b/d/e", "a/bb*/y", "a/b*"}), std::nullopt);
    index.add(3, set_of({}), "k");
    CHECK(index.parts() > parts);
    index.remove(3);
    index.remove(2);
    CHECK(index.parts() == parts);
    CHECK(find(index, "a/b/c") == Found{1});
    index.remove(1);
    CHECK(index.parts() == 0);
    CHECK(index.empty());
}

TEST_CASE("filter index: ten thousand followers, each found by what it alone follows") {
    constexpr FilterIndex::Follower kEach = 2500;
    FilterIndex index;
    for (FilterIndex::Follower i = 0; i < kEach; ++i) {
        index.add(i, set_of({fmt::format("orders/{}/completed", i)}), std::nullopt);
        index.add(i + kEach, set_of({fmt::format("wiki/page-{}-*", i)}), std::nullopt);
        index.add(i + 2 * kEach, set_of({fmt::format("*/user-{}/>", i)}), std::nullopt);
        index.add(i + 3 * kEach, set_of({}), fmt::format("key-{}", i));
    }
    REQUIRE(index.size() == 4 * kEach);
    for (FilterIndex::Follower i = 0; i < kEach; ++i) {
        const Found found[] = {find(index, fmt::format("orders/{}/completed", i)),
                               find(index, fmt::format("wiki/page-{}-x", i)),
                               find(index, fmt::format("chat/user-{}/said", i)),
                               find(index, "other", fmt::format("key-{}", i))};
        for (std::size_t kind = 0; kind < 4; ++kind) {
            if (found[kind] != Found{i + kind * kEach}) FAIL("wrong for " << i << ", " << kind);
        }
    }
    for (FilterIndex::Follower i = 0; i < 4 * kEach; ++i) index.remove(i);
    CHECK(index.parts() == 0);
}

TEST_CASE("filter index: the longest filters and topics") {
    std::string filter;
    std::string topic;
    for (int i = 0; i < 127; ++i) {
        filter += "x*/";
        topic += "xxxxxxx/";
    }
    FilterIndex index;
    index.add(1, set_of({filter + "x*"}), std::nullopt);
    index.add(2, set_of({filter + "#"}), std::nullopt);
    index.add(3, set_of({filter + "y"}), std::nullopt);
    CHECK(find(index, topic + "xxxxxxxx") == Found{1, 2});
    for (FilterIndex::Follower i = 1; i <= 3; ++i) index.remove(i);
    CHECK(index.parts() == 0);
}
