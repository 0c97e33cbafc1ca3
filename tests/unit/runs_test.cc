#include "index/runs.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "base/coding.h"
#include "base/crc32c.h"
#include "env/sim_env.h"
#include "index/run_format.h"
#include "index/runs_merge.h"

namespace klog {
namespace {

constexpr std::array<std::uint8_t, 16> kStore{1, 2, 3};
const std::string kDir = "/index/1";

Hash128 hash_of(std::uint64_t n) {
    std::mt19937_64 random(n + 1);
    return Hash128{random(), random()};
}

std::unique_ptr<RunSet> open_set(Env& env, std::vector<std::string>* notices = nullptr) {
    std::vector<std::string> ignored;
    auto set = RunSet::open(env, kDir, kStore, notices != nullptr ? *notices : ignored);
    REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return std::move(set).value();
}

// `count` of each table, numbered from `first`; covers (after, after + 10]. What an entry holds
// depends on its number and on `after`, so that an older run's entry is told from a newer one's.
RunContents contents(std::uint64_t after, std::uint64_t first, std::uint64_t count) {
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
RunContents merged(const std::vector<RunContents>& runs) {
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

bool same(const RunContents& a, const RunContents& b) {
    return a.heads == b.heads && a.ids == b.ids && a.sessions == b.sessions &&
           a.covered_after == b.covered_after && a.covered_upto == b.covered_upto &&
           a.last_time == b.last_time && a.wal_id == b.wal_id && a.wal_offset == b.wal_offset &&
           a.settings_seq == b.settings_seq;
}

void check_holds(const RunSet& set, const RunContents& expected) {
    const auto dump = set.dump();
    REQUIRE_MESSAGE(dump.ok(), (dump.ok() ? "" : dump.error().message));
    CHECK(same(*dump, expected));
    CHECK(set.watermark().covered_upto == expected.covered_upto);
    CHECK(set.watermark().wal_id == expected.wal_id);
    CHECK(set.watermark().wal_offset == expected.wal_offset);
    CHECK(set.watermark().last_time == expected.last_time);
    CHECK(set.watermark().settings_seq == expected.settings_seq);
}

std::vector<std::string> run_files(const SimEnv& env) {
    std::vector<std::string> out;
    for (const std::string& path : env.files()) {
        if (path.find(".run") != std::string::npos) out.push_back(path);
    }
    return out;
}

}  // namespace

TEST_CASE("runs: what was added is found, also after a new start") {
    SimEnv env(1);
    const RunContents written = contents(0, 0, 1000);
    {
        auto set = open_set(env);
        CHECK(set->watermark().wal_id == 0);
        REQUIRE(set->add(written).ok());
    }
    env.crash_lose_all();  // it was durable
    std::vector<std::string> notices;
    const auto set = open_set(env, &notices);
    CHECK(notices.empty());
    check_holds(*set, written);

    std::vector<Hash128> hashes;
    for (std::uint64_t n = 0; n < 2000; n += 2) hashes.push_back(hash_of(n));
    hashes.push_back(hash_of(4));  // twice in one group
    std::vector<std::optional<HeadEntry>> heads(hashes.size(), HeadEntry{});
    std::vector<std::optional<IdEntry>> ids(hashes.size());
    REQUIRE(set->find_heads(hashes, heads).ok());
    REQUIRE(set->find_ids(hashes, ids).ok());
    const std::map<Hash128, HeadEntry> head_model(written.heads.begin(), written.heads.end());
    const std::map<Hash128, IdEntry> id_model(written.ids.begin(), written.ids.end());
    for (std::size_t i = 0; i < hashes.size(); ++i) {
        const bool there = head_model.contains(hashes[i]);
        CHECK(heads[i].has_value() == there);
        CHECK(ids[i].has_value() == there);
        if (there) CHECK(*heads[i] == head_model.at(hashes[i]));
        if (there) CHECK(*ids[i] == id_model.at(hashes[i]));
    }
    const auto session = set->find_session(hash_of(5));
    REQUIRE(session.ok());
    CHECK(*session == SessionEntry{15, Seq{3}, Version{0}, Time{0}});
    CHECK_FALSE(set->find_session(hash_of(5000))->has_value());
}

TEST_CASE("runs: blocks that are empty, full, and full with one more") {
    for (const unsigned count :
         {0U, 1U, 72U, 73U, 74U, 84U, 85U, 86U, 126U, 127U, 128U, 254U, 255U, 5000U}) {
        CAPTURE(count);
        SimEnv env(1);
        const RunContents written = contents(0, 0, count);
        REQUIRE(open_set(env)->add(written).ok());
        const auto set = open_set(env);
        check_holds(*set, written);
        for (const auto& [hash, entry] : written.heads) {
            std::optional<HeadEntry> found;
            REQUIRE(set->find_heads({&hash, 1}, {&found, 1}).ok());
            REQUIRE(found == entry);
        }
    }
}

TEST_CASE("runs: hashes that share their high half, and the smallest and greatest hash") {
    SimEnv env(1);
    RunContents written = contents(0, 0, 0);
    written.heads.emplace_back(Hash128{0, 0}, HeadEntry{EntityState::live, Version{7}, Seq{1}});
    for (std::uint64_t n = 0; n < 500; ++n) {
        written.heads.emplace_back(Hash128{5, n},
                                   HeadEntry{EntityState::deleted, Version{n}, Seq{n}});
    }
    written.heads.emplace_back(
        Hash128{UINT64_MAX, UINT64_MAX},
        HeadEntry{EntityState::closed, Version{(1ULL << 62U) - 1}, Seq{UINT64_MAX}});
    const auto set = open_set(env);
    REQUIRE(set->add(written).ok());
    for (const auto& [hash, entry] : written.heads) {
        std::optional<HeadEntry> found;
        REQUIRE(set->find_heads({&hash, 1}, {&found, 1}).ok());
        REQUIRE(found == entry);
    }
    const Hash128 absent{5, 500};
    std::optional<HeadEntry> found;
    REQUIRE(set->find_heads({&absent, 1}, {&found, 1}).ok());
    CHECK_FALSE(found.has_value());
}

TEST_CASE("runs: the newest run's entry counts") {
    SimEnv env(1);
    const auto set = open_set(env);
    std::vector<RunContents> all{contents(0, 0, 300), contents(10, 200, 300),
                                 contents(20, 100, 150)};
    for (const RunContents& run : all) REQUIRE(set->add(run).ok());
    CHECK(set->runs() == 3);
    check_holds(*set, merged(all));
    std::vector<Hash128> hashes;
    for (std::uint64_t n = 0; n < 600; ++n) hashes.push_back(hash_of(n));
    std::vector<std::optional<HeadEntry>> found(hashes.size());
    REQUIRE(set->find_heads(hashes, found).ok());
    for (std::uint64_t n = 0; n < 600; ++n) {
        CAPTURE(n);
        const std::uint64_t after = n < 100 ? 0 : n < 250 ? 20 : 10;
        REQUIRE(found[n].has_value() == (n < 500));
        if (n < 500) CHECK(found[n]->version == Version{n + after});
    }
}

TEST_CASE("runs: a filter misses nothing and lets few absent hashes pass") {
    constexpr std::uint64_t kKeys = 100'000;
    std::string filter(run_filter_bytes(kKeys), '\0');
    for (std::uint64_t n = 0; n < kKeys; ++n) run_filter_add(filter, hash_of(n));
    std::uint64_t passed = 0;
    for (std::uint64_t n = 0; n < kKeys; ++n) {
        REQUIRE(run_filter_may_hold(filter, hash_of(n)));
        if (run_filter_may_hold(filter, hash_of(n + kKeys))) ++passed;
    }
    CHECK(passed < kKeys / 50);
    CHECK(filter.size() <= kKeys * 10 / 8 + kRunFilterBlockBytes);
    CHECK(run_filter_bytes(0) == 0);
    CHECK_FALSE(run_filter_may_hold("", hash_of(1)));
}

TEST_CASE("runs: an absent hash costs no read but for the filter's few errors") {
    SimEnv env(1);
    const auto set = open_set(env);
    REQUIRE(set->add(contents(0, 0, 5000)).ok());
    std::vector<Hash128> hashes;
    for (std::uint64_t n = 0; n < 1000; ++n) hashes.push_back(hash_of(n + 100'000));
    std::vector<std::optional<HeadEntry>> found(hashes.size());
    const std::uint64_t before = env.calls(SimCall::read);
    REQUIRE(set->find_heads(hashes, found).ok());
    CHECK(env.calls(SimCall::read) - before < 30);
}

TEST_CASE("runs: a flipped bit anywhere is found and never becomes an answer") {
    SimEnv env(1);
    const RunContents written = contents(0, 0, 200);
    REQUIRE(open_set(env)->add(written).ok());
    const std::string path = kDir + "/" + run_file_name(1);
    const std::string bytes = *env.read_file(path);
    std::uint64_t dropped = 0;
    std::uint64_t refused = 0;
    for (std::uint64_t at = 0; at < bytes.size(); at += (at < 512 || at % 4096 > 4080) ? 1U : 13U) {
        CAPTURE(at);
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1U << (at % 7)));
        REQUIRE(env.write_file(path, damaged).ok());
        std::vector<std::string> notices;
        const auto set = open_set(env, &notices);
        if (set->runs() == 0) {
            REQUIRE(notices.size() == 1);
            CHECK(notices[0].find(path) != std::string::npos);
            CHECK(run_files(env).empty());
            ++dropped;
            continue;
        }
        CHECK(notices.empty());
        const auto dump = set->dump();
        REQUIRE_FALSE(dump.ok());
        CHECK(dump.error().code == Code::corrupt);
        CHECK(dump.error().message.find(path) != std::string::npos);
        CHECK(dump.error().message.find("offset " + std::to_string(at / 4096 * 4096)) !=
              std::string::npos);
        for (const auto& [hash, entry] : written.heads) {
            std::optional<HeadEntry> found;
            const Status status = set->find_heads({&hash, 1}, {&found, 1});
            if (status.ok()) {
                REQUIRE(found == entry);
            } else {
                REQUIRE(status.error().code == Code::corrupt);
            }
        }
        ++refused;
    }
    CHECK(dropped > 100);
    CHECK(refused > 100);
}

TEST_CASE("runs: a run that was cut or has grown is dropped") {
    SimEnv env(1);
    REQUIRE(open_set(env)->add(contents(0, 0, 200)).ok());
    const std::string path = kDir + "/" + run_file_name(1);
    const std::string bytes = *env.read_file(path);
    for (std::size_t size = 0; size <= bytes.size() + 1; size += 61) {
        if (size == bytes.size()) continue;
        CAPTURE(size);
        std::string cut = bytes;
        cut.resize(size, 'x');
        REQUIRE(env.write_file(path, cut).ok());
        std::vector<std::string> notices;
        CHECK(open_set(env, &notices)->runs() == 0);
        CHECK(notices.size() == 1);
    }
}

TEST_CASE("runs: blocks that changed places are found") {
    SimEnv env(1);
    REQUIRE(open_set(env)->add(contents(0, 0, 400)).ok());
    const std::string path = kDir + "/" + run_file_name(1);
    std::string bytes = *env.read_file(path);
    std::swap_ranges(bytes.begin() + 4096, bytes.begin() + 8192, bytes.begin() + 8192);
    REQUIRE(env.write_file(path, bytes).ok());
    const auto dump = open_set(env)->dump();
    REQUIRE_FALSE(dump.ok());
    CHECK(dump.error().code == Code::corrupt);
}

TEST_CASE("runs: lengths in a header are checked before anything is allocated") {
    RunHeader header;
    header.number = 1;
    header.file_bytes = kRunHeaderBytes;
    for (RunSection& section : header.sections) {
        section.blocks_offset = section.fence_offset = section.filter_offset = kRunHeaderBytes;
    }
    CHECK(decode_run_header(encode_run_header(header), "p").ok());
    for (const std::uint64_t wild : {std::uint64_t{1}, std::uint64_t{1} << 40U, UINT64_MAX}) {
        CAPTURE(wild);
        RunHeader bad = header;
        bad.sections[1].count = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[2].filter_bytes = (wild / 64 * 64) | 64U;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[0].fence_offset = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
    }
}

TEST_CASE("runs: a later format is dropped and its writer named") {
    SimEnv env(1);
    REQUIRE(env.create_dirs(kDir).ok());
    RunHeader header;
    header.number = 1;
    header.store_uuid = kStore;
    header.writer = "klog 9.9.9";
    header.incompatible_bits = 1;
    REQUIRE(env.write_file(kDir + "/" + run_file_name(1), encode_run_header(header)).ok());
    std::vector<std::string> notices;
    CHECK(open_set(env, &notices)->runs() == 0);
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("klog 9.9.9") != std::string::npos);
}

TEST_CASE("runs: what does not reach back to the start, or is another store's, is removed") {
    SimEnv env(1);
    {
        const auto set = open_set(env);
        for (std::uint64_t i = 0; i < 4; ++i) REQUIRE(set->add(contents(i * 10, 0, 20)).ok());
    }
    REQUIRE(env.remove(kDir + "/" + run_file_name(3)).ok());
    std::vector<std::string> notices;
    CHECK(open_set(env, &notices)->watermark().covered_upto == Seq{20});
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("behind a hole") != std::string::npos);
    CHECK(run_files(env).size() == 2);

    std::vector<std::string> more;
    const auto other = RunSet::open(env, kDir, {9}, more);
    REQUIRE(other.ok());
    CHECK((*other)->runs() == 0);
    CHECK(more.size() == 2);
    CHECK(run_files(env).empty());
}

TEST_CASE("runs: other files in the folder are left alone") {
    SimEnv env(1);
    REQUIRE(env.create_dirs(kDir).ok());
    REQUIRE(env.write_file(kDir + "/keys.db", "x").ok());
    REQUIRE(env.write_file(kDir + "/1.run", "x").ok());
    const auto set = open_set(env);
    REQUIRE(set->add(contents(0, 0, 5)).ok());
    REQUIRE(set->reset().ok());
    CHECK(set->runs() == 0);
    CHECK(*env.exists(kDir + "/keys.db"));
    CHECK(*env.exists(kDir + "/1.run"));
    CHECK_FALSE(*env.exists(kDir + "/" + run_file_name(1)));
}

TEST_CASE("runs: a folder that cannot be listed is an empty set with a notice") {
    SimEnv env(1);
    REQUIRE(open_set(env)->add(contents(0, 0, 5)).ok());
    env.inject({.kinds = {SimCall::list_dir}});
    std::vector<std::string> notices;
    CHECK(open_set(env, &notices)->runs() == 0);
    CHECK(notices.size() == 1);
    CHECK(open_set(env)->runs() == 1);
}

TEST_CASE("runs: a run that cannot be read just now is not removed") {
    SimEnv env(1);
    REQUIRE(open_set(env)->add(contents(0, 0, 5)).ok());
    env.inject({.kinds = {SimCall::read}});
    std::vector<std::string> notices;
    CHECK(open_set(env, &notices)->runs() == 0);
    CHECK(notices.size() == 1);
    CHECK(open_set(env)->runs() == 1);
}

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
        all.push_back(contents(all.size() * 10, 0, 10));
        REQUIRE(set->add(all.back()).ok());
    }
    REQUIRE(set->merge(Time{1000}).ok());
    const auto dump = set->dump();
    REQUIRE(dump.ok());
    CHECK(dump->heads == merged(all).heads);
    CHECK(dump->ids == merged(all).ids);
    CHECK(dump->sessions.size() < merged(all).sessions.size());
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
