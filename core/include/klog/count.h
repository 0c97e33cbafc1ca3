// How many records match: what is counted, and a count in steps.
#ifndef KLOG_COUNT_H
#define KLOG_COUNT_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// What is counted: records behind `after`, up to the newest durable one when the count began.
struct CountOptions {
    std::vector<std::string> filters = {">"};  // a union; at most 64
    std::vector<std::string> not_filters;      // taken out again; at most 64
    std::optional<std::string> key;            // exactly this key text
    Seq after;
    // The last seq, or the last time, that counts.
    std::optional<Seq> until_seq;
    std::optional<Time> until_time;
};

// A count in steps, so that a long one need not hold its thread. One thread at a time; destroy it
// before its Log.
class Counter {
public:
    virtual ~Counter() = default;

    // True if the next step() does not touch the disk.
    [[nodiscard]] virtual bool ready_in_memory() = 0;
    // Looks at about 2 MiB of the log more. True: records() is final. May read the disk; never
    // waits for new records. Errors: corrupt (names file and offset), io.
    [[nodiscard]] virtual Result<bool> step() = 0;
    // How many match among those that were looked at, tombstones too.
    [[nodiscard]] virtual std::uint64_t records() const = 0;
};

}  // namespace klog

#endif  // KLOG_COUNT_H
