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
    // Records between two transactions while the key index is caught up.
    static constexpr std::uint64_t kCatchUpRecords = 100'000;

    Flusher(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
            Pipeline& pipeline, std::array<LogCore*, kLogs> logs);

    // Memory holds more than it should.
    [[nodiscard]] bool due() const;
    // Writes runs and the key index for all that is durable now. Errors: disk_full, io; memory then
    // keeps what it has, and the next call tries again.
    Status flush() KLOG_EXCLUDES(mutex_);

    // The key index holds everything up to pending_after when this returns, so that it and the
    // pending index together list everything.
    Status catch_up(LogCore& log) KLOG_EXCLUDES(mutex_);

private:
    Status flush_log(LogCore& log) KLOG_REQUIRES(mutex_);
    Status apply_pending(LogCore& log, Seq upto) KLOG_REQUIRES(mutex_);
    Status catch_up_locked(LogCore& log) KLOG_REQUIRES(mutex_);

    Env& env_;
    const std::uint64_t memtable_bytes_max_;
    const std::int64_t session_micros_;
    Wal& wal_;
    FileCatalog& catalog_;
    Pipeline& pipeline_;
    const std::array<LogCore*, kLogs> logs_;
    Mutex mutex_;
};

}  // namespace klog

#endif  // KLOG_LOG_FLUSHER_H
