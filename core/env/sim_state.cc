#include "env/sim_state.h"

#include <algorithm>
#include <utility>

namespace klog {

std::string_view sim_call_name(SimCall call) {
    static constexpr std::array<std::string_view, kSimCalls> kNames = {
        "open",   "create", "read",   "write",    "sync",        "truncate", "size",
        "rename", "remove", "exists", "list_dir", "create_dirs", "sync_dir", "lock"};
    return kNames[static_cast<std::size_t>(call)];
}

Error SimEnv::State::Verdict::error(SimCall call, const std::string& path) const {
    std::string message(sim_call_name(call));
    message.append(" of ").append(path);
    message.append(power_cut ? ": simulated power cut" : ": injected fault");
    return Error{code.value_or(Code::io), std::move(message), {}};
}

SimEnv::State::Verdict SimEnv::State::enter(SimCall call, const std::string& path) {
    Hook hook;
    Verdict verdict;
    {
        const MutexLock lock(mutex_);
        ++calls_total_;
        ++calls_[static_cast<std::size_t>(call)];
        if (calls_total_ >= crash_at_) power_cut_ = true;
        verdict.power_cut = power_cut_;
        verdict.code = power_cut_ ? std::optional(Code::io) : fault_for(call, path);
        hook = hook_;
    }
    if (hook) hook(call, path);
    return verdict;
}

std::optional<Code> SimEnv::State::fault_for(SimCall call, const std::string& path) {
    for (SimFault& fault : faults_) {
        if (!fault.kinds.empty() && std::ranges::find(fault.kinds, call) == fault.kinds.end()) {
            continue;
        }
        if (path.find(fault.path_part) == std::string::npos) continue;
        if (fault.skip > 0) {
            --fault.skip;
            continue;
        }
        if (fault.times == 0) continue;
        if (!fault_random_.chance(fault.per_million, 1'000'000)) continue;
        if (fault.times != SimFault::kForever) --fault.times;
        ++calls_failed_;
        return fault.code;
    }
    return std::nullopt;
}

void SimEnv::State::end_life(std::optional<CrashMode> crash) {
    const MutexLock lock(mutex_);
    ++life_;
    locked_.clear();
    faults_.clear();
    crash_at_ = SimFault::kForever;
    power_cut_ = false;
    if (crash.has_value()) {
        disk_.crash(*crash, fault_random_);
    } else {
        disk_.drop_handles();
    }
}

std::uint64_t SimEnv::State::room_for(const SimContent& content, std::uint64_t offset,
                                      std::uint64_t size) const {
    if (capacity_bytes_ == SimFault::kForever) return size;
    const std::uint64_t used = disk_.used_bytes();
    const std::uint64_t free = used < capacity_bytes_ ? capacity_bytes_ - used : 0;
    const std::uint64_t end_max = content.size() + free;
    return offset >= end_max ? 0 : std::min(size, end_max - offset);
}

}  // namespace klog
