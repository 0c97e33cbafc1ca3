// What opening a store found: what a crash left, and what a read-only store cannot serve.
#ifndef KLOG_RECOVERY_H
#define KLOG_RECOVERY_H

#include <cstdint>
#include <string>
#include <vector>

#include "klog/types.h"

namespace klog {

// Seqs of a log that a read-only store cannot serve. A read that needs any of them fails with
// corrupt; what lies before and behind them is served.
struct Hole {
    LogId log = LogId::default_log;
    Seq first;
    Seq last;
    bool open_ended = false;  // the log's end: how many records are missing is not known
    std::string why;          // a sentence that names the file
};

// What open() found, for logs and tests.
struct RecoveryReport {
    bool clean = true;  // the last stop was clean, or the store is new
    std::uint64_t frames_checked = 0;
    std::uint64_t bytes_carried_over = 0;  // copied from the torn file into the new one
    std::uint64_t bytes_dropped = 0;       // never acknowledged; as far as they can be told
    std::uint64_t records_replayed = 0;    // into heads and ids
    std::vector<std::string> notices;      // such as "index/1/run-3 was rebuilt: bad checksum"
    std::vector<Hole> holes;               // of a read-only store: in the order of log and seq
};

}  // namespace klog

#endif  // KLOG_RECOVERY_H
