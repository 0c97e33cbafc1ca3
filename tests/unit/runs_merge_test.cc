#include "index/runs_merge.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "env/sim_env.h"
#include "index/run_format.h"
#include "index/runs.h"
#include "tests/support/run_contents.h"

namespace klog {

using namespace run_contents;

TEST_CASE("runs: merging keeps the newest of everything and drops old sessions") {
    SimEnv env(1);
    const auto set = open_set(env);
    std::vector<RunContents> all;
    std::uint64_t generation = set->generation();
    for (std::uint64_t i = 0; i < 30; ++i) {
        all.push_back(contents(i * 10, i * 37 % 500, 120));
        REQUIRE(set->add(all.back()).ok());
        CHECK(set->generation() > generation);
        generation = set->generation();
        REQUIRE(set->merge(Time{-1}).ok());
        CHECK(set->runs() <= RunSet::kRunsMax);
        CHECK(run_files(env).size() == set->runs());
        check_holds(*set, merged(all));
    }
    check_holds(*open_set(env), merged(all));

    while (set->runs() <= RunSet::kRunsMax) {
        all.push_back(contents(all.size() * 10, 5000, 10));  // known to none of the others
        REQUIRE(set->add(all.back()).ok());
    }
    REQUIRE(set->merge(Time{1000}).ok());
    const auto dump = set->dump();
    REQUIRE(dump.ok());
    CHECK(dump->heads == merged(all).heads);
    CHECK(dump->ids == merged(all).ids);
    CHECK(dump->sessions.size() < merged(all).sessions.size());
}

TEST_CASE("runs: a merged run has the filter of what it holds, not of all that went into it") {
    SimEnv env(1);
    const auto set = open_set(env);
    // The same entities again and again, and a tenth of new ones each time.
    constexpr std::uint64_t kEach = 4'000;
    for (std::uint64_t i = 0; i <= RunSet::kRunsMax; ++i) {
        REQUIRE(set->add(contents(i * 10, i * kEach / 10, kEach)).ok());
    }
    REQUIRE(set->merge(Time{-1}).ok());
    const auto files = run_files(env);
    REQUIRE(files.size() < RunSet::kRunsMax);
    for (const std::string& path : files) {
        const auto run = RunFile::open(env, path, run_number_of(path.substr(kDir.size() + 1)));
        REQUIRE(run.ok());
        for (const RunTable table : {RunTable::heads, RunTable::ids, RunTable::sessions}) {
            const RunSection& section = (*run)->section(table);
            CHECK(section.filter_bytes * 10 < run_filter_bytes(section.count) * 11);
            CHECK(section.filter_bytes * 10 > run_filter_bytes(section.count) * 9);
            CHECK(section.buckets * 10 < run_buckets(section.count) * 11);
        }
    }
}

TEST_CASE("runs: hashes that are not spread make a merge slower, not wrong") {
    SimEnv env(1);
    const auto set = open_set(env);
    std::vector<RunContents> all;
    for (std::uint64_t i = 0; i <= RunSet::kRunsMax; ++i) {
        all.push_back(contents(i * 10, 0, 0));
        for (std::uint64_t n = 0; n < 20'000; ++n) {
            const Hash128 hash{n < 10 ? n : UINT64_MAX, n * (i + 1)};
            all.back().heads.emplace_back(hash, HeadEntry{EntityState::live, Version{i}, Seq{n}});
        }
        REQUIRE(set->add(all.back()).ok());
    }
    REQUIRE(set->merge(Time{-1}).ok());
    check_holds(*set, merged(all));
}

TEST_CASE("runs: a merge in parts goes on beside what is added, and is left behind by none") {
    SimEnv env(1);
    auto set = open_set(env);
    std::vector<RunContents> all;
    const auto add = [&](std::uint64_t first, std::uint64_t count) {
        all.push_back(contents(all.size() * 10, first, count));
        REQUIRE(set->add(all.back()).ok());
    };
    // Together larger than what one part writes.
    for (std::uint64_t i = 0; i <= RunSet::kRunsMax; ++i) add(i * 5000, 12'000);
    const auto begun = set->merge_step(Time{-1});
    REQUIRE(begun.ok());
    CHECK(*begun);
    CHECK(set->runs() == RunSet::kRunsMax + 1);
    CHECK(run_files(env).size() == set->runs() + 1);
    // So much behind it that another merge has to come first.
    for (std::uint64_t i = 0; i <= RunSet::kRunsMax; ++i) add(i * 10, 50);
    const std::size_t before = set->runs();
    REQUIRE(*set->merge_step(Time{-1}));
    CHECK(set->runs() < before);
    check_holds(*set, merged(all));
    SUBCASE("to its end") {
        REQUIRE(set->merge(Time{-1}).ok());
        CHECK(set->runs() <= RunSet::kRunsMax);
        check_holds(*set, merged(all));
    }
    SUBCASE("then it is forgotten, and leaves nothing") {
        set.reset();
        std::vector<std::string> notices;
        set = open_set(env, &notices);
        CHECK(notices.empty());
    }
    SUBCASE("then the power fails") {
        env.crash_lose_all();
        std::vector<std::string> notices;
        set = open_set(env, &notices);
        CHECK(set->watermark().covered_upto == all.back().covered_upto);
    }
    SUBCASE("then all is reset") {
        REQUIRE(set->reset().ok());
        CHECK(run_files(env).empty());
        CHECK_FALSE(*set->merge_step(Time{-1}));
        all = {contents(0, 0, 10)};
        REQUIRE(set->add(all.back()).ok());
    }
    check_holds(*set, merged(all));
    CHECK(run_files(env).size() == set->runs());
}

TEST_CASE("runs: lookups beside a reset see all or nothing") {
    SimEnv env(6);
    const auto set = open_set(env);
    REQUIRE(set->add(contents(0, 0, 300)).ok());
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> wrong{0};
    std::jthread reader([&] {
        std::vector<Hash128> hashes;
        for (std::uint64_t n = 0; n < 300; n += 7) hashes.push_back(hash_of(n));
        std::vector<std::optional<HeadEntry>> found(hashes.size());
        while (!stop) {
            if (!set->find_heads(hashes, found).ok()) ++wrong;
            for (const auto& head : found) wrong += head.has_value() != found[0].has_value();
        }
    });
    for (int i = 0; i < 50; ++i) {
        REQUIRE(set->reset().ok());
        REQUIRE(set->add(contents(0, 0, 300)).ok());
    }
    stop = true;
    reader.join();
    CHECK(wrong == 0);
}

TEST_CASE("runs: merging writes each byte a bounded number of times") {
    std::vector<std::uint64_t> sizes;
    std::uint64_t written = 0;
    constexpr std::uint64_t kAdded = 1000;
    for (std::uint64_t i = 0; i < kAdded; ++i) {
        sizes.push_back(100);
        written += 100;
        while (sizes.size() > RunSet::kRunsMax) {
            const auto [first, last] = merge_window(sizes);
            REQUIRE(first + 1 < last);
            REQUIRE(last <= sizes.size());
            std::uint64_t sum = 0;
            for (std::size_t at = first; at < last; ++at) sum += sizes[at];
            written += sum;
            sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(first),
                        sizes.begin() + static_cast<std::ptrdiff_t>(last));
            sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(first), sum);
        }
    }
    CHECK(written <= 6 * kAdded * 100);
}

namespace {

// A set of kRunsMax runs on a disk of its own, and what happens to it: one run more, and a merge.
struct Scene {
    std::unique_ptr<SimEnv> env;
    std::vector<RunContents> before;
    RunContents added;
};

Scene make_scene() {
    Scene scene;
    scene.env = std::make_unique<SimEnv>(7);
    const auto set = open_set(*scene.env);
    for (std::uint64_t i = 0; i < RunSet::kRunsMax; ++i) {
        scene.before.push_back(contents(i * 10, i * 50, 150));
        REQUIRE(set->add(scene.before.back()).ok());
    }
    scene.added = contents(RunSet::kRunsMax * 10, 20, 200);
    return scene;
}

void check_old_or_new(const RunSet& set, const Scene& scene) {
    std::vector<RunContents> after = scene.before;
    after.push_back(scene.added);
    const bool is_new = set.watermark().covered_upto == scene.added.covered_upto;
    check_holds(set, merged(is_new ? after : scene.before));
}

}  // namespace

TEST_CASE("runs: a crash at any call of an add and a merge leaves the old set or the new one") {
    const Scene scene = make_scene();
    bool finished = false;
    for (std::uint64_t call = 1; !finished; ++call) {
        CAPTURE(call);
        const auto env = scene.env->clone(call);
        bool acked = false;
        {
            const auto set = open_set(*env);
            env->crash_at_call(env->calls() + call);
            acked = set->add(scene.added).ok();
            finished = acked && set->merge(Time{-1}).ok();
        }
        for (int way = 0; way < 6; ++way) {
            CAPTURE(way);
            const auto end = env->clone(call * 10 + static_cast<std::uint64_t>(way));
            if (way == 0) {
                end->crash_lose_all();
            } else if (way == 1) {
                end->crash_keep_all();
            } else if (way == 2) {
                end->kill();
            } else {
                end->crash();
            }
            std::vector<std::string> notices;
            {
                const auto set = open_set(*end, &notices);
                if (acked) CHECK(set->watermark().covered_upto == scene.added.covered_upto);
                check_old_or_new(*set, scene);
                CHECK(run_files(*end).size() == set->runs());
            }
            check_old_or_new(*open_set(*end), scene);
        }
        REQUIRE(call < 500);
    }
}

TEST_CASE("runs: a call that fails leaves a sound set that can go on") {
    const Scene scene = make_scene();
    for (const Code code : {Code::io, Code::disk_full}) {
        bool failed = true;
        for (std::uint64_t call = 0; failed; ++call) {
            CAPTURE(call);
            const auto env = scene.env->clone(call);
            const auto set = open_set(*env);
            env->inject({.kinds = {}, .skip = call, .code = code});
            const Status added = set->add(scene.added);
            if (!added.ok()) CHECK(added.error().code == code);
            const Status merged_status = added.ok() ? set->merge(Time{-1}) : Status{};
            if (!merged_status.ok()) CHECK(merged_status.error().code == code);
            failed = !added.ok() || !merged_status.ok();
            env->clear_faults();
            check_old_or_new(*set, scene);
            if (!added.ok()) REQUIRE(set->add(scene.added).ok());
            REQUIRE(set->merge(Time{-1}).ok());
            CHECK(set->runs() <= RunSet::kRunsMax);
            CHECK(set->watermark().covered_upto == scene.added.covered_upto);
            check_old_or_new(*set, scene);
            env->crash();
            const auto again = open_set(*env);
            CHECK(again->watermark().covered_upto == scene.added.covered_upto);
            check_old_or_new(*again, scene);
            REQUIRE(call < 500);
        }
    }
}

TEST_CASE("runs: a full disk is told and leaves nothing behind") {
    SimEnv env(3);
    const auto set = open_set(env);
    REQUIRE(set->add(contents(0, 0, 100)).ok());
    env.set_capacity(env.used_bytes() + 5000);
    const Status status = set->add(contents(10, 0, 1000));
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::disk_full);
    CHECK(run_files(env).size() == 1);
}

TEST_CASE("runs: lookups beside merges see one consistent set") {
    SimEnv env(5);
    const auto set = open_set(env);
    REQUIRE(set->add(contents(0, 0, 300)).ok());
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> wrong{0};
    std::vector<std::jthread> readers;
    for (int reader = 0; reader < 2; ++reader) {
        readers.emplace_back([&] {
            std::vector<Hash128> hashes;
            for (std::uint64_t n = 0; n < 300; n += 11) hashes.push_back(hash_of(n));
            std::vector<std::optional<HeadEntry>> found(hashes.size());
            while (!stop) {
                if (!set->find_heads(hashes, found).ok()) ++wrong;
                // A whole run is visible, or nothing of it.
                const std::uint64_t version = found[0] ? found[0]->version.value : 0;
                for (std::size_t i = 0; i < found.size(); ++i) {
                    if (!found[i] || found[i]->version.value != version + i * 11) ++wrong;
                }
            }
        });
    }
    for (std::uint64_t i = 1; i < 40; ++i) {
        REQUIRE(set->add(contents(i * 10, 0, 300)).ok());
        REQUIRE(set->merge(Time{-1}).ok());
    }
    stop = true;
    readers.clear();
    CHECK(wrong == 0);
}

}  // namespace klog
