// Which followers get what of a batch, and of many batches in one group.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "klog/log.h"
#include "log/frame_source.h"
#include "support/log_helpers.h"
#include "support/temp_folder.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct Fixture {
    SimEnv env{7};
    std::unique_ptr<Store> store;

    Fixture() {
        StoreOptions options;
        options.dir = "/data";
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    Log& log() { return store->default_log(); }

    std::unique_ptr<Reader> follow(const std::string& filter, const std::string& key = {}) {
        ReadOptions options;
        options.filters = {filter};
        if (!key.empty()) options.key = key;
        options.follow = true;
        auto reader = log().read(options);
        REQUIRE(reader.ok());
        CHECK(read_all(**reader)->empty());
        return std::move(reader).value();
    }
};

// "topic key value" of each record.
std::vector<std::string> texts(Reader& reader) {
    std::vector<std::string> all;
    const auto read = read_all(reader);
    for (const Got& got : *read) {
        all.push_back(fmt::format("{} {} {}", got.topic, got.key, got.value));
    }
    return all;
}

using Texts = std::vector<std::string>;

// Of this process, below that folder.
std::size_t open_files(const std::filesystem::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        const std::string path = std::filesystem::read_symlink(entry.path(), gone).string();
        if (!gone && path.starts_with(folder.string())) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("log followers: what a batch has refused or known in between shifts nothing") {
    Fixture f;
    write_one(f.log(), {"a/0", "k0", "0", "id-0"});
    const auto of_topic = f.follow("a/1");
    const auto of_key = f.follow("a/>", "k2");
    const auto of_any = f.follow("*/3/#");
    const auto of_none = f.follow("b/>");
    const auto results = write(f.log(), {{"a/0", "k0", "0", "id-0"},
                                         {"a/1", "k1", "1"},
                                         {"a/1", "k1", "2", "", expect_version(9)},
                                         {"a/1", "k2", "3"},
                                         {"a/1/", "k2", "4"},
                                         {"a/3", "k2", "5"},
                                         {"a/3", "", "6"}});
    CHECK(results[0].outcome == Outcome::duplicate);
    CHECK(results[2].outcome == Outcome::refused);
    CHECK(results[4].outcome == Outcome::refused);
    CHECK(texts(*of_topic) == Texts{"a/1 k1 1", "a/1 k2 3"});
    CHECK(texts(*of_key) == Texts{"a/1 k2 3", "a/3 k2 5"});
    CHECK(texts(*of_any) == Texts{"a/3 k2 5", "a/3  6"});
    CHECK(texts(*of_none).empty());
}

TEST_CASE("log followers: a batch of many frames reaches each of a thousand in order") {
    constexpr int kFollowers = 1000;
    constexpr int kEach = 3;
    Fixture f;
    std::vector<std::unique_ptr<Reader>> readers;
    for (int i = 0; i < kFollowers; ++i) {
        const bool by_key = i % 2 == 0;
        readers.push_back(by_key ? f.follow("f/>", fmt::format("k{}", i))
                                 : f.follow(fmt::format("*/{}/x*", i)));
    }
    // Larger than a frame, so that it becomes several.
    const std::string value = "\"" + std::string(200, 'v') + "\"";
    std::vector<Put> puts;
    for (int round = 0; round < kEach; ++round) {
        for (int i = 0; i < kFollowers; ++i) {
            puts.push_back({fmt::format("f/{}/x{}", i, round), fmt::format("k{}", i), value});
            puts.push_back({fmt::format("n/not{}/x", i), fmt::format("q{}", i), value});
        }
    }
    for (const WriteResult& result : write(f.log(), puts)) {
        if (result.outcome != Outcome::written) FAIL(result.error->message);
    }
    for (int i = 0; i < kFollowers; ++i) {
        Texts wanted;
        for (int round = 0; round < kEach; ++round) {
            wanted.push_back(fmt::format("f/{}/x{} k{} {}", i, round, i, value));
        }
        if (texts(*readers[static_cast<std::size_t>(i)]) != wanted) FAIL("wrong for " << i);
    }
}

// Of a follower, and of one who asks for the newest record of each key first.
TEST_CASE("log followers: a crowd that fell behind keeps few files open, and misses nothing") {
    bool newest = false;
    SUBCASE("of all") {}
    SUBCASE("of the newest") { newest = true; }
    constexpr std::size_t kReaders = 3 * FrameSource::kOpenReadersMax;
    constexpr std::uint64_t kRecords = 500;
    const TempFolder folder;
    const auto env = make_posix_env();
    StoreOptions options;
    options.dir = folder.path().string();
    options.tail_cache_bytes = 0;
    const auto opened = Store::open(*env, options);
    REQUIRE(opened.ok());
    Log& log = (*opened)->default_log();
    const std::string value = "\"" + std::string(1000, 'v') + "\"";
    std::vector<Put> puts;
    for (std::uint64_t i = 0; i < kRecords; ++i) {
        puts.push_back({"f/1", "k" + std::to_string(i), value});
    }
    static_cast<void>(write(log, puts));
    write_one(log, {"g/1", "k"});  // so that the cache has let go of them
    const std::size_t before = open_files(folder.path());
    ReadOptions read;
    read.filters = {"f/>"};
    read.follow = true;
    read.newest_per_key = newest;
    struct Place {
        std::unique_ptr<Reader> reader;
        std::uint64_t next = 1;
    };
    std::vector<Place> places(kReaders);
    for (Place& place : places) place.reader = std::move(log.read(read)).value();
    // Each stops in the middle of a frame, in turn, and goes on there.
    bool more = true;
    for (int round = 0; more && round < 1000; ++round) {
        more = false;
        for (Place& place : places) {
            const auto chunk = place.reader->read(30'000, 20);
            REQUIRE(chunk.ok());
            for (const RecordView& record : chunk->records) {
                if (record.seq.value != place.next++)
                    FAIL("not what comes next: " << record.seq.value);
            }
            more = more || place.next <= kRecords;
        }
        CHECK(open_files(folder.path()) <= before + FrameSource::kOpenReadersMax);
    }
    for (const Place& place : places) CHECK(place.next == kRecords + 1);
    write_one(log, {"f/1", "k", "7"});
    for (const Place& place : places) CHECK(texts(*place.reader) == Texts{"f/1 k 7"});
}
