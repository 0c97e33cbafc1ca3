// Whether the heads and ids of a log are known, or are being made anew from its records.
//
// Threads: any.
#ifndef KLOG_LOG_REBUILD_STATE_H
#define KLOG_LOG_REBUILD_STATE_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/mutex.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

class RebuildState {
public:
    // Called, from any thread and under locks of the caller, when there is work for who maintains
    // the log. Set before anybody else knows this object; must be quick.
    std::function<void()> wake;

    // False: nobody may judge or look up; refusal() says why.
    [[nodiscard]] bool known() const { return known_.load(std::memory_order_acquire); }
    [[nodiscard]] Status check() const { return known() ? Status() : refusal(); }
    // Code::rebuilding with how far it is, or what made the rebuild fail.
    [[nodiscard]] Error refusal() const;

    // Records up to `upto` are to be replayed, those up to `after` are known.
    void begin(Seq after, Seq upto);
    // A run cannot be believed: all of them go, and everything is replayed. Once is enough; false:
    // it was known already.
    bool damaged(const Error& why);
    void advance(Seq upto) { done_.store(upto.value, std::memory_order_relaxed); }
    // Everything is known now, unless another run turned out to be damaged meanwhile.
    void end();
    // What was tried did not work, and the next try.
    void fail(const Error& why);
    void retry();

    [[nodiscard]] bool is_damaged() const;
    // Why the runs have to go before anything is replayed, once; nullopt: they need not.
    [[nodiscard]] std::optional<Error> take_damage();
    [[nodiscard]] std::uint64_t records_done() const { return done_.load(); }
    [[nodiscard]] std::uint64_t records_wanted() const { return wanted_.load(); }
    [[nodiscard]] std::uint64_t finished() const { return finished_.load(); }

private:
    std::atomic<bool> known_{true};
    std::atomic<std::uint64_t> done_{0};
    std::atomic<std::uint64_t> wanted_{0};
    std::atomic<std::uint64_t> finished_{0};
    mutable Mutex mutex_;
    std::optional<Error> damage_ KLOG_GUARDED_BY(mutex_);
    std::optional<Error> failure_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_REBUILD_STATE_H
