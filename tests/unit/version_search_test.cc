// Versions of a key from either end: what a naive look gives, wherever the records lie, and without
// reading what lies between.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/random_history.h"

using namespace klog;
using namespace klog::test;

namespace {

struct VersionHistory : RandomHistory {
    using RandomHistory::RandomHistory;

    [[nodiscard]] std::vector<Got> all_of(const std::string& space, const std::string& key) const {
        std::vector<Got> found;
        for (const Got& record : written) {
            const bool same = record.topic.substr(0, record.topic.find('/')) == space;
            if (same && record.key == key) found.push_back(record);
        }
        return found;
    }
    void check(const std::string& space, const std::string& key) {
        CAPTURE(space);
        CAPTURE(key);
        const std::vector<Got> all = all_of(space, key);
        HistoryOptions asked;
        asked.space = space;
        asked.key = key;
        if (random() % 2 == 0) asked.first = Version{random() % (all.size() + 2)};
        if (random() % 2 == 0) asked.last = Version{asked.first.value + random() % 20};
        if (random() % 2 == 0) asked.newest = random() % 20;
        CAPTURE(asked.first.value);
        CAPTURE(asked.last.value);
        CAPTURE(asked.newest);
        const auto reader = log().history(asked);
        if (all.empty()) {
            REQUIRE_FALSE(reader.ok());
            CHECK(reader.error().code == Code::not_found);
            return;
        }
        std::vector<Got> wanted;
        for (const Got& record : all) {
            if (record.version < asked.first.value || record.version > asked.last.value) continue;
            wanted.push_back(record);
        }
        while (wanted.size() > asked.newest) wanted.erase(wanted.begin());
        REQUIRE_MESSAGE(reader.ok(), reader.error().message);
        const auto got = read_all(**reader, 1 + random() % 50);
        REQUIRE_MESSAGE(got.ok(), got.error().message);
        CHECK(*got == wanted);

        const std::uint64_t version = 1 + random() % (all.size() + 1);
        const auto one = log().get(space, key, Version{version});
        CHECK(one.ok() == (version <= all.size()));
        if (one.ok()) CHECK(copy(one->view) == all[version - 1]);
    }
    void check_some() {
        for (int i = 0; i < 30; ++i) {
            const std::string space(random() % 2 == 0 ? "a" : "b");
            check(space, random() % 2 == 0 ? "hot" + std::to_string(random() % 3)
                                           : "cold" + std::to_string(random() % 310));
        }
    }
};

}  // namespace

TEST_CASE("versions: random histories, sealed or not, through restarts and damaged indexes") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        VersionHistory history(seed, 64ULL * 1024 << (seed % 3),
                               seed % 4 == 0 ? 1ULL << 30U : 4096);
        for (int life = 0; life < 3; ++life) {
            CAPTURE(life);
            history.fill(200 + history.random() % 3000);
            history.check_some();
            if (history.random() % 2 == 0) history.maintain();
            history.fill(1 + history.random() % 300);
            history.check_some();
            history.spoil_an_index();
            history.check_some();
            history.end_life();
            history.spoil_an_index();
            history.open();
            history.check_some();
        }
    }
}

TEST_CASE("versions: any of a long history costs a few reads, sealed or not") {
    for (const bool sealed : {false, true}) {
        CAPTURE(sealed);
        VersionHistory history(2, 1U << 20U, sealed ? 4096 : 1ULL << 30U);
        constexpr std::uint64_t kVersions = 10'000;
        for (std::uint64_t i = 0; i < kVersions; i += 100) {
            std::vector<Put> puts;
            for (int k = 0; k < 100; ++k) {
                // Nothing that packs well.
                std::string value(1800, 'x');
                for (char& byte : value) byte = static_cast<char>('a' + history.random() % 26);
                puts.push_back({.topic = "a/1", .key = "hot", .value = value});
                puts.push_back({.topic = "a/2", .key = "k" + std::to_string(i), .value = "2"});
            }
            write(history.log(), puts);
        }
        history.maintain();
        const auto reads_of = [&](std::uint64_t first, std::uint64_t last, std::uint64_t newest) {
            // Nothing in memory from before.
            REQUIRE(history.store->close().ok());
            history.open();
            const std::uint64_t before = history.env.calls(SimCall::read);
            const auto reader =
                history.log().history({"a", "hot", Version{first}, Version{last}, newest});
            REQUIRE(reader.ok());
            const auto got = read_all(**reader);
            REQUIRE(got.ok());
            CHECK(got->size() == 10);
            return history.env.calls(SimCall::read) - before;
        };
        const std::uint64_t all = ~0ULL;
        REQUIRE(history.log().head() > Seq{2 * kVersions - 1});
        const std::vector<std::uint64_t> reads = {reads_of(1, all, 10), reads_of(1, 10, all),
                                                  reads_of(kVersions / 2, kVersions / 2 + 9, all),
                                                  reads_of(kVersions - 9, all, all)};
        const auto whole = history.log().history({"a", "hot"});
        const std::uint64_t before = history.env.calls(SimCall::read);
        REQUIRE(read_all(**whole)->size() == kVersions);
        const std::uint64_t reads_of_all = history.env.calls(SimCall::read) - before;
        MESSAGE("reads: ", reads_of_all, "; of ten versions: ", reads[0], " ", reads[1], " ",
                reads[2], " ", reads[3]);
        // Opening footers and indexes included; a scan up to the middle would be half of it all.
        CHECK(reads_of_all > 100);
        for (const std::uint64_t count : reads) CHECK(count < 60);
    }
}
