// Makes heads and ids anew from the log, behind an open that did not wait for it and where a run
// turns out to be damaged. Reads by seq go on meanwhile; writes are refused, and so are questions
// whose answer is a head. Breaking off and going on costs nothing: what was flushed counts.
//
// Threads: run() on one at a time.
#ifndef KLOG_LOG_REBUILDER_H
#define KLOG_LOG_REBUILDER_H

#include <array>
#include <atomic>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "klog/stats.h"
#include "log/file_catalog.h"
#include "log/flusher.h"
#include "log/log_core.h"
#include "log/pipeline.h"

namespace klog {

class Rebuilder {
public:
    Rebuilder(Wal& wal, FileCatalog& catalog, Pipeline& pipeline, Flusher& flusher,
              std::array<LogCore*, kLogs> logs);

    // The records of the log behind `after` are replayed by run(), not now.
    void begin(LogCore& log, Seq after);
    // Something is to be made anew, and can be as far as is known.
    [[nodiscard]] bool due() const;
    [[nodiscard]] bool all_known() const;
    // Until all is known or `stop` asks for an end (no error). Errors, which each refusal says from
    // then on: corrupt (the log itself cannot be read, which is not tried again); io, disk_full:
    // the next call tries again.
    Status run(const std::stop_token& stop);

    [[nodiscard]] RebuildStats stats() const;
    // What began and what ended since the last call, for people.
    [[nodiscard]] std::vector<std::string> take_notices() KLOG_EXCLUDES(mutex_);

private:
    Status rebuild(LogCore& log, const std::stop_token& stop);
    Status replay(LogCore& log, const std::stop_token& stop);
    void notice(std::string text) KLOG_EXCLUDES(mutex_);

    Wal& wal_;
    FileCatalog& catalog_;
    Pipeline& pipeline_;
    Flusher& flusher_;
    const std::array<LogCore*, kLogs> logs_;
    std::array<std::atomic<bool>, kLogs> unreadable_{};
    Mutex mutex_;
    std::vector<std::string> notices_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_REBUILDER_H
