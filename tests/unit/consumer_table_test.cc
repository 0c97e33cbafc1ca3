// The table of consumers by itself: what is judged, shown and taken back, in any order.
#include <doctest/doctest.h>

#include "log/consumers.h"

using namespace klog;

namespace {

constexpr Seq kHead{200};

struct Table {
    ConsumerTable table;
    std::uint64_t seq = 1000;

    explicit Table(std::size_t bytes_max = Limits::kConsumersBytesMax) : table(bytes_max) {}

    Result<ConsumerStep> judge(ConsumerStep::What what, ConsumerChanges& changes, Seq to = {},
                               const std::string& name = "c") {
        ConsumerStep step;
        step.what = what;
        step.name = name;
        step.seq = to;
        if (what == ConsumerStep::What::put)
            step.definition = encode_definition({{">"}, {}, {}, to});
        const Result<bool> judged = table.judge(step, Seq{++seq}, kHead, Time{1}, changes);
        if (!judged) return judged.error();
        return step;
    }
    void make(const std::string& name = "c") {
        ConsumerChanges changes;
        REQUIRE(judge(ConsumerStep::What::put, changes, {}, name).ok());
        table.publish(changes);
    }
    void ack(std::uint64_t to) {
        REQUIRE(table.ack("c", Seq{to}, std::nullopt, "", kHead, Time{1}).ok());
    }
    [[nodiscard]] std::uint64_t position() const { return table.find("c")->position.value; }
};

std::uint64_t position_in(const Result<ConsumerStep>& step) {
    REQUIRE(step.ok());
    return decode_positions(step->value)->at(0).position.value;
}

}  // namespace

TEST_CASE("consumer table: an ack beside an unfinished reset does not come back behind it") {
    Table of;
    of.make();
    of.ack(50);
    ConsumerChanges changes;
    REQUIRE(of.judge(ConsumerStep::What::reset, changes, Seq{5}).ok());
    of.ack(100);
    CHECK(of.position() == 100);
    const auto lease = of.judge(ConsumerStep::What::lease, changes);
    CHECK(position_in(lease) == 5);  // what a start would find
    of.table.publish(changes);
    CHECK(of.position() == 5);
    of.ack(7);  // as ever
    CHECK(of.position() == 7);
    CHECK(position_in(of.judge(ConsumerStep::What::lease, changes)) == 7);
}

TEST_CASE("consumer table: an ack beside an unfinished removal is not the next one's") {
    Table of;
    of.make();
    ConsumerChanges changes;
    REQUIRE(of.judge(ConsumerStep::What::remove, changes).ok());
    REQUIRE(of.judge(ConsumerStep::What::put, changes, Seq{3}).ok());
    of.ack(100);
    CHECK(position_in(of.judge(ConsumerStep::What::lease, changes)) == 3);
    of.table.publish(changes);
    CHECK(of.position() == 3);
}

TEST_CASE("consumer table: behind a reset that was taken back acks count again") {
    Table of;
    of.make();
    ConsumerChanges changes;
    REQUIRE(of.judge(ConsumerStep::What::reset, changes, Seq{5}).ok());
    of.table.drop(changes);
    of.table.dropped();
    of.ack(100);
    CHECK(position_in(of.judge(ConsumerStep::What::lease, changes)) == 100);
}

TEST_CASE("consumer table: all together take so much memory, and who goes makes room") {
    Table of(10'000);
    int made = 0;
    ConsumerChanges changes;
    const auto name = [](int number) { return "worker-" + std::to_string(number); };
    Result<ConsumerStep> last = of.judge(ConsumerStep::What::put, changes, {}, name(0));
    while (last.ok() && made < 100) {
        of.table.publish(changes);
        last = of.judge(ConsumerStep::What::put, changes, {}, name(++made));
    }
    CHECK(made > 20);
    CHECK(made < 40);
    REQUIRE_FALSE(last.ok());
    CHECK(last.error().code == Code::too_many);
    CHECK(last.error().hint.find("klog consumer rm") != std::string::npos);
    REQUIRE(of.judge(ConsumerStep::What::remove, changes, {}, name(3)).ok());
    of.table.publish(changes);
    REQUIRE(of.judge(ConsumerStep::What::put, changes, {}, "another").ok());
    of.table.drop(changes);  // its room is free again
    of.table.dropped();
    CHECK(of.judge(ConsumerStep::What::put, changes, {}, name(3)).ok());
    of.table.publish(changes);
    CHECK(of.table.size() == static_cast<std::size_t>(made));
    // One that is there is no more of them.
    CHECK(of.judge(ConsumerStep::What::put, changes, {}, name(1)).ok());
    of.table.clear();
    CHECK(of.judge(ConsumerStep::What::put, changes, {}, "first").ok());
}
