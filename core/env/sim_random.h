// A small generator (SplitMix64) whose sequence is the same with every compiler and library.
#ifndef KLOG_ENV_SIM_RANDOM_H
#define KLOG_ENV_SIM_RANDOM_H

#include <cstdint>

namespace klog {

class SimRandom {
public:
    explicit SimRandom(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        std::uint64_t v = state_;
        v = (v ^ (v >> 30U)) * 0xbf58476d1ce4e5b9ULL;
        v = (v ^ (v >> 27U)) * 0x94d049bb133111ebULL;
        return v ^ (v >> 31U);
    }
    // In [0, end). Precondition: end > 0.
    std::uint64_t below(std::uint64_t end) { return next() % end; }
    bool chance(std::uint64_t numerator, std::uint64_t denominator) {
        return below(denominator) < numerator;
    }

private:
    std::uint64_t state_;
};

// What becomes of everything that is not synced when the power goes.
enum class CrashMode : std::uint8_t { random, lose_all, keep_all };

// Decides, one unsynced thing after the other, whether it was kept. Draws one style first, because
// independent coins alone would hardly ever lose all, lose nothing or cut at one place.
class CrashChoice {
public:
    // `things`: how many decisions will be asked for.
    CrashChoice(CrashMode mode, std::uint64_t things, SimRandom& random);
    bool keep();

private:
    enum class Style : std::uint8_t { keep, lose, half, few, most, prefix, suffix };
    Style style_;
    std::uint64_t cut_ = 0;
    std::uint64_t asked_ = 0;
    SimRandom& random_;
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_RANDOM_H
