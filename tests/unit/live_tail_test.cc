// The newest frames in memory: what a follower that takes nothing may cost.
#include "log/live_tail.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/wal_testing.h"
#include "topic/filter.h"

using namespace klog;
using klog::testing::numbered_frame;

namespace {

constexpr std::size_t kValueBytes = 1U << 20U;

// As the log leaves it once it is written.
std::shared_ptr<const Frame> large_frame(std::uint64_t seq) {
    auto frame = std::make_shared<Frame>(numbered_frame(seq, 1, kValueBytes));
    frame->header.header_bytes = kFrameHeaderBytes;
    frame->header.payload_bytes =
        static_cast<std::uint32_t>(frame->bytes.size() - kFrameHeaderBytes);
    return frame;
}

std::shared_ptr<const Frame> small_frame(std::uint64_t first_seq, std::uint32_t count) {
    auto frame = std::make_shared<Frame>(numbered_frame(first_seq, count));
    frame->header.header_bytes = kFrameHeaderBytes;
    frame->header.payload_bytes =
        static_cast<std::uint32_t>(frame->bytes.size() - kFrameHeaderBytes);
    return frame;
}

std::optional<std::uint64_t> follow_all(LiveTail& tail, std::uint64_t read_to) {
    return tail.follow(FilterSet(), std::nullopt, Seq{read_to}, std::make_shared<WakeCell>());
}

std::vector<std::uint64_t> seqs_of(const LiveTail::Taken& taken) {
    std::vector<std::uint64_t> seqs;
    for (const LiveTail::Match& match : taken.matches) seqs.push_back(match.record().seq.value);
    return seqs;
}

constexpr std::size_t kAnyBytes = 1U << 20U;
using Seqs = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("live tail: who comes between the matching and the publishing gets the group") {
    LiveTail tail(kAnyBytes);
    LiveTail::Matched nobody = tail.match({small_frame(1, 3)});
    CHECK(nobody.hits.empty());
    const auto first = follow_all(tail, 0);
    REQUIRE(first);
    CHECK(tail.publish(std::move(nobody), Seq{3}).size() == 1);
    CHECK(seqs_of(tail.take(*first, 10, kAnyBytes)) == Seqs{1, 2, 3});

    LiveTail::Matched one = tail.match({small_frame(4, 2)});
    const auto second =
        tail.follow(FilterSet(), std::string("k5"), Seq{3}, std::make_shared<WakeCell>());
    REQUIRE(second);
    CHECK(tail.publish(std::move(one), Seq{5}).size() == 2);
    CHECK(seqs_of(tail.take(*first, 10, kAnyBytes)) == Seqs{4, 5});
    CHECK(seqs_of(tail.take(*second, 10, kAnyBytes)) == Seqs{5});
}

TEST_CASE("live tail: who leaves in between is not mistaken for who takes its place") {
    LiveTail tail(kAnyBytes);
    const auto gone = follow_all(tail, 0);
    REQUIRE(gone);
    LiveTail::Matched matched = tail.match({small_frame(1, 2)});
    CHECK(matched.hits.size() == 2);
    tail.unfollow(*gone);
    tail.unfollow(*gone);  // once more does nothing
    CHECK(tail.followers() == 0);
    const auto other =
        tail.follow(FilterSet(), std::string("k2"), Seq{0}, std::make_shared<WakeCell>());
    REQUIRE(other);
    CHECK(*other != *gone);
    CHECK(tail.publish(std::move(matched), Seq{2}).size() == 1);
    CHECK(seqs_of(tail.take(*other, 10, kAnyBytes)) == Seqs{2});
    tail.unfollow(*other);
    CHECK(tail.held_bytes() == 0);
}

TEST_CASE("live tail: a cursor ahead of the head is handed what lies behind it, at once") {
    LiveTail tail(kAnyBytes);
    CHECK(tail.publish({small_frame(1, 3)}, Seq{3}).empty());
    CHECK_FALSE(follow_all(tail, 2));
    const auto ahead = follow_all(tail, 5);
    REQUIRE(ahead);
    CHECK(tail.publish({small_frame(4, 2)}, Seq{5}).empty());  // nothing to wake it for
    CHECK_FALSE(tail.has_news(*ahead));
    CHECK(tail.take(*ahead, 10, kAnyBytes).matches.empty());
    CHECK(tail.publish({small_frame(6, 2)}, Seq{7}).size() == 1);
    CHECK(seqs_of(tail.take(*ahead, 10, kAnyBytes)) == Seqs{6, 7});
    const auto within = follow_all(tail, 8);
    CHECK(tail.publish({small_frame(8, 3)}, Seq{10}).size() == 2);
    CHECK(seqs_of(tail.take(*within, 10, kAnyBytes)) == Seqs{9, 10});
}

TEST_CASE("live tail: labels that are given do what the frames' own would") {
    LiveTail tail(kAnyBytes);
    CHECK_FALSE(tail.followed());
    const auto second =
        tail.follow(FilterSet(), std::string("k2"), Seq{0}, std::make_shared<WakeCell>());
    REQUIRE(second);
    CHECK(tail.followed());
    const std::vector<RecordLabel> labels = {{"t", "k1", true, 1}, {"t", "k2", true, 20}};
    const LiveTail::Matched matched = tail.match({small_frame(1, 1), small_frame(2, 1)}, labels);
    REQUIRE(matched.hits.size() == 1);
    CHECK(matched.wanted[0] == nullptr);  // nobody wants it, so it is never decoded
    CHECK(matched.hits[0].frame == 1);
    CHECK(matched.hits[0].record == 0);
    CHECK(matched.hits[0].bytes == 20);
    // Who comes before it is published finds the labels as they were.
    const auto all = follow_all(tail, 0);
    REQUIRE(all);
    static_cast<void>(tail.publish(matched, Seq{2}));
    CHECK(seqs_of(tail.take(*all, 10, kAnyBytes)) == Seqs{1, 2});
    const LiveTail::Taken taken = tail.take(*second, 10, kAnyBytes);
    REQUIRE(taken.matches.size() == 1);
    CHECK(taken.matches[0].seq() == Seq{2});
    CHECK(taken.matches[0].record().seq == Seq{2});
    CHECK(taken.matches[0].record().key == "k2");
    tail.unfollow(*all);
    tail.unfollow(*second);
    CHECK_FALSE(tail.followed());
}

TEST_CASE("live tail, concurrent: the first who looks decodes a frame, once for all") {
    constexpr int kReaders = 4;
    constexpr std::uint32_t kRecords = 50;
    for (int round = 0; round < 50; ++round) {
        LiveTail tail(kAnyBytes);
        std::vector<std::uint64_t> ids;
        for (int i = 0; i < kReaders; ++i) ids.push_back(*follow_all(tail, 0));
        static_cast<void>(tail.publish({small_frame(1, kRecords)}, Seq{kRecords}));
        std::atomic<int> wrong{0};
        std::vector<std::jthread> threads;
        for (const std::uint64_t id : ids) {
            threads.emplace_back([&tail, &wrong, id] {
                std::uint64_t next = 1;
                const LiveTail::Taken taken = tail.take(id, kRecords, kAnyBytes);
                for (const std::uint64_t seq : seqs_of(taken)) {
                    if (seq != next++) ++wrong;
                }
                if (next != kRecords + 1) ++wrong;
            });
        }
        threads.clear();
        CHECK(wrong == 0);
    }
}

TEST_CASE("live tail, concurrent: whoever comes and goes sees each record from its start on") {
    constexpr std::uint64_t kGroups = 400;
    constexpr std::uint32_t kGroup = 5;
    LiveTail tail(kAnyBytes);
    std::atomic<int> wrong{0};
    std::atomic<std::uint64_t> seen{0};
    std::atomic<bool> stop{false};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            while (!stop) {
                Seq read_to = tail.head();
                const auto id = follow_all(tail, read_to.value);
                if (!id) continue;
                for (int turn = 0; turn < 50; ++turn) {
                    const LiveTail::Taken taken = tail.take(*id, 7, kAnyBytes);
                    for (const std::uint64_t seq : seqs_of(taken)) {
                        if (seq != read_to.value + 1) ++wrong;
                        read_to = Seq{seq};
                        ++seen;
                    }
                    if (taken.read_to < read_to) ++wrong;
                }
                tail.unfollow(*id);
            }
        });
    }
    for (std::uint64_t group = 0; group < kGroups || (seen == 0 && wrong == 0); ++group) {
        const std::uint64_t first = group * kGroup + 1;
        for (const auto& cell : tail.publish({small_frame(first, kGroup)}, Seq{first + kGroup - 1}))
            cell->run();
    }
    stop = true;
    threads.clear();
    CHECK(wrong == 0);
    CHECK(tail.followers() == 0);
}

TEST_CASE("live tail: followers that take nothing hold no more than the limit") {
    // As many bytes again as are allowed, in fewer records than one follower may let pile up.
    constexpr std::uint64_t kFrames = 2 * LiveTail::kHeldBytesMax / kValueBytes;
    static_assert(kFrames < LiveTail::kPendingRecordsMax);
    constexpr std::size_t kCacheBytes = 4 * kValueBytes;
    LiveTail tail(kCacheBytes);
    const auto stalled =
        tail.follow(FilterSet(), std::nullopt, Seq{0}, std::make_shared<WakeCell>());
    const auto quick = tail.follow(FilterSet(), std::nullopt, Seq{0}, std::make_shared<WakeCell>());
    REQUIRE(stalled);
    REQUIRE(quick);
    std::size_t held_most = 0;
    for (std::uint64_t seq = 1; seq <= kFrames; ++seq) {
        for (const auto& cell : tail.publish({large_frame(seq)}, Seq{seq})) cell->run();
        held_most = std::max(held_most, tail.held_bytes());
        const LiveTail::Taken taken = tail.take(*quick, 10, 2 * kValueBytes);
        REQUIRE(taken.matches.size() == 1);
        CHECK(taken.matches.front().record().seq == Seq{seq});
        CHECK_FALSE(taken.fell_behind);
    }
    CHECK(held_most > LiveTail::kHeldBytesMax / 2);
    CHECK(held_most <= LiveTail::kHeldBytesMax + kCacheBytes + 2 * kValueBytes);
    CHECK(tail.has_news(*stalled));
    // It goes on by reading the log, from behind the last record that it took.
    const LiveTail::Taken taken = tail.take(*stalled, 10, kValueBytes);
    CHECK(taken.matches.empty());
    CHECK(taken.fell_behind);
    CHECK(taken.read_to == Seq{0});
    tail.unfollow(*stalled);
    tail.unfollow(*quick);
    CHECK(tail.held_bytes() == 0);
}
