// Reading one key: what the indexes of entities find is what looking at every record finds,
// wherever the records lie, and without reading what lies between them.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/random_history.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct History : RandomHistory {
    using RandomHistory::RandomHistory;

    // The answers to reads of one space, of both, from anywhere, in steps of any size.
    void check(const std::string& key_asked) {
        static const std::vector<std::vector<std::string>> kFilters = {
            {"a", "a/>"}, {"a/>"}, {"a/>", "b/>"}, {"b/3"}};
        ReadOptions read;
        read.filters = kFilters[random() % kFilters.size()];
        read.key = key_asked;
        read.from.form = ReadFrom::Form::after;
        read.from.seq = Seq{random() % 3 == 0 ? random() % written.size() : 0};
        CAPTURE(key_asked);
        CAPTURE(read.filters.front());
        CAPTURE(read.from.seq.value);
        std::vector<Got> wanted;
        for (const Got& record : written) {
            if (record.seq <= read.from.seq.value || record.key != key_asked) continue;
            const bool both = read.filters.size() == 2 && read.filters[1] == "b/>";
            const bool matches = read.filters.front() == "b/3" ? record.topic == "b/3"
                                                               : both || record.topic[0] == 'a';
            if (matches) wanted.push_back(record);
        }
        const auto reader = log().read(read);
        REQUIRE(reader.ok());
        const auto got = read_all(**reader, 1 + random() % 50);
        REQUIRE_MESSAGE(got.ok(), got.error().message);
        CHECK(*got == wanted);
    }
    void check_some() {
        for (int i = 0; i < 3; ++i) check("hot" + std::to_string(i));
        for (int i = 0; i < 20; ++i) check("cold" + std::to_string(random() % 310));
    }
};

}  // namespace

TEST_CASE("entity reads: random histories, sealed or not, through restarts and damaged indexes") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        History history(seed, 64ULL * 1024 << (seed % 3), seed % 4 == 0 ? 4096 : 1ULL << 30U);
        for (int life = 0; life < 4; ++life) {
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

TEST_CASE("entity reads: of what is not sealed, only the stretches that hold the key are read") {
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        History history(2, 1U << 20U, 1ULL << 30U);
        for (int i = 0; i < 5; ++i) {
            history.fill(4000);
            const auto one = write_one(history.log(), {.topic = "a/1", .key = "rare"});
            REQUIRE(one.outcome == Outcome::written);
            history.written.push_back({one.seq.value, one.version.value, "a/1", "rare", "1", ""});
        }
        history.maintain();
        history.fill(4000);
        if (restarted) {
            REQUIRE(history.store->close().ok());
            history.open();
        }
        REQUIRE(history.indexes().size() >= 2);
        const auto reads_of = [&](const std::string& key) {
            ReadOptions read;
            read.filters = {"a/>"};
            read.key = key;
            const std::uint64_t before = history.env.calls(SimCall::read);
            const auto got = read_all(history.log(), read);
            REQUIRE(got.ok());
            CHECK(got->size() == (key == "rare" ? 5U : 0U));
            return history.env.calls(SimCall::read) - before;
        };
        // A page of each index; for each record two or three reads, which grow from 16 KiB.
        const std::uint64_t files = history.indexes().size();
        CHECK(reads_of("nobody") <= files);
        CHECK(reads_of("rare") <= files + 5 * 4);
    }
}

TEST_CASE("entity reads: an index of the form before is made anew") {
    History history(3, 64 * 1024, 1ULL << 30U);
    history.fill(3000);
    history.maintain();
    const auto paths = history.indexes();
    REQUIRE_FALSE(paths.empty());
    history.end_life();
    for (const std::string& path : paths) {
        auto bytes = history.env.read_file(path);
        REQUIRE(bytes.ok());
        (*bytes)[8] = 1;  // its format; the header's checksum no longer fits either
        REQUIRE(history.env.write_file(path, *bytes).ok());
    }
    history.open();
    history.check_some();
    history.maintain();
    for (const std::string& path : history.indexes()) {
        CHECK((*history.env.read_file(path))[8] == 2);
    }
}
