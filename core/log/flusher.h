// Takes what memory knows into runs and into the key index, and catches the key index up.
//
// Threads: flush() and catch_up() may be called from any thread; they take turns.
#ifndef KLOG_LOG_FLUSHER_H
#define KLOG_LOG_FLUSHER_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "log/file_catalog.h"
#include "log/log_core.h"
#include "log/pipeline.h"

namespace klog {

class Flusher {
public:
    // Batches wait when memory holds this many times what a flush is due at.
    static constexpr std::uint64_t kHoldBackFactor = 4;
    // What one step of catching the key index up reads of the log at most: a record for each so
    // many bytes of memtable_bytes_max (262,144 by default), but no fewer than kCatchUpRecordsMin.
    // It keeps twice memtable_bytes_max in memory, about.
    static constexpr std::uint64_t kCatchUpBytesOfRecord = 32;
    static constexpr std::uint64_t kCatchUpRecordsMin = 1024;
    // So many of these steps a flush takes at most; what is left is for catch_up().
    static constexpr int kFlushSteps = 4;
    // Keys of the key index that one transaction of a merge moves, and how many merges move in all
    // for each new key.
    static constexpr std::uint64_t kMergeStepKeys = 32'768;
    static constexpr std::uint64_t kMergeFactor = 5;

    Flusher(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
            Pipeline& pipeline, std::array<LogCore*, kLogs> logs);

    // Memory holds more than it should.
    [[nodiscard]] bool due() const;
    // Writes runs and the key index for all that is durable now. Errors: disk_full, io; memory then
    // keeps what it has, and the next call tries again.
    Status write() KLOG_EXCLUDES(mutex_);
    // One part of merging runs; see RunSet::merge_step. False: nothing is left to merge.
    Result<bool> merge_step() KLOG_EXCLUDES(mutex_);
    // Both: merges until nothing is left to merge, or memory holds more than it should again.
    Status flush() KLOG_EXCLUDES(mutex_);

    // The key index holds everything up to pending_after when this returns, so that it and the
    // pending index together list everything.
    Status catch_up(LogCore& log) KLOG_EXCLUDES(mutex_);
    // The same where not much is left to do, else Code::rebuilding with how far it is: then
    // list_step() does it, on the thread that maintains the log.
    Status ready_to_list(LogCore& log) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool list_due() const;
    Status list_step() KLOG_EXCLUDES(mutex_);
    // A bounded piece of it (see kCatchUpBytesOfRecord; tenths of a second). True: more is to be
    // done. The log's key_index->known_watermark() out of pending_after tells how far it has come.
    Result<bool> catch_up_step(LogCore& log) KLOG_EXCLUDES(mutex_);

    // Heads, ids and what was pending go, in memory and on disk, so that all of it can be replayed.
    // Precondition: nothing is judged or published in this log. Errors: io; memory is empty all
    // the same.
    Status forget_heads(LogCore& log) KLOG_EXCLUDES(mutex_);

private:
    [[nodiscard]] bool memory_due() const;
    Status flush_log(LogCore& log) KLOG_REQUIRES(mutex_);
    Status make_index_dir(LogCore& log) KLOG_REQUIRES(mutex_);
    Status apply_pending(LogCore& log, Seq upto) KLOG_REQUIRES(mutex_);
    Result<bool> catch_up_step_locked(LogCore& log) KLOG_REQUIRES(mutex_);
    Status merge_keys(LogCore& log, std::uint64_t keys) KLOG_REQUIRES(mutex_);

    Env& env_;
    const std::uint64_t memtable_bytes_max_;
    const std::uint64_t rebuild_later_records_;
    const std::int64_t session_micros_;
    Wal& wal_;
    FileCatalog& catalog_;
    Pipeline& pipeline_;
    const std::array<LogCore*, kLogs> logs_;
    Mutex mutex_;
};

}  // namespace klog

#endif  // KLOG_LOG_FLUSHER_H
