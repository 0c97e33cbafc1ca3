// What a SimEnv and the files and locks that it gave out share.
#ifndef KLOG_ENV_SIM_STATE_H
#define KLOG_ENV_SIM_STATE_H

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/mutex.h"
#include "env/sim_disk.h"
#include "env/sim_env.h"
#include "env/sim_random.h"

namespace klog {

class SimEnv::State {
public:
    explicit State(std::uint64_t seed)
        : fault_random_(seed ^ 0x6661756c74ULL), env_random_(seed ^ 0x72616e646f6dULL) {}

    // What is to become of a call.
    struct Verdict {
        std::optional<Code> code;  // nothing: it goes on
        bool power_cut = false;    // it must have no effect
        [[nodiscard]] bool passes() const { return !code.has_value(); }
        [[nodiscard]] Error error(SimCall call, const std::string& path) const;
    };

    // Counts the call and runs the hook. Every fallible call begins with it.
    Verdict enter(SimCall call, const std::string& path) KLOG_EXCLUDES(mutex_);

    // For calls that do all or nothing: `act` runs under the lock when the call passes.
    template <class Act>
    std::invoke_result_t<Act, SimDisk&> whole_call(SimCall call, const std::string& path, Act act)
        KLOG_EXCLUDES(mutex_) {
        const Verdict verdict = enter(call, path);
        if (!verdict.passes()) return verdict.error(call, path);
        const MutexLock lock(mutex_);
        return act(disk_);
    }

    void end_life(std::optional<CrashMode> crash) KLOG_EXCLUDES(mutex_);
    // How many bytes of a write of `size` at `offset` find room.
    [[nodiscard]] std::uint64_t room_for(const SimContent& content, std::uint64_t offset,
                                         std::uint64_t size) const KLOG_REQUIRES(mutex_);

private:
    // What it is the inside of.
    friend class SimEnv;
    friend class SimFile;
    friend class SimLock;

    [[nodiscard]] std::optional<Code> fault_for(SimCall call, const std::string& path)
        KLOG_REQUIRES(mutex_);

    Mutex mutex_;
    SimDisk disk_ KLOG_GUARDED_BY(mutex_);
    SimRandom fault_random_ KLOG_GUARDED_BY(mutex_);
    SimRandom env_random_ KLOG_GUARDED_BY(mutex_);
    std::uint64_t life_ KLOG_GUARDED_BY(mutex_) = 0;
    std::set<std::string> locked_ KLOG_GUARDED_BY(mutex_);
    std::vector<SimFault> faults_ KLOG_GUARDED_BY(mutex_);
    Hook hook_ KLOG_GUARDED_BY(mutex_);
    std::uint64_t capacity_bytes_ KLOG_GUARDED_BY(mutex_) = SimFault::kForever;
    std::uint64_t crash_at_ KLOG_GUARDED_BY(mutex_) = SimFault::kForever;
    bool power_cut_ KLOG_GUARDED_BY(mutex_) = false;
    std::array<std::uint64_t, kSimCalls> calls_ KLOG_GUARDED_BY(mutex_){};
    std::uint64_t calls_total_ KLOG_GUARDED_BY(mutex_) = 0;
    std::uint64_t calls_failed_ KLOG_GUARDED_BY(mutex_) = 0;
    // 2026-01-01T00:00:00Z
    std::int64_t wall_micros_ KLOG_GUARDED_BY(mutex_) = 1'767'225'600'000'000;
    std::uint64_t monotonic_micros_ KLOG_GUARDED_BY(mutex_) = 1'000'000;
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_STATE_H
