#include "log/sealer_pace.h"

#include <doctest/doctest.h>

using namespace klog;
using Work = SealerPace::Work;

namespace {

constexpr std::uint64_t kMax = 1 << 30;
constexpr std::uint64_t kStep = 100'000;

// How long it rests behind a seal that took kStep, while somebody writes and so much waits.
std::uint64_t rest_with(std::uint64_t lag_bytes, std::uint64_t lag_bytes_max = kMax) {
    SealerPace pace;
    pace.worked(Work::seal, 1'000, 1'000 + kStep);
    SealerPace::State state;
    state.seal_due = true;
    state.busy = true;
    state.lag_bytes = lag_bytes;
    state.lag_bytes_max = lag_bytes_max;
    const auto next = pace.next(state, 1'000 + kStep);
    CHECK((next.work == Work::seal) == (next.rest_micros == 0));
    if (next.rest_micros > 0) {
        CHECK(pace.next(state, 1'000 + kStep + next.rest_micros - 1).work == Work::rest);
        CHECK(pace.next(state, 1'000 + kStep + next.rest_micros).work == Work::seal);
    }
    return next.rest_micros;
}

}  // namespace

TEST_CASE("sealer pace: the more waits, the less it rests while somebody writes") {
    // An eighth of the time while little waits, a quarter, all of it.
    CHECK(rest_with(0) == 7 * kStep);
    CHECK(rest_with(kMax / 8) == 7 * kStep);
    CHECK(rest_with(kMax / 4) == 3 * kStep);
    CHECK(rest_with(kMax / 2) == 0);
    CHECK(rest_with(2ULL * kMax) == 0);
    CHECK(rest_with(0, 0) == 0);
    CHECK(rest_with(1, ~0ULL) == 7 * kStep);
}

TEST_CASE("sealer pace: it does not rest when nobody writes, nor before its first step") {
    SealerPace pace;
    SealerPace::State state;
    state.lag_bytes_max = kMax;
    CHECK(pace.next(state, 5).work == Work::none);
    state.seal_due = true;
    state.busy = true;
    CHECK(pace.next(state, 5).work == Work::seal);
    pace.worked(Work::seal, 5, 5 + kStep);
    CHECK(pace.next(state, 5 + kStep).work == Work::rest);
    state.busy = false;
    CHECK(pace.next(state, 5 + kStep).work == Work::seal);
    state.seal_due = false;
    CHECK(pace.next(state, 5 + kStep).work == Work::none);
}

TEST_CASE("sealer pace: merges wait for seals, unless too many segments wait for a merge") {
    SealerPace pace;
    SealerPace::State state;
    state.lag_bytes_max = kMax;
    state.busy = true;
    state.merge_due = true;
    CHECK(pace.next(state, 0).work == Work::merge);
    pace.worked(Work::merge, 0, kStep);
    auto next = pace.next(state, kStep);
    CHECK(next.work == Work::rest);
    CHECK(next.rest_micros == 3 * kStep);
    state.seal_due = true;
    CHECK(pace.next(state, kStep).work == Work::seal);
    pace.worked(Work::seal, kStep, 2 * kStep);
    // The seal rests until 9 kStep; the merge has rested at 4 kStep.
    next = pace.next(state, 4 * kStep);
    CHECK(next.work == Work::rest);
    CHECK(next.rest_micros == 5 * kStep);
    state.merge_overdue = true;
    CHECK(pace.next(state, 4 * kStep).work == Work::merge);
    next = pace.next(state, 3 * kStep);
    CHECK(next.work == Work::rest);
    CHECK(next.rest_micros == kStep);
    CHECK(pace.next(state, 9 * kStep).work == Work::seal);
}
