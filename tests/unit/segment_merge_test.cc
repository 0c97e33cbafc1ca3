// Which neighbouring segments are merged next.
#include "log/segment_merge.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>
#include <vector>

using namespace klog;

namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kMergedMax = 256 * kMiB;
constexpr std::uint64_t kTopicsMax = 1000;
using Sizes = std::vector<SegmentMerge::Size>;

std::optional<SegmentMerge::Run> choose(const Sizes& sizes) {
    return SegmentMerge::choose(sizes, kMergedMax, kTopicsMax);
}

std::optional<SegmentMerge::Run> run(std::size_t from, std::size_t upto) {
    return SegmentMerge::Run(from, upto);
}

}  // namespace

TEST_CASE("segment merge: four neighbours of a class, the oldest first, smaller ones go along") {
    CHECK_FALSE(choose({}));
    CHECK_FALSE(choose(Sizes(3, {kMiB, 1})));
    CHECK(choose(Sizes(4, {kMiB, 1})) == run(0, 4));
    CHECK(choose(Sizes(9, {kMiB, 1})) == run(0, 4));
    CHECK(choose({{60 * kMiB, 1}, {kMiB, 1}, {kMiB, 1}, {kMiB, 1}, {kMiB, 1}}) == run(0, 4));
    CHECK_FALSE(choose({{kMiB, 1}, {kMiB, 1}, {kMiB, 1}, {60 * kMiB, 1}}));
    CHECK_FALSE(choose(Sizes(8, {100 * kMiB, 1})));  // four would be too large
}

TEST_CASE("segment merge: with very many topics fewer at a time, and none that is full") {
    CHECK(choose(Sizes(8, {kMiB, 250})) == run(0, 4));
    CHECK(choose(Sizes(8, {kMiB, 300})) == run(0, 3));
    CHECK(choose(Sizes(8, {kMiB, 500})) == run(0, 2));
    CHECK_FALSE(choose(Sizes(8, {kMiB, 501})));
    CHECK_FALSE(choose(Sizes(3, {kMiB, 300})));  // a fourth one may still be of few
    // A large one is not written again for each small one behind it.
    CHECK_FALSE(choose({{60 * kMiB, 800}, {kMiB, 150}, {kMiB, 150}, {kMiB, 150}}));
    CHECK(choose({{kMiB, 5000}, {kMiB, 1}, {kMiB, 1}, {kMiB, 1}, {kMiB, 1}}) == run(1, 5));
}

TEST_CASE("segment merge: whatever the sizes, merging comes to an end") {
    for (const std::uint64_t topics : {1U, 90U, 240U, 333U, 480U, 700U}) {
        Sizes sizes(200, {5 * kMiB, topics});
        std::uint64_t copied = 0;
        while (const auto next = choose(sizes)) {
            SegmentMerge::Size sum;
            for (std::size_t i = next->first; i < next->second; ++i) {
                sum.payload_bytes += sizes[i].payload_bytes;
                sum.topics += sizes[i].topics;
            }
            copied += sum.payload_bytes;
            CHECK(sum.topics <= kTopicsMax);
            const auto at = sizes.begin();
            sizes.erase(at + static_cast<std::ptrdiff_t>(next->first + 1),
                        at + static_cast<std::ptrdiff_t>(next->second));
            sizes[next->first] = sum;
        }
        CHECK(copied <= 9 * 200 * 5 * kMiB);  // each record a few times
    }
}
