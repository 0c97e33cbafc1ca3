// Consumers under many threads on a real disk, and what they add to what is written.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "klog/consumer.h"
#include "support/lent_store.h"
#include "support/log_helpers.h"

using namespace klog;
using namespace klog::test;

namespace {

struct Fixture : LentStore {
    Fixture() : LentStore([](StoreOptions& chosen) { chosen.wal_file_bytes = 1U << 20U; }) {}
    Consumers& all() { return log().consumers(); }
    std::map<std::string, std::uint64_t> positions() {
        std::map<std::string, std::uint64_t> found;
        for (const ConsumerInfo& row : all().page("", 10'000).rows) {
            found[row.name] = row.position.value;
        }
        return found;
    }
};

}  // namespace

TEST_CASE("concurrent: consumers are where they were after whatever is done to them at once") {
    Fixture f;
    constexpr int kNames = 8;
    const auto name_of = [](int n) { return "c" + std::to_string(n); };
    for (int n = 0; n < kNames; ++n) REQUIRE(f.all().put(name_of(n), {}).ok());
    std::atomic<bool> wrong{false};
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, thread] {
                for (int i = 0; i < 400; ++i) {
                    const std::string name = name_of((i + thread) % kNames);
                    const Seq seq = write_one(f.log(), {"orders/1"}).seq;
                    if (!f.all().ack(name, seq, std::nullopt, "").ok()) wrong = true;
                    if (i % 50 == thread && !f.all().lease(name).ok()) wrong = true;
                }
            });
        }
        threads.emplace_back([&] {
            for (int i = 0; i < 60; ++i) {
                if (!f.all().reset(name_of(i % kNames), Seq{1}).ok()) wrong = true;
                if (!f.all().flush().ok()) wrong = true;
                const std::string passing = "passing" + std::to_string(i % 3);
                if (!f.all().put(passing, {}).ok() || !f.all().remove(passing).ok()) wrong = true;
            }
        });
    }
    CHECK_FALSE(wrong);
    const auto before = f.positions();
    CHECK(before.size() == kNames);
    for (int stop = 0; stop < 2; ++stop) {
        if (stop == 0) f.close();
        if (stop == 1) REQUIRE(f.all().flush().ok());
        f.open();  // the second time as if it had been killed
        CHECK(f.positions() == before);
    }
}

TEST_CASE("consumers: a thousand that acknowledge every record add a tenth at the most") {
    Fixture f;
    constexpr int kMany = 1000;
    std::vector<Put> puts;
    for (int n = 0; n < kMany; ++n) {
        REQUIRE(f.all().put("worker-" + std::to_string(n), {}).ok());
        puts.push_back({"orders/" + std::to_string(n), "", std::string(128, 'x')});
    }
    const std::uint64_t before = f.store->stats().wal_bytes_written;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    std::uint64_t rounds = 0;
    // However slow the machine: enough is written for two records of positions to be a tenth of it.
    while ((rounds < 40 || f.log().stats().positions_records < 2) &&
           std::chrono::steady_clock::now() < end) {
        ++rounds;
        const auto results = write(f.log(), puts);
        for (int n = 0; n < kMany; ++n) {
            REQUIRE(f.all()
                        .ack("worker-" + std::to_string(n),
                             results[static_cast<std::size_t>(n)].seq, std::nullopt, "")
                        .ok());
        }
    }
    const std::uint64_t written = f.store->stats().wal_bytes_written - before;
    const std::uint64_t records = f.log().stats().positions_records;
    CHECK(records >= 2);
    ReadOptions own;
    own.filters = {"$klog/positions"};
    const auto positions = read_all(f.log(), own);
    REQUIRE(positions.ok());
    std::uint64_t bytes = 0;
    for (const Got& record : *positions) bytes += record.value.size() + 160;  // with its frame
    MESSAGE(rounds << " rounds of " << kMany << ": " << written << " bytes, of them " << bytes
                   << " in " << records << " records of positions");
    CHECK(bytes * 11 <= written);
}
