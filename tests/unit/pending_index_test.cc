#include "log/pending_index.h"

#include <doctest/doctest.h>

using namespace klog;

namespace {

using Names = std::vector<std::string>;

void add_topic(PendingIndex& pending, const char* topic, std::uint64_t seq) {
    pending.add_topic(topic, TopicCount{1, Seq{seq}, Seq{seq}});
}

}  // namespace

TEST_CASE("pending_index: what is taken aside stays visible until it is applied") {
    PendingIndex pending;
    pending.add_key("s", "b");
    pending.add_key("s", "a");
    pending.add_key("t", "x");
    add_topic(pending, "s/1", 1);
    pending.freeze(Seq{}, Seq{3});
    CHECK(pending.bytes() == 0);
    pending.add_key("s", "c");
    add_topic(pending, "s/1", 4);
    CHECK(pending.keys("s", "", "", 10) == Names{"a", "b", "c"});
    CHECK(pending.keys("s", "", "a", 1) == Names{"b"});
    CHECK(pending.topic("s/1") == TopicCount{2, Seq{1}, Seq{4}});
    const KeyIndexDelta& delta = pending.frozen();
    CHECK(delta.upto == Seq{3});
    REQUIRE(delta.keys.size() == 3);
    CHECK(delta.keys.key(0) == "a");
    CHECK(delta.topics.size() == 1);
    const std::uint64_t departures = pending.departures();
    pending.applied();
    CHECK(pending.departures() > departures);
    CHECK(pending.keys("s", "", "", 10) == Names{"c"});
    CHECK(pending.topics("", "", 10).size() == 1);
    CHECK(pending.topic("s/1") == TopicCount{1, Seq{4}, Seq{4}});
}

TEST_CASE("pending_index: what could not be applied comes back") {
    PendingIndex pending;
    pending.add_key("s", "b");
    add_topic(pending, "s/1", 1);
    const std::size_t bytes = pending.bytes();
    pending.freeze(Seq{}, Seq{1});
    pending.add_key("s", "a");
    add_topic(pending, "s/1", 2);
    pending.failed();
    CHECK(pending.bytes() > bytes);
    CHECK(pending.keys("s", "", "", 10) == Names{"a", "b"});
    CHECK(pending.topic("s/1") == TopicCount{2, Seq{1}, Seq{2}});
    pending.freeze(Seq{}, Seq{2});
    CHECK(pending.frozen().keys.size() == 2);
    CHECK(pending.frozen().topics.front().second.records == 2);
}

TEST_CASE("pending_index: a key costs at most 30 bytes beside its text") {
    PendingIndex pending;
    std::size_t text = 0;
    for (int i = 0; i < 10'000; ++i) {
        const std::string key = "order-" + std::to_string(i);
        text += key.size();
        pending.add_key("orders", key);
    }
    CHECK(pending.bytes() <= text + 10'000 * 30);
}
