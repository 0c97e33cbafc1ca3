// Immutable sorted runs of heads, ids and sessions, keyed by 128-bit keyed hashes: what the
// memtable held when it was written out. Disposable: a run that is missing or broken is rebuilt
// from the log.
//
// A run covers the seqs (covered_after, covered_upto] of one log; the runs of a log cover
// (0, watermark] without a hole. Format: core/index/run_format.h.
//
// Files: index/<log_id>/<20 digits of number>.run
//
// Threads: lookups may come from any thread, also beside reset(), and see one consistent set of
// runs. add(), merge(), merge_step() and reset() come from one thread at a time.
#ifndef KLOG_INDEX_RUNS_H
#define KLOG_INDEX_RUNS_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/siphash.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// What is known about an entity.
struct HeadEntry {
    EntityState state = EntityState::absent;
    Version version;
    Seq last_seq;
    friend bool operator==(const HeadEntry&, const HeadEntry&) = default;
};

// What is known about an id: the digest of kind, topic and value of its first write.
struct IdEntry {
    Hash128 digest;
    Seq seq;
    Version version;
    Time time;
    friend bool operator==(const IdEntry&, const IdEntry&) = default;
};

// The highest line of a producing session.
struct SessionEntry {
    std::uint64_t highest_line = 0;
    Seq seq;
    Version version;
    Time time;
    friend bool operator==(const SessionEntry&, const SessionEntry&) = default;
};

// Everything behind a watermark, sorted by hash, one entry a hash.
struct RunContents {
    std::vector<std::pair<Hash128, HeadEntry>> heads;
    std::vector<std::pair<Hash128, IdEntry>> ids;
    std::vector<std::pair<Hash128, SessionEntry>> sessions;
    Seq covered_after;
    Seq covered_upto;
    Time last_time;            // of the record covered_upto
    std::uint64_t wal_id = 0;  // the frame behind covered_upto begins here
    std::uint64_t wal_offset = 0;
    std::uint64_t settings_seq = 0;  // newest settings record up to here
};

struct RunWatermark {
    Seq covered_upto;
    Time last_time;
    std::uint64_t wal_id = 0;  // 0: nothing is covered, replay everything
    std::uint64_t wal_offset = 0;
    std::uint64_t settings_seq = 0;
};

class RunSet {
public:
    // Runs per set before maintenance merges neighbours.
    static constexpr std::size_t kRunsMax = 8;
    // What one merge_step() writes, about.
    static constexpr std::uint64_t kStepBytes = 4U << 20U;

    virtual ~RunSet() = default;

    // Takes the runs that cover (0, watermark] without a hole; removes the others and says so in
    // notices. Runs of another store_uuid are removed as well. A folder that cannot be read is an
    // empty set with a notice.
    [[nodiscard]] static Result<std::unique_ptr<RunSet>> open(
        Env& env, const std::string& dir, const std::array<std::uint8_t, 16>& store_uuid,
        std::vector<std::string>& notices);

    // The newest WAL file that a run of this store in dir knows; 0: none does. Reads headers only,
    // and passes over what cannot be read.
    [[nodiscard]] static std::uint64_t newest_wal_id(
        Env& env, const std::string& dir, const std::array<std::uint8_t, 16>& store_uuid);

    [[nodiscard]] virtual RunWatermark watermark() const = 0;
    // Changes with every add and merge. A lookup's answer holds as long as this does.
    [[nodiscard]] virtual std::uint64_t generation() const = 0;
    [[nodiscard]] virtual std::size_t runs() const = 0;

    // Looks a group up at once; out[i] stays nullopt where no run knows hashes[i]. Errors: corrupt
    // (a block's checksum), io: the caller drops the set with reset() and rebuilds.
    virtual Status find_heads(std::span<const Hash128> hashes,
                              std::span<std::optional<HeadEntry>> out) const = 0;
    virtual Status find_ids(std::span<const Hash128> hashes,
                            std::span<std::optional<IdEntry>> out) const = 0;
    virtual Result<std::optional<SessionEntry>> find_session(Hash128 hash) const = 0;

    // Writes a run behind the newest. Durable when it returns (temp, sync, rename, sync of the
    // folder); after an error the set is as it was. Preconditions: contents.covered_after ==
    // watermark().covered_upto; what it covers is durable in the log. Errors: disk_full, io.
    virtual Status add(const RunContents& contents) = 0;
    // One part of merging neighbours while there are more than kRunsMax of them; sessions older
    // than session_before go from those that are merged. False: nothing is left to merge.
    // A large merge takes many parts; what is added between them stays beside it, and is merged
    // first where it becomes too many runs. A part writes and syncs about kStepBytes. Memory: 128
    // KiB a run, and the new filters. Lookups see the merged run when it is complete and durable.
    // After an error the set is sound, before or after the merge. Errors: corrupt, disk_full, io.
    virtual Result<bool> merge_step(Time session_before) = 0;
    // All parts that are left.
    Status merge(Time session_before);
    // Forgets and deletes all runs.
    virtual Status reset() = 0;

    // Everything, newest entry of each hash, sorted: for tests and for verify.
    [[nodiscard]] virtual Result<RunContents> dump() const = 0;
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_H
