// Merging neighbouring runs, and which ones to merge.
#ifndef KLOG_INDEX_RUNS_MERGE_H
#define KLOG_INDEX_RUNS_MERGE_H

#include <cstdint>
#include <memory>
#include <span>
#include <string>
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

// Walks one table of several runs as if they were one: each hash once, ascending, with the newest
// run's entry. Memory: a RunCursor's buffer a run.
class NewestCursor {
public:
    // runs: oldest first.
    NewestCursor(std::span<const std::shared_ptr<const RunFile>> runs, RunTable table);
    // To the first entries. Errors: as visit().
    Status start();

    // Calls `visit(hash, fields)` for the next `most` hashes, or as many as there are; its error
    // ends this. False: that was all. Errors: corrupt, io, and visit's.
    template <class Visit>
    Result<bool> visit(std::size_t most, Visit&& visit) {
        while (most > 0) {
            const Pick pick = this->pick();
            if (pick.newest == nullptr) return false;
            do {
                const Hash128 hash = pick.newest->hash();
                KLOG_TRY(visit(hash, pick.newest->fields()));
                if (pick.older_too) KLOG_TRY(skip(hash));
                if (!pick.older_too) KLOG_TRY(pick.newest->next());
                --most;
            } while (most > 0 && pick.alone_until(*pick.newest));
        }
        return true;
    }

private:
    struct Pick {
        RunCursor* newest = nullptr;
        bool older_too = false;  // other runs have this hash as well
        bool bounded = false;    // other runs have entries, from `bound` on
        Hash128 bound;
        [[nodiscard]] bool alone_until(const RunCursor& cursor) const {
            return !older_too && !cursor.done() && (!bounded || cursor.hash() < bound);
        }
    };
    [[nodiscard]] Pick pick();
    Status skip(Hash128 hash);

    std::vector<RunCursor> cursors_;
};

// One run made of several, a part at a time.
class RunMerge {
public:
    // runs: oldest first. Sessions older than session_before are left out. Creates `path`.
    [[nodiscard]] static Result<std::unique_ptr<RunMerge>> begin(
        Env& env, std::vector<std::shared_ptr<const RunFile>> runs, RunHeader header,
        const std::string& path, Time session_before);

    // Writes about bytes_max more and syncs them. True: the run is complete and durable, under the
    // name it was created with. Errors: corrupt, disk_full, io; it cannot go on then.
    Result<bool> step(std::uint64_t bytes_max);

    [[nodiscard]] std::span<const std::shared_ptr<const RunFile>> runs() const { return runs_; }
    // What a table that holds all of theirs may need.
    [[nodiscard]] static RunSection expected(std::span<const std::shared_ptr<const RunFile>> runs,
                                             RunTable table);
    // About how many hashes a table has when each is counted once: the share of the lowest 16,384
    // entries that are the first of their hash, since hashes are evenly spread. Runs of known
    // entities overlap, and their sum would give each merge a larger filter. Reads 128 KiB of each
    // run, or what those entries take. Memory: 16 bytes of each of them, 1 MiB at the most. Errors:
    // corrupt, io.
    [[nodiscard]] static Result<std::uint64_t> distinct(
        std::span<const std::shared_ptr<const RunFile>> runs, RunTable table);

private:
    RunMerge(std::vector<std::shared_ptr<const RunFile>> runs, RunWriter writer,
             Time session_before);
    Status begin_table();
    // False: the table has no more.
    Result<bool> copy_some();

    std::vector<std::shared_ptr<const RunFile>> runs_;
    RunWriter writer_;
    Time session_before_;
    std::size_t table_ = 0;
    std::unique_ptr<NewestCursor> cursor_;  // of the table that is written
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_MERGE_H
