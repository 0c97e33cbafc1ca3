// Promise: heads and ids that are lost or damaged are made anew from the log, while it is read, and
// nothing is judged by what is not known.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "env/sim_env.h"
#include "klog/log.h"
#include "support/log_helpers.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

constexpr int kRecords = 6000;
constexpr int kKeys = 1500;

std::string key_of(int n) { return "k" + std::to_string(n); }

struct Life {
    explicit Life(std::uint64_t rebuild_later_records = 100) {
        options.dir = "/data";
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 256 * 1024;
        options.seal_bytes_min = 4096;
        options.memtable_bytes_max = 128 * 1024;
        options.rebuild_later_records = rebuild_later_records;
        open();
    }
    void open() {
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(*opened);
    }
    void fill() {
        for (int n = 0; n < kRecords;) {
            std::vector<Put> puts;
            for (int i = 0; i < 50; ++i, ++n) {
                puts.push_back({.topic = "a/" + std::to_string(n % 7),
                                .key = key_of(n % kKeys),
                                .value = std::to_string(n),
                                .id = "id-" + std::to_string(n)});
            }
            for (const WriteResult& result : write(log(), puts)) {
                REQUIRE(result.outcome == Outcome::written);
            }
        }
        REQUIRE(log().put_setting("test", "1").ok());
        REQUIRE(store->maintain().ok());
    }
    void close() {
        const Status closed = store->close();
        REQUIRE_MESSAGE(closed.ok(), closed.error().message);
        end();
    }
    void end() {
        store.reset();
        env.kill();
    }
    [[nodiscard]] std::vector<std::string> files(const std::string& part) const {
        std::vector<std::string> found;
        for (const std::string& path : env.files()) {
            if (path.find(part) != std::string::npos) found.push_back(path);
        }
        return found;
    }
    void lose_runs() {
        const auto runs = files(".run");
        REQUIRE(runs.size() >= 2);
        for (const std::string& path : runs) REQUIRE(env.remove(path).ok());
    }
    Log& log() { return store->default_log(); }
    [[nodiscard]] RebuildStats rebuild() const { return store->stats().rebuild; }

    // Heads, ids, listings and settings are what fill() left.
    void must_know_all() {
        CHECK_FALSE(rebuild().running);
        for (int n = 0; n < kKeys; n += 11) {
            const auto head = log().entity("a", key_of(n));
            REQUIRE_MESSAGE(head.ok(), head.error().message);
            CHECK(head->version == Version{kRecords / kKeys});
        }
        for (int n = 0; n < kRecords; n += 97) {
            Put again{.topic = "a/" + std::to_string(n % 7),
                      .key = key_of(n % kKeys),
                      .value = std::to_string(n),
                      .id = "id-" + std::to_string(n)};
            const WriteResult known = write_one(log(), again);
            CHECK(known.outcome == Outcome::duplicate);
            CHECK(known.version == Version{static_cast<std::uint64_t>(n / kKeys + 1)});
            again.value += "x";
            const WriteResult reused = write_one(log(), again);
            REQUIRE(reused.error);
            CHECK(reused.error->code == Code::id_reused);
        }
        must_list();
        CHECK(log().setting("test") == "1");
    }
    // The simulated machine keeps its key index in memory: each open makes it anew.
    void must_list() {
        if (const auto page = log().keys("a", "", "", false, 1); !page.ok()) {
            CHECK(page.error().code == Code::rebuilding);
            CHECK(log().topics(">", "", 10).error().code == Code::rebuilding);
            CHECK(log().entity("a", "k1").ok());  // heads are known all the same
            REQUIRE(store->maintain().ok());
        }
        const auto keys = log().keys("a", "k1", "", false, 10'000);
        REQUIRE(keys.ok());
        CHECK(keys->rows.size() == 611);  // k1, k1?, k1??, k1000 to k1499
        const auto topics = log().topics("a/*", "", 100);
        REQUIRE(topics.ok());
        std::uint64_t records = 0;
        for (const TopicRow& row : topics->rows) records += row.records;
        CHECK(records == kRecords);
    }
    void must_not_judge() {
        CHECK(rebuild().running);
        const WriteResult refused =
            write_one(log(), {.topic = "a/x", .key = "k", .expect = expect_absent()});
        REQUIRE(refused.error);
        CHECK(refused.error->code == Code::rebuilding);
        CHECK(log().entity("a", "k1").error().code == Code::rebuilding);
        CHECK(log().get("a", "k1", std::nullopt).error().code == Code::rebuilding);
        CHECK(log().keys("a", "", "", false, 10).error().code == Code::rebuilding);
        CHECK(log().topics(">", "", 10).error().code == Code::rebuilding);
        CHECK(log().head("a/*").error().code == Code::rebuilding);
        CHECK(log().put_setting("test", "2").error().code == Code::rebuilding);
    }
    // By seq, as a read without any index is.
    void must_read() {
        const auto reader = log().read({});
        REQUIRE(reader.ok());
        const auto all = read_all(**reader, 1000);
        REQUIRE(all.ok());
        CHECK(all->size() == kRecords);
        CHECK(log().setting("test") == "1");
    }

    SimEnv env{7};
    StoreOptions options;
    std::unique_ptr<Store> store;
};

}  // namespace

TEST_CASE("rebuild: an open without runs does not wait, reads are served, the rest comes") {
    Life life;
    life.fill();
    SUBCASE("after a clean stop") { life.close(); }
    SUBCASE("after a kill") { life.end(); }
    life.lose_runs();
    life.open();
    life.must_not_judge();
    life.must_read();
    CHECK(life.rebuild().records_wanted >= kRecords);
    CHECK(life.rebuild().records_done == 0);
    const auto begun = life.store->take_notices();
    REQUIRE(begun.size() == 1);
    CHECK(begun[0].find("made anew") != std::string::npos);
    REQUIRE(life.store->maintain().ok());
    life.must_know_all();
    CHECK(life.rebuild().finished == 1);
    CHECK(life.store->take_notices().size() == 1);
    life.close();
    life.open();
    CHECK_FALSE(life.rebuild().running);
    life.must_know_all();
}

TEST_CASE("rebuild: with the key index gone too") {
    Life life;
    life.fill();
    life.close();
    for (const std::string& path : life.files("/index/")) {
        if (life.env.read_file(path).ok()) REQUIRE(life.env.remove(path).ok());
    }
    life.open();
    life.must_not_judge();
    REQUIRE(life.store->maintain().ok());
    life.must_know_all();
}

TEST_CASE("rebuild: a key index that is far behind is made anew while writes go on") {
    Life life;
    life.fill();
    life.close();
    life.open();
    const auto page = life.log().keys("a", "", "", false, 1);
    REQUIRE_FALSE(page.ok());
    CHECK(page.error().code == Code::rebuilding);
    CHECK(page.error().message.find("0 of ") != std::string::npos);
    CHECK_FALSE(life.rebuild().running);
    int written = 0;
    const auto write_new = [&] {
        const Put put{.topic = "a/x", .key = "new-" + std::to_string(written++)};
        REQUIRE(write_one(life.log(), put).outcome == Outcome::written);
    };
    write_new();
    std::jthread maintenance(
        [&](std::stop_token stop) { life.store->run_maintenance(std::move(stop)); });
    while (!life.log().keys("a", "", "", false, 1).ok()) write_new();
    const auto added = life.log().keys("a", "new-", "", false, 10'000);
    REQUIRE(added.ok());
    CHECK(added->rows.size() == static_cast<std::size_t>(written));
    maintenance.request_stop();
    maintenance.join();
    life.close();
}

TEST_CASE("rebuild: few records are replayed by the open itself") {
    Life life(kRecords * 2);
    life.fill();
    life.close();
    life.lose_runs();
    life.open();
    CHECK_FALSE(life.rebuild().running);
    life.must_know_all();
}

TEST_CASE("rebuild: broken off by a stop it goes on where it was") {
    Life life;
    life.fill();
    life.close();
    life.lose_runs();
    life.open();
    SUBCASE("a clean one") { life.close(); }
    SUBCASE("half-way, by a thread that was lent") {
        std::jthread maintenance(
            [&](std::stop_token stop) { life.store->run_maintenance(std::move(stop)); });
        while (life.rebuild().running && life.rebuild().records_done == 0) {
            std::this_thread::yield();
        }
        maintenance.request_stop();
        maintenance.join();
        life.close();
    }
    SUBCASE("a kill") { life.end(); }
    life.open();
    if (life.rebuild().running) {
        life.must_read();
        REQUIRE(life.store->maintain().ok());
    }
    life.must_know_all();
}

TEST_CASE("rebuild: a run that is damaged in use is not believed, and made anew") {
    bool started_again = false;
    SUBCASE("maintained") { started_again = false; }
    SUBCASE("started again") { started_again = true; }
    for (const std::uint64_t place : {4096U + 8U, 4096U + 600U, 4096U + 4000U}) {
        Life life(~0ULL);
        life.fill();
        for (const std::string& path : life.files("/index/1/")) {
            if (path.ends_with(".run")) REQUIRE(life.env.flip(path, place, 0x40).ok());
        }
        bool noticed = false;
        for (int n = 0; n < kKeys && !noticed; ++n) {
            const auto head = life.log().entity("a", key_of(n));
            noticed = !head.ok();
            if (noticed) {
                CHECK(head.error().code == Code::rebuilding);
            } else {
                CHECK(head->version == Version{kRecords / kKeys});
            }
        }
        REQUIRE(noticed);
        life.must_not_judge();
        life.must_read();
        if (started_again) {
            life.end();
            life.open();
        } else {
            REQUIRE(life.store->maintain().ok());
        }
        life.must_know_all();
        life.close();
        life.open();
        life.must_know_all();
    }
}

TEST_CASE("rebuild: a thread that maintains is woken by damage that a write meets") {
    Life life(~0ULL);
    life.fill();
    std::jthread maintenance(
        [&](std::stop_token stop) { life.store->run_maintenance(std::move(stop)); });
    for (const std::string& path : life.files("/index/1/")) {
        if (path.ends_with(".run")) REQUIRE(life.env.flip(path, 4096 + 8, 0x40).ok());
    }
    std::uint64_t refused = 0;
    for (int n = 0; n < kKeys; ++n) {
        const Put put{.topic = "a/x", .key = key_of(n), .expect = expect_version(kRecords / kKeys)};
        for (;;) {
            const WriteResult result = write_one(life.log(), put);
            if (result.outcome == Outcome::written) break;
            REQUIRE(result.error);
            REQUIRE_MESSAGE(result.error->code == Code::rebuilding, result.error->message);
            ++refused;
            std::this_thread::yield();
        }
    }
    CHECK(refused > 0);
    CHECK(life.rebuild().finished == 1);
    maintenance.request_stop();
    maintenance.join();
    life.close();
}

TEST_CASE("rebuild: a log that cannot be read is said, and not tried again and again") {
    Life life;
    life.fill();
    REQUIRE_FALSE(life.files("/seg/1/").empty());
    life.close();
    life.lose_runs();
    const std::string segment = life.files("/seg/1/").front();
    REQUIRE(life.env.flip(segment, 200, 0xff).ok());
    life.open();
    const Status broken = life.store->maintain();
    REQUIRE_FALSE(broken.ok());
    CHECK(broken.error().code == Code::corrupt);
    const auto head = life.log().entity("a", "k1");
    REQUIRE_FALSE(head.ok());
    CHECK(head.error().code == Code::corrupt);
    CHECK(head.error().message.find(segment) != std::string::npos);
    CHECK(life.store->maintain().ok());  // there is nothing that it could do
    CHECK(life.rebuild().running);
    CHECK(life.store->close().ok());
}

TEST_CASE("rebuild: a full disk is waited for") {
    Life life;
    life.fill();
    life.close();
    life.lose_runs();
    life.open();
    life.env.inject({.kinds = {SimCall::create},
                     .path_part = ".run",
                     .times = SimFault::kForever,
                     .code = Code::disk_full});
    CHECK_FALSE(life.store->maintain().ok());
    CHECK(life.log().entity("a", "k1").error().code == Code::disk_full);
    life.must_read();
    life.env.clear_faults();
    REQUIRE(life.store->maintain().ok());
    life.must_know_all();
}
