#include "index/runs.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "base/coding.h"
#include "base/crc32c.h"
#include "env/sim_env.h"
#include "index/run_format.h"
#include "tests/support/run_contents.h"

namespace klog {

using namespace run_contents;

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

TEST_CASE("runs: any number of entries, from none to many buckets") {
    for (const unsigned count : {0U, 1U, 2U, 15U, 16U, 17U, 31U, 32U, 33U, 255U, 256U, 5000U}) {
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
    CHECK(filter.size() <= kKeys * kRunFilterBitsPerKey / 8 + kRunFilterBlockBytes);
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
    for (std::uint64_t at = 0; at < bytes.size(); at += at < 600 ? 1U : 13U) {
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
        const std::string& message = dump.error().message;
        const std::size_t offset_at = message.find("offset ") + 7;
        REQUIRE(offset_at >= 7);
        const std::uint64_t offset = std::stoull(message.substr(offset_at));
        CHECK(offset <= at);
        CHECK(at - offset < 64 * kRunBucketEntries);  // the bucket that holds it
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

TEST_CASE("runs: buckets that changed places are found") {
    SimEnv env(1);
    RunContents written = contents(0, 0, 0);
    const std::uint64_t top = 1ULL << 63U;
    for (std::uint64_t n = 0; n < kRunBucketEntries; ++n) {
        const std::uint64_t half = n < kRunBucketEntries / 2 ? 0 : top;
        written.heads.emplace_back(Hash128{half, n},
                                   HeadEntry{EntityState::live, Version{1}, Seq{n + 1}});
    }
    REQUIRE(run_buckets(written.heads.size()) == 2);
    REQUIRE(open_set(env)->add(written).ok());
    const std::string path = kDir + "/" + run_file_name(1);
    std::string moved = *env.read_file(path);
    const auto header = decode_run_header(moved, path);
    REQUIRE(header.ok());
    const RunLayout layout = run_layout(RunTable::heads, header->sections[0]);
    const auto bucket = static_cast<std::ptrdiff_t>(kRunBucketEntries / 2 * layout.entry_bytes +
                                                    kRunBucketCrcBytes);
    const auto first = moved.begin() + static_cast<std::ptrdiff_t>(kRunHeaderBytes);
    std::swap_ranges(first, first + bucket, first + bucket);
    REQUIRE(env.write_file(path, moved).ok());
    const auto dump = open_set(env)->dump();
    REQUIRE_FALSE(dump.ok());
    CHECK(dump.error().code == Code::corrupt);
    CHECK(dump.error().message.find("checksum") != std::string::npos);
}

TEST_CASE("runs: lengths in a header are checked before anything is allocated") {
    RunHeader header;
    header.number = 1;
    header.file_bytes = kRunHeaderBytes;
    for (RunSection& section : header.sections) {
        section.entries_offset = section.starts_offset = section.filter_offset = kRunHeaderBytes;
    }
    CHECK(decode_run_header(encode_run_header(header), "p").ok());
    for (const std::uint64_t wild : {std::uint64_t{1}, std::uint64_t{1} << 40U, UINT64_MAX}) {
        CAPTURE(wild);
        RunHeader bad = header;
        bad.sections[1].count = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[1].count = 1;
        bad.sections[1].buckets = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[2].filter_bytes = (wild / 64 * 64) | 64U;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[0].starts_offset = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
        bad = header;
        bad.sections[0].least[0] = wild;
        CHECK(decode_run_header(encode_run_header(bad), "p").error().code == Code::corrupt);
    }
}

TEST_CASE("runs: numbers take the bytes that they need, and come back as they were") {
    const std::vector<std::uint64_t> wanted{0,     1,     255,         256,
                                            65535, 65536, 1ULL << 24U, (1ULL << 62U) - 1};
    for (std::size_t most = 0; most < wanted.size(); ++most) {
        CAPTURE(most);
        SimEnv env(1);
        RunContents written = contents(0, 0, 0);
        for (std::size_t n = 0; n <= most; ++n) {
            written.heads.emplace_back(Hash128{n << 50U, n},
                                       HeadEntry{EntityState::closed, Version{wanted[n]}, Seq{n}});
            const std::int64_t time = n % 2 == 0 ? -1 : static_cast<std::int64_t>(wanted[n]);
            written.ids.emplace_back(Hash128{n << 50U, n},
                                     IdEntry{Hash128{n, n}, Seq{UINT64_MAX - wanted[n]},
                                             Version{wanted[n]}, Time{time}});
        }
        REQUIRE(open_set(env)->add(written).ok());
        check_holds(*open_set(env), written);
    }
    RunSection section;
    section.greatest = {255, 256, 0, 0};
    CHECK(run_layout(RunTable::heads, section).entry_bytes == kRunHashBytes + 1 + 2);
}

TEST_CASE("runs: one of an older format is removed, and its writer named") {
    SimEnv env(1);
    REQUIRE(env.create_dirs(kDir).ok());
    RunHeader header;
    header.number = 1;
    header.format = header.min_reader = 1;
    header.store_uuid = kStore;
    header.writer = "klog 0.0.9";
    REQUIRE(env.write_file(kDir + "/" + run_file_name(1), encode_run_header(header)).ok());
    std::vector<std::string> notices;
    const auto set = open_set(env, &notices);
    CHECK(set->runs() == 0);
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("written by klog 0.0.9 in format 1") != std::string::npos);
    CHECK(notices[0].find("removed") != std::string::npos);
    CHECK(run_files(env).empty());
    REQUIRE(set->add(contents(0, 0, 5)).ok());
    check_holds(*set, contents(0, 0, 5));
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

}  // namespace klog
