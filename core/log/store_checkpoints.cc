// When a store writes down what only its memory, or only many records together, know: checkpoints
// of settings and consumers, and acknowledgements.
#include <algorithm>

#include "log/store_impl.h"

namespace klog {

bool StoreImpl::checkpoint_due(std::size_t log, bool thorough) const {
    // A start looks for each of klog's own records in a block of its own, about.
    constexpr std::uint64_t kRecordCost = 1024;
    constexpr std::uint64_t kCostMin = 1ULL << 20U;
    constexpr std::uint64_t kLittle = 64 * 1024;
    constexpr std::uint64_t kRecordsMany = 1000;
    constexpr std::uint64_t kFactor = 4;
    const OwnRecords own = pipeline_->with_state([&] { return cores_[log]->sequencer.own(); });
    const std::uint64_t records = own.records - checkpoint_own_[log].records;
    if (records == 0) return false;
    const std::uint64_t takes = checkpoint_bytes_[log];
    if (thorough && (takes <= kLittle || records >= kRecordsMany)) return true;
    const std::uint64_t cost = records * kRecordCost + own.bytes - checkpoint_own_[log].bytes;
    return cost >= kCostMin + kFactor * takes;
}

Status StoreImpl::write_checkpoints(bool thorough) {
    const std::lock_guard lock(checkpoints_mutex_);
    if (!rebuilder_->all_known()) return {};  // it would be refused
    for (std::size_t i = 0; i < kLogs; ++i) {
        if (!checkpoint_due(i, thorough)) continue;
        const OwnRecords own = pipeline_->with_state([&] { return cores_[i]->sequencer.own(); });
        KLOG_TRY_ASSIGN(const LogImpl::Checkpoint checkpoint, logs_[i]->write_checkpoint());
        checkpoints_[i] = checkpoint.seq.value;
        checkpoint_bytes_[i] = checkpoint.consumer_bytes;
        checkpoint_own_[i] = own;
        wal_->set_settings_checkpoint(cores_[i]->id, checkpoint.seq);
    }
    return {};
}

std::uint64_t StoreImpl::positions_wait_ms() const {
    std::uint64_t wait = ~0ULL;
    if (pipeline_->failed()) return wait;
    if (pipeline_->held_back()) return Consumers::kPositionsPauseMs;
    const std::uint64_t now = env_.monotonic_micros();
    const std::uint64_t written = wal_->stats().wal_bytes_written;
    for (const auto& log : logs_) {
        wait = std::min(wait, log->log_consumers().flush_wait_ms(now, written));
    }
    return wait;
}

Status StoreImpl::write_positions(bool all) {
    const std::uint64_t now = env_.monotonic_micros();
    for (const auto& log : logs_) {
        LogConsumers& consumers = log->log_consumers();
        const std::uint64_t written = wal_->stats().wal_bytes_written;
        if (all || consumers.flush_wait_ms(now, written) == 0) {
            KLOG_TRY(consumers.flush_at(now, written));
        }
    }
    return {};
}

}  // namespace klog
