// The newest frames in memory: what a follower that takes nothing may cost.
#include "log/live_tail.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
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

}  // namespace

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
