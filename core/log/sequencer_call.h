// Private to the sequencer's files.
#ifndef KLOG_LOG_SEQUENCER_CALL_H
#define KLOG_LOG_SEQUENCER_CALL_H

#include "log/sequencer.h"

namespace klog {

// Steps of RecentTopics::newest().
inline constexpr std::size_t kGuardStepsMax = 131'072;

// What one call of judge works on.
struct Sequencer::Call {
    WriteBatch& batch;
    Group& group;
    GroupPart& part;
    Time now;
    WriteStream* stream = nullptr;
    SessionTable::Slot* session = nullptr;
    // What guards of this call may still look at of what was judged since look().
    std::size_t guard_steps = kGuardStepsMax;
    bool in_batch = false;  // the newest frame holds a record of this atomic batch
};

}  // namespace klog

#endif  // KLOG_LOG_SEQUENCER_CALL_H
