// What the disk can do without klog: the ceiling of every durable write.
#ifndef KLOG_CLI_BENCH_RAW_DISK_H
#define KLOG_CLI_BENCH_RAW_DISK_H

#include <string>

#include "cli/bench/figure.h"
#include "klog/result.h"

namespace klog::cli::bench {

// Groups of records of kRecordBytes: one pwrite(2) and one fdatasync(2) a group, into a file in
// `dir` that is filled beforehand and removed afterwards. Records a second. With a pause between
// groups, p50 counts: a disk and a processor that were idle are slower. Errors: io, disk_full.
[[nodiscard]] Result<Figure> raw_disk(const std::string& dir, std::size_t group, double seconds,
                                      std::chrono::microseconds pause = {});

}  // namespace klog::cli::bench

#endif  // KLOG_CLI_BENCH_RAW_DISK_H
