#include "env/sim_random.h"

namespace klog {

CrashChoice::CrashChoice(CrashMode mode, std::uint64_t things, SimRandom& random)
    : style_(Style::keep), random_(random) {
    if (mode == CrashMode::keep_all) return;
    if (mode == CrashMode::lose_all) {
        style_ = Style::lose;
        return;
    }
    style_ = static_cast<Style>(random.below(static_cast<std::uint64_t>(Style::suffix) + 1));
    cut_ = random.below(things + 1);
}

bool CrashChoice::keep() {
    const std::uint64_t index = asked_++;
    switch (style_) {
        case Style::keep:
            return true;
        case Style::lose:
            return false;
        case Style::half:
            return random_.chance(1, 2);
        case Style::few:
            return random_.chance(1, 8);
        case Style::most:
            return random_.chance(7, 8);
        case Style::prefix:
            return index < cut_;
        case Style::suffix:
            return index >= cut_;
    }
    return true;
}

}  // namespace klog
