#include "log/rebuild_state.h"

#include <string>
#include <utility>

namespace klog {

Error RebuildState::refusal() const {
    const MutexLock lock(mutex_);
    if (failure_) {
        return Error{failure_->code,
                     "what is newest of each key is not known: " + failure_->message,
                     failure_->hint};
    }
    return Error{
        Code::rebuilding,
        "the heads of keys are being made anew from the log: " + std::to_string(records_done()) +
            " of " + std::to_string(records_wanted()) + " records are done",
        "reads by seq are served meanwhile; try again in a moment"};
}

void RebuildState::begin(Seq after, Seq upto) {
    done_ = after.value;
    wanted_ = upto.value;
    known_.store(false, std::memory_order_release);
}

bool RebuildState::damaged(const Error& why) {
    {
        const MutexLock lock(mutex_);
        if (damage_) return false;
        damage_ = why;
        done_ = 0;
        known_.store(false, std::memory_order_release);
    }
    if (wake) wake();
    return true;
}

void RebuildState::end() {
    const MutexLock lock(mutex_);
    if (damage_) return;
    ++finished_;
    known_.store(true, std::memory_order_release);
}

void RebuildState::fail(const Error& why) {
    const MutexLock lock(mutex_);
    failure_ = why;
}

void RebuildState::retry() {
    const MutexLock lock(mutex_);
    failure_.reset();
}

bool RebuildState::is_damaged() const {
    const MutexLock lock(mutex_);
    return damage_.has_value();
}

std::optional<Error> RebuildState::take_damage() {
    const MutexLock lock(mutex_);
    return std::exchange(damage_, std::nullopt);
}

}  // namespace klog
