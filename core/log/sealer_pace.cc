#include "log/sealer_pace.h"

#include <algorithm>

namespace klog {
namespace {

constexpr double kSealPartMin = 0.125;
constexpr std::uint64_t kMergeRest = 3;  // times as long as it took

std::uint64_t left(std::uint64_t until, std::uint64_t now) { return until > now ? until - now : 0; }

}  // namespace

std::uint64_t SealerPace::rest_of_seal(const State& state) const {
    const std::uint64_t hurried = state.lag_bytes_max / 2;
    if (state.lag_bytes >= hurried) return 0;
    const double waits = static_cast<double>(state.lag_bytes) / static_cast<double>(hurried);
    const double part = std::max(kSealPartMin, waits * waits);
    return static_cast<std::uint64_t>(static_cast<double>(seal_.took) * (1 - part) / part);
}

SealerPace::Next SealerPace::next(const State& state, std::uint64_t now) const {
    const bool merges = state.merge_due && (!state.seal_due || state.merge_overdue);
    const std::uint64_t seal_left = state.busy ? left(seal_.ended + rest_of_seal(state), now) : 0;
    const std::uint64_t merge_left =
        state.busy ? left(merge_.ended + kMergeRest * merge_.took, now) : 0;
    if (state.seal_due && seal_left == 0) return {Work::seal, 0};
    if (merges && merge_left == 0) return {Work::merge, 0};
    if (state.seal_due) return {Work::rest, merges ? std::min(seal_left, merge_left) : seal_left};
    if (merges) return {Work::rest, merge_left};
    return {};
}

void SealerPace::worked(Work work, std::uint64_t began, std::uint64_t ended) {
    (work == Work::merge ? merge_ : seal_) = Step{ended, ended - began};
}

}  // namespace klog
