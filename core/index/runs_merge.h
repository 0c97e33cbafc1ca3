// Merging neighbouring runs, and which ones to merge.
#ifndef KLOG_INDEX_RUNS_MERGE_H
#define KLOG_INDEX_RUNS_MERGE_H

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "index/runs_file.h"
#include "index/runs_writer.h"
#include "klog/result.h"

namespace klog {

// A window [first, last) of at least two neighbours. Precondition: bytes.size() >= 2.
//
// It minimises the bytes that are read and written over the square of the runs that go: sizes
// become geometric by themselves. (Simulated with 8 runs, each new one of the same size: 5 times
// written after 1,000 runs, 9 times after 5,000; the cheapest pair instead: 48 and 230 times.)
[[nodiscard]] std::pair<std::size_t, std::size_t> merge_window(
    std::span<const std::uint64_t> bytes);

// Calls `visit` once a hash, ascending, with the newest run's entry. runs: oldest first. Memory:
// a RunCursor's buffer a run. Errors: corrupt, io, and visit's.
Status visit_newest(std::span<const std::shared_ptr<const RunFile>> runs, RunTable table,
                    const std::function<Status(Hash128, const char*)>& visit);

// Writes everything in runs (oldest first) to the writer and finishes it; sessions older than
// session_before are left out.
Status merge_runs(std::span<const std::shared_ptr<const RunFile>> runs, Time session_before,
                  RunWriter& writer);

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_MERGE_H
