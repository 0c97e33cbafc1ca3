// A WAL of which the oldest files are sealed, as far as the set of segments says so: the segments
// themselves are not made.
#ifndef KLOG_TESTS_SUPPORT_SEALED_WAL_H
#define KLOG_TESTS_SUPPORT_SEALED_WAL_H

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "segment/segment_set.h"
#include "segment/wal.h"
#include "segment/wal_recovery.h"
#include "tests/support/manifest_golden.h"
#include "tests/support/wal_testing.h"
#include "tests/support/wal_workload.h"

namespace klog::testing {

inline std::string wal_path(std::uint64_t wal_id) { return "/data/wal/" + wal_file_name(wal_id); }

inline std::vector<std::uint64_t> seqs_of(Wal& wal, std::uint64_t wal_id) {
    LogContents contents;
    const auto reader = wal.open_file(wal_id, kWalFileHeaderBytes);
    REQUIRE(reader.ok());
    while (true) {
        const auto frame = reader.value()->next();
        REQUIRE(frame.ok());
        if (!frame.value()) break;
        read_frame(*frame.value(), WalWorkload::kValueBytes, contents);
    }
    REQUIRE(contents.error == "");
    return contents.seqs;
}

// `set` with all that the WAL's files up to wal_id hold: a segment for each.
inline SegmentSetState sealed_set(Wal& wal, SegmentSetState set, std::uint64_t wal_id) {
    set.store_uuid = wal.store_uuid();
    set.hash_key = wal.hash_key();
    for (const WalFileInfo& file : wal.files()) {
        if (file.header.wal_id <= set.sealed.wal_id) continue;
        if (file.header.wal_id > wal_id) break;
        REQUIRE(file.closed);
        set.sealed = {file.header.wal_id, file.end, file.chain};
        const std::vector<std::uint64_t> seqs = seqs_of(wal, file.header.wal_id);
        if (seqs.empty()) continue;
        set.logs[1].push_back(
            full_entry(LogId::default_log, set.next_segment_id++, seqs.front(), seqs.back()));
    }
    return set;
}

inline Status apply_set(Env& env, const SegmentSetState& next) {
    KLOG_TRY_ASSIGN(const auto set, SegmentSet::open(env, "/data", "klog test"));
    return set->apply(next);
}

inline SegmentSetState read_set(Env& env) {
    const auto set = SegmentSet::open(env, "/data", "klog test");
    REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return *set.value()->state();
}

inline Status seal(Env& env, Wal& wal, std::uint64_t wal_id) {
    return apply_set(env, sealed_set(wal, read_set(env), wal_id));
}

inline Result<Wal::Opened> open_with_set(Env& env) {
    KLOG_TRY_ASSIGN(const auto set, SegmentSet::open(env, "/data", "klog test"));
    return Wal::open(env, workload_options(), *set->state());
}

// A store of some files with seqs from 1 on, which still lives.
struct LivingWal {
    SimEnv env;
    std::unique_ptr<Wal> wal;
    std::uint64_t last_seq = 0;

    explicit LivingWal(std::uint64_t files, std::uint64_t seed = 1) : env(seed) {
        auto opened = Wal::open(env, workload_options(), {});
        REQUIRE(opened.ok());
        wal = std::move(opened->wal);
        while (wal->files().size() < files) commit();
        commit();
    }
    void commit() {
        Frame frame = numbered_frame(++last_seq, 1, WalWorkload::kValueBytes);
        REQUIRE(commit_one(*wal, frame).outcome == CommitOutcome::durable);
        REQUIRE(wal->prepare_spares().ok());
    }
    void die() {
        wal.reset();
        env.crash_lose_all();
    }
};

// A set that says that all up to `sealed` of `files` files is sealed; all of them are there.
struct SealedWal : LivingWal {
    explicit SealedWal(std::uint64_t files, std::uint64_t sealed, bool close = false)
        : LivingWal(files) {
        REQUIRE(seal(env, *wal, sealed).ok());
        first_left = seqs_of(*wal, sealed + 1).front();
        if (close) REQUIRE(wal->close({1, last_seq + 1}, read_set(env).number).ok());
        die();
    }
    std::uint64_t first_left = 0;
    // What the WAL still has to give.
    [[nodiscard]] std::vector<std::uint64_t> left() const {
        std::vector<std::uint64_t> seqs;
        for (std::uint64_t seq = first_left; seq <= last_seq; ++seq) seqs.push_back(seq);
        return seqs;
    }
};

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_SEALED_WAL_H
