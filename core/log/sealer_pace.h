// What the thread that seals does next, while others write: writers go first.
//
// As long as somebody writes, it rests after each step. Sealing takes an eighth of the time while
// little waits, since a burst is mostly over before the disk needs the room; the more waits the
// larger its part, by the square, up to all of the time where half of what may wait does, or half
// of what the disk can still take. A merge takes a quarter of the time, and its turn comes when
// nothing is to be sealed, or when many segments wait for one.
//
// Threads: one.
#ifndef KLOG_LOG_SEALER_PACE_H
#define KLOG_LOG_SEALER_PACE_H

#include <cstdint>

namespace klog {

class SealerPace {
public:
    enum class Work : std::uint8_t { none, rest, seal, merge };

    struct State {
        bool seal_due = false;
        bool merge_due = false;
        bool merge_overdue = false;
        bool busy = false;  // somebody writes
        std::uint64_t lag_bytes = 0;
        std::uint64_t lag_bytes_max = 0;  // past it writers are held back, or the disk is full
    };
    struct Next {
        Work work = Work::none;
        std::uint64_t rest_micros = 0;  // with Work::rest: then something may be done
    };

    // Times are microseconds of one clock that never goes back.
    [[nodiscard]] Next next(const State& state, std::uint64_t now) const;
    void worked(Work work, std::uint64_t began, std::uint64_t ended);

private:
    struct Step {
        std::uint64_t ended = 0;
        std::uint64_t took = 0;
    };
    [[nodiscard]] std::uint64_t rest_of_seal(const State& state) const;

    Step seal_;
    Step merge_;
};

}  // namespace klog

#endif  // KLOG_LOG_SEALER_PACE_H
