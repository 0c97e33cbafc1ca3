// Runs for tests: what goes into them, and what must come out.
#ifndef KLOG_TESTS_SUPPORT_RUN_CONTENTS_H
#define KLOG_TESTS_SUPPORT_RUN_CONTENTS_H

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "index/runs.h"

namespace klog::run_contents {

inline constexpr std::array<std::uint8_t, 16> kStore{1, 2, 3};
inline const std::string kDir = "/index/1";

inline Hash128 hash_of(std::uint64_t n) {
    std::mt19937_64 random(n + 1);
    return Hash128{random(), random()};
}

inline std::unique_ptr<RunSet> open_set(Env& env, std::vector<std::string>* notices = nullptr) {
    std::vector<std::string> ignored;
    auto set = RunSet::open(env, kDir, kStore, notices != nullptr ? *notices : ignored);
    REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return std::move(set).value();
}

// `count` of each table, numbered from `first`; covers (after, after + 10]. What an entry holds
// depends on its number and on `after`, so that an older run's entry is told from a newer one's.
inline RunContents contents(std::uint64_t after, std::uint64_t first, std::uint64_t count) {
    std::map<Hash128, HeadEntry> heads;
    std::map<Hash128, IdEntry> ids;
    std::map<Hash128, SessionEntry> sessions;
    for (std::uint64_t n = first; n < first + count; ++n) {
        const Time time{static_cast<std::int64_t>(after)};
        heads[hash_of(n)] = {static_cast<EntityState>(1 + n % 3), Version{n + after},
                             Seq{after + 1}};
        ids[hash_of(n)] = {hash_of(n * 7 + after), Seq{after + 2}, Version{n}, time};
        sessions[hash_of(n)] = {n * 3, Seq{after + 3}, Version{after}, time};
    }
    RunContents out;
    out.heads.assign(heads.begin(), heads.end());
    out.ids.assign(ids.begin(), ids.end());
    out.sessions.assign(sessions.begin(), sessions.end());
    out.covered_after = Seq{after};
    out.covered_upto = Seq{after + 10};
    out.last_time = Time{static_cast<std::int64_t>(after + 100)};
    out.wal_id = after / 10 + 1;
    out.wal_offset = after * 64 + 4096;
    out.settings_seq = after + 1;
    return out;
}

// What a set that took these runs, oldest first, must hold.
inline RunContents merged(const std::vector<RunContents>& runs) {
    RunContents out;
    std::map<Hash128, HeadEntry> heads;
    std::map<Hash128, IdEntry> ids;
    std::map<Hash128, SessionEntry> sessions;
    for (const RunContents& run : runs) {
        for (const auto& [hash, entry] : run.heads) heads[hash] = entry;
        for (const auto& [hash, entry] : run.ids) ids[hash] = entry;
        for (const auto& [hash, entry] : run.sessions) sessions[hash] = entry;
    }
    if (!runs.empty()) out = runs.back();
    out.covered_after = Seq{};
    out.heads.assign(heads.begin(), heads.end());
    out.ids.assign(ids.begin(), ids.end());
    out.sessions.assign(sessions.begin(), sessions.end());
    return out;
}

inline bool same(const RunContents& a, const RunContents& b) {
    return a.heads == b.heads && a.ids == b.ids && a.sessions == b.sessions &&
           a.covered_after == b.covered_after && a.covered_upto == b.covered_upto &&
           a.last_time == b.last_time && a.wal_id == b.wal_id && a.wal_offset == b.wal_offset &&
           a.settings_seq == b.settings_seq;
}

inline void check_holds(const RunSet& set, const RunContents& expected) {
    const auto dump = set.dump();
    REQUIRE_MESSAGE(dump.ok(), (dump.ok() ? "" : dump.error().message));
    CHECK(same(*dump, expected));
    CHECK(set.watermark().covered_upto == expected.covered_upto);
    CHECK(set.watermark().wal_id == expected.wal_id);
    CHECK(set.watermark().wal_offset == expected.wal_offset);
    CHECK(set.watermark().last_time == expected.last_time);
    CHECK(set.watermark().settings_seq == expected.settings_seq);
}

inline std::vector<std::string> run_files(const SimEnv& env) {
    std::vector<std::string> out;
    for (const std::string& path : env.files()) {
        if (path.find(".run") != std::string::npos) out.push_back(path);
    }
    return out;
}

}  // namespace klog::run_contents

#endif  // KLOG_TESTS_SUPPORT_RUN_CONTENTS_H
