// Many threads on one log of a real disk. What they assert holds for every interleaving; run it
// under TSan as well.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>

#include "env/sim_env.h"
#include "log/sequencer.h"
#include "support/lent_store.h"
#include "support/log_helpers.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct Fixture : LentStore {
    Fixture()
        : LentStore([](StoreOptions& chosen) {
              chosen.wal_first_file_bytes = 64 * 1024;
              chosen.wal_file_bytes = 1U << 20U;
              chosen.memtable_bytes_max = 64 * 1024;
              chosen.tail_cache_bytes = 64 * 1024;
              chosen.idle_mark_ms = 1;
          }) {}
};

// doctest's assertions are not for many threads at once: the first complaint is kept.
class Complaints {
public:
    void add(std::string what) {
        const std::lock_guard lock(mutex_);
        if (first_.empty()) first_ = std::move(what);
    }
    void expect(bool holds, const std::string& what) {
        if (!holds) add(what);
    }
    [[nodiscard]] bool any() const { return !first().empty(); }
    [[nodiscard]] std::string first() const {
        const std::lock_guard lock(mutex_);
        return first_;
    }

private:
    mutable std::mutex mutex_;
    std::string first_;
};

// Adds one to a counter by compare-and-set. False: the log refused for another reason.
bool increment(Log& log, const std::string& key, Complaints& complaints) {
    for (;;) {
        const auto head = log.entity("count", key);
        if (!head.ok()) {
            complaints.add(head.error().message);
            return false;
        }
        const std::string value = std::to_string(head->version.value + 1);
        const WriteResult result = write_one(log, {.topic = "count/up",
                                                   .key = key,
                                                   .value = value,
                                                   .expect = expect_version(head->version.value)});
        if (result.outcome == Outcome::written) {
            complaints.expect(std::to_string(result.version.value) == value,
                              "a compare-and-set wrote another version than the next one");
            return true;
        }
        if (!result.conflict) {
            complaints.add(result.error ? result.error->message : "an increment got no answer");
            return false;
        }
        complaints.expect(result.conflict->actual > head->version,
                          "a conflict shows an older version than was read before");
    }
}

// Waits for news of a follower, with a limit.
class Bell {
public:
    void ring() {
        const std::lock_guard lock(mutex_);
        rung_ = true;
        changed_.notify_all();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        const bool rung =
            changed_.wait_for(lock, std::chrono::seconds(60), [this] { return rung_; });
        rung_ = false;
        return rung;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool rung_ = false;
};

// Follows until `wanted` records came; each seq once and in order, versions without gaps.
void follow(Log& log, ReadOptions options, std::size_t wanted, Complaints& complaints) {
    options.follow = true;
    auto reader = log.read(options);
    if (!reader.ok()) return complaints.add(reader.error().message);
    std::map<std::string, std::uint64_t> versions;
    std::uint64_t last = 0;
    std::size_t count = 0;
    Bell bell;
    while (count < wanted && !complaints.any()) {
        auto chunk = (*reader)->read(16U * 1024, 200);
        if (!chunk.ok()) return complaints.add(chunk.error().message);
        for (const RecordView& record : chunk->records) {
            complaints.expect(record.seq.value > last, "a follower saw a seq twice or going back");
            last = record.seq.value;
            std::uint64_t& version = versions[std::string(record.key)];
            complaints.expect(record.version.value == ++version, "a follower missed a version");
            ++count;
        }
        complaints.expect(chunk->read_to.value >= last, "read_to lies before what was read");
        if (!chunk->records.empty()) continue;
        (*reader)->on_ready([&bell] { bell.ring(); });
        if (!bell.wait()) complaints.add("a follower was not woken");
    }
    (*reader)->on_ready(nullptr);
}

}  // namespace

TEST_SUITE_BEGIN("concurrent");

TEST_CASE("concurrent: compare-and-set adds up, and followers see every step") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kIncrements = 600;
    constexpr std::size_t kKeys = 5;
    Fixture f;
    Complaints complaints;
    ReadOptions all;
    all.filters = {"count/>"};
    ReadOptions one = all;
    one.key = "k0";
    {
        std::vector<std::jthread> threads;
        threads.emplace_back([&] { follow(f.log(), all, kThreads * kIncrements, complaints); });
        threads.emplace_back(
            [&] { follow(f.log(), one, kThreads * kIncrements / kKeys, complaints); });
        for (std::size_t t = 0; t < kThreads; ++t) {
            threads.emplace_back([&] {
                for (std::size_t i = 0; i < kIncrements && !complaints.any(); ++i) {
                    increment(f.log(), "k" + std::to_string(i % kKeys), complaints);
                }
            });
        }
    }
    REQUIRE_MESSAGE(!complaints.any(), complaints.first());
    f.close();
    f.open();
    for (std::size_t k = 0; k < kKeys; ++k) {
        const auto head = f.log().entity("count", "k" + std::to_string(k));
        REQUIRE(head.ok());
        CHECK(head->version.value == kThreads * kIncrements / kKeys);
    }
    f.close();
}

TEST_CASE("concurrent: no version is lost while heads move from memory into runs") {
    constexpr std::size_t kThreads = 3;
    constexpr std::size_t kRounds = 60;
    constexpr std::size_t kKeys = 150;  // of each thread, so that memory fills and empties
    Fixture f;
    Complaints complaints;
    std::atomic<bool> done{false};
    std::jthread lister([&] {
        while (!done && !complaints.any()) {
            std::string after;
            for (;;) {
                const auto page = f.log().keys("t", "", after, true, 100);
                if (!page.ok()) return complaints.add(page.error().message);
                for (const KeyRow& row : page->rows) {
                    complaints.expect(row.key > after, "a listing is out of order");
                    after = row.key;
                }
                if (!page->more) break;
            }
            const auto topics = f.log().topics("t/>", "", 100);
            if (!topics.ok()) return complaints.add(topics.error().message);
            std::uint64_t records = 0;
            for (const TopicRow& row : topics->rows) records += row.records;
            complaints.expect(records <= f.log().head().value, "topics count records twice");
        }
    });
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < kThreads; ++t) {
            threads.emplace_back([&, t] {
                for (std::uint64_t round = 1; round <= kRounds && !complaints.any(); ++round) {
                    std::vector<Put> puts;
                    for (std::size_t k = 0; k < kKeys; ++k) {
                        puts.push_back({.topic = "t/" + std::to_string(k % 7),
                                        .key = std::to_string(t) + "-" + std::to_string(k),
                                        .value = std::to_string(round),
                                        .id = "r" + std::to_string(round),
                                        .expect = expect_version(round - 1)});
                    }
                    const auto results = write(f.log(), puts);
                    for (const WriteResult& result : results) {
                        complaints.expect(
                            result.outcome == Outcome::written && result.version.value == round,
                            result.error ? result.error->message : "a version is not the next one");
                    }
                    const auto again = write(f.log(), {puts[round % kKeys]});
                    complaints.expect(again[0].outcome == Outcome::duplicate &&
                                          again[0].seq == results[round % kKeys].seq,
                                      "an id that was just written is not known");
                }
            });
        }
    }
    done = true;
    lister.join();
    REQUIRE_MESSAGE(!complaints.any(), complaints.first());
    CHECK(f.log().keys("t", "", "", false, 1000)->rows.size() == kThreads * kKeys);
    CHECK(read_all(f.log())->size() == kThreads * kKeys * kRounds);
    f.close();
}

TEST_CASE("concurrent: settings outlive checkpoints that are written beside them") {
    Fixture f;
    Complaints complaints;
    constexpr std::uint64_t kWrites = 300;
    std::atomic<int> writing{2};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 2; ++t) {
            threads.emplace_back([&, t] {
                const std::string name = "n" + std::to_string(t);
                for (std::uint64_t i = 1; i <= kWrites; ++i) {
                    const auto put = f.log().put_setting(name, std::to_string(i));
                    if (!put.ok()) complaints.add(put.error().message);
                    std::this_thread::yield();
                }
                --writing;
            });
        }
        threads.emplace_back([&] {
            for (bool last = false; !last;) {
                last = writing == 0;
                const Status status = f.store->maintain();
                if (!status.ok()) return complaints.add(status.error().message);
            }
        });
    }
    REQUIRE_MESSAGE(!complaints.any(), complaints.first());
    // Each checkpoint holds what stands before it in the log, and all of it.
    ReadOptions own;
    own.filters = {"$klog/>"};
    const auto records = read_all(f.log(), own);
    REQUIRE(records.ok());
    SettingsMap settings;
    std::size_t checkpoints = 0;
    for (const Got& record : *records) {
        if (record.topic != kCheckpointTopic) {
            settings.insert_or_assign(record.topic, record.value);
            continue;
        }
        ++checkpoints;
        const auto held = decode_checkpoint(record.value, Seq{record.seq});
        REQUIRE(held.ok());
        CHECK(held->settings == settings);
    }
    CHECK(checkpoints > 0);
    for (int stop = 0; stop < 2; ++stop) {
        if (stop == 0) f.close();
        f.open();
        CHECK(f.log().setting("n0") == std::to_string(kWrites));
        CHECK(f.log().setting("n1") == std::to_string(kWrites));
    }
}

TEST_CASE("concurrent: a close answers what was taken and refuses the rest") {
    for (int round = 0; round < 10; ++round) {
        Fixture f;
        std::atomic<std::uint64_t> written{0};
        std::atomic<std::uint64_t> started{0};
        Complaints complaints;
        {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 3; ++t) {
                threads.emplace_back([&, t] {
                    for (;;) {
                        const WriteResult result =
                            write_one(f.log(), {.topic = "a/x", .key = std::to_string(t)});
                        ++started;
                        if (result.outcome == Outcome::written) {
                            ++written;
                            continue;
                        }
                        complaints.expect(result.error && result.error->code == Code::stopping,
                                          "a write beside a close failed otherwise");
                        return;
                    }
                });
            }
            while (started < 50) std::this_thread::yield();
            const Status closed = f.store->close();
            complaints.expect(closed.ok(), "the close failed");
        }
        REQUIRE_MESSAGE(!complaints.any(), complaints.first());
        f.open();
        CHECK(f.store->recovery().clean);
        CHECK(f.log().head().value == written);
    }
}

namespace {

// A store on a simulated disk with a thread for its indexes, and none that commits.
struct SlowIndexes {
    SimEnv env{3};
    StoreOptions options;
    std::unique_ptr<Store> store;
    std::jthread maintenance;
    int next = 0;

    explicit SlowIndexes(std::uint64_t idle_mark_ms = StoreOptions().idle_mark_ms) {
        options.dir = "/data";
        options.idle_mark_ms = idle_mark_ms;
        options.memtable_bytes_max = 64 * 1024;
        auto opened = Store::open(env, options);
        REQUIRE(opened.ok());
        store = std::move(opened).value();
    }
    void lend() {
        write_one(store->default_log(), {.topic = "a/x"});
        const std::uint64_t before = store->stats().wal_bytes_written;
        env.advance(options.idle_mark_ms * 1000 + 1);
        maintenance =
            std::jthread([this](std::stop_token stop) { store->run_maintenance(std::move(stop)); });
        // Until it is there whoever writes does its work; its first idle mark tells.
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (store->stats().wal_bytes_written == before) {
            REQUIRE(std::chrono::steady_clock::now() < until);
            std::this_thread::yield();
        }
    }
    Pending put_50() {
        std::vector<Put> puts;
        ++next;
        for (int k = 0; k < 50; ++k) {
            puts.push_back({.topic = "a/x", .key = std::to_string(next) + "-" + std::to_string(k)});
        }
        return {store->default_log(), make_batch(puts)};
    }
};

}  // namespace

TEST_CASE("concurrent: a close answers what is held back, while indexes are being written") {
    SlowIndexes f;
    REQUIRE(f.store->default_log().put_setting("n", "1").ok());
    // The writing of the second run hangs, and memory is full by then.
    std::binary_semaphore begun[2] = {std::binary_semaphore{0}, std::binary_semaphore{0}};
    std::counting_semaphore<2> go_on[2] = {std::counting_semaphore<2>{0},
                                           std::counting_semaphore<2>{0}};
    const auto let_go = [&](void*) {
        for (auto& each : go_on) each.release();
    };
    const std::unique_ptr<void, decltype(let_go)> guard(&f, let_go);  // where an assertion fails
    std::atomic<int> runs{0};
    f.lend();
    f.env.on_call([&](SimCall call, const std::string& path) {
        if (call != SimCall::create || path.find("/index/1/") == std::string::npos) return;
        const int run = runs++;
        if (run > 1) return;
        begun[run].release();
        go_on[run].acquire();
    });
    while (runs == 0) REQUIRE(f.put_50().answered());
    begun[0].acquire();
    for (int i = 0; i < 200; ++i) REQUIRE(f.put_50().answered());
    go_on[0].release();
    begun[1].acquire();
    // Nobody but this thread commits, so what is not answered at once is held back.
    Pending held = f.put_50();
    REQUIRE_FALSE(held.answered());
    std::jthread closing([&] {
        held.wait();
        go_on[1].release();
    });
    CHECK(f.store->close().ok());
    CHECK(held.wait()[0].outcome == Outcome::written);
}

TEST_CASE("concurrent: where no index can be written, writes are refused until one can") {
    SlowIndexes f;
    f.lend();
    f.env.inject({.kinds = {SimCall::write}, .path_part = "/index/", .times = SimFault::kForever});
    Outcome last = Outcome::written;
    for (int i = 0; i < 5000 && last == Outcome::written; ++i) {
        Pending pending = f.put_50();
        REQUIRE(pending.answered_in_time());
        const auto results = pending.wait();
        last = results[0].outcome;
        if (last != Outcome::written) CHECK(results[0].error->code == Code::backpressure);
    }
    REQUIRE(last == Outcome::refused);
    f.env.clear_faults();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (last == Outcome::refused && std::chrono::steady_clock::now() < until) {
        Pending pending = f.put_50();
        REQUIRE(pending.answered_in_time());
        last = pending.wait()[0].outcome;
        std::this_thread::yield();
    }
    CHECK(last == Outcome::written);
    CHECK(f.store->close().ok());
}

TEST_CASE("concurrent: on a full disk writes in a row do not make and remove files each") {
    // No mark of an idle log comes to find out beside the writes that there is room again.
    constexpr std::uint64_t kDayMs = 24ULL * 3600 * 1000;
    SlowIndexes f(kDayMs);
    Log& log = f.store->default_log();
    const std::string value(1000, 'v');
    f.lend();
    f.env.set_capacity(f.env.used_bytes());
    Outcome last = Outcome::written;
    for (int i = 0; i < 20'000 && last == Outcome::written; ++i) {
        last = write_one(log, {.topic = "a/x", .value = value}).outcome;
    }
    REQUIRE(last == Outcome::refused);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const std::uint64_t before = f.env.calls(SimCall::remove);
    constexpr int kWrites = 200;
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < kWrites; ++i) {
        const WriteResult result = write_one(log, {.topic = "a/x", .value = value});
        REQUIRE(result.outcome == Outcome::refused);
        REQUIRE(result.error->code == Code::disk_full);
    }
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begun)
            .count();
    // The thread for files and the writes try once a second each; one of each may fall in between.
    CHECK(f.env.calls(SimCall::remove) - before <=
          2 * (static_cast<std::uint64_t>(seconds) + 1) + 2);
    f.env.set_capacity(~0ULL);
    while (last == Outcome::refused && std::chrono::steady_clock::now() < until) {
        last = write_one(log, {.topic = "a/x", .value = value}).outcome;
        std::this_thread::yield();
    }
    CHECK(last == Outcome::written);
}

TEST_CASE("concurrent: readers come and go while others write") {
    Fixture f;
    Complaints complaints;
    std::atomic<bool> done{false};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&, t] {
            std::uint64_t round = 0;
            while (!done && !complaints.any()) {
                ReadOptions options;
                options.filters = {++round % 2 == 0 ? ">" : "w/1"};
                options.follow = round % 3 == 0;
                if (t == 1) options.from = {ReadFrom::Form::last, {}, {}, 50};
                auto reader = f.log().read(options);
                if (!reader.ok()) return complaints.add(reader.error().message);
                (*reader)->on_ready([] {});
                for (int i = 0; i < 5; ++i) {
                    const auto chunk = (*reader)->read(8U * 1024, 64);
                    if (!chunk.ok()) return complaints.add(chunk.error().message);
                    complaints.expect(chunk->head >= chunk->read_to || chunk->records.empty(),
                                      "a read went beyond the head");
                }
            }
        });
    }
    std::vector<std::jthread> writers;
    for (int t = 0; t < 2; ++t) {
        writers.emplace_back([&, t] {
            for (int i = 0; i < 1500 && !complaints.any(); ++i) {
                const WriteResult result = write_one(f.log(), {.topic = "w/" + std::to_string(t),
                                                               .key = std::to_string(i % 50),
                                                               .value = std::string(100, 'v')});
                complaints.expect(result.outcome == Outcome::written, "a write failed");
            }
        });
    }
    writers.clear();
    done = true;
    threads.clear();
    REQUIRE_MESSAGE(!complaints.any(), complaints.first());
    CHECK(read_all(f.log())->size() == 3000);
    f.close();
}

TEST_SUITE_END();

TEST_CASE(
    "concurrent: sealing keeps up with writers that never pause, and catches up behind them") {
    constexpr std::uint64_t kLimit = 1U << 20U;
    constexpr std::uint64_t kFile = 64 * 1024;
    constexpr int kBatches = 120;
    constexpr std::size_t kBatchRecords = 50;
    const LentStore f([](StoreOptions& chosen) {
        chosen.wal_first_file_bytes = kFile;
        chosen.wal_file_bytes = kFile;
        chosen.seal_bytes_min = kFile;
        chosen.merged_bytes_max = kLimit;
        chosen.unsealed_bytes_max = kLimit;
        chosen.tail_cache_bytes = kFile;
    });
    const std::string text = "\"" + std::string(1000, 'x') + "\"";
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> most{0};
    {
        std::vector<std::jthread> writers;
        for (int writer = 0; writer < 2; ++writer) {
            writers.emplace_back([&, writer] {
                for (int batch = 0; batch < kBatches; ++batch) {
                    const std::string key = std::to_string(writer) + "-" + std::to_string(batch);
                    const std::vector<Put> puts(kBatchRecords, Put{"t/a", key, text});
                    for (const WriteResult& result : write(f.log(), puts)) {
                        if (result.outcome != Outcome::written) ++refused;
                    }
                    const std::uint64_t unsealed = f.store->stats().unsealed_bytes;
                    for (auto seen = most.load(); seen < unsealed;) {
                        if (most.compare_exchange_weak(seen, unsealed)) break;
                    }
                }
            });
        }
    }
    CHECK(refused == 0);
    CHECK(most < kLimit + 4 * kFile);  // what was written before writers were held back
    const auto settled = [&] {
        const StoreStats stats = f.store->stats();
        return stats.unsealed_bytes < 2 * kFile && stats.segments < 64;
    };
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!settled() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    CHECK(settled());
    const auto found = read_all(f.log());
    REQUIRE(found.ok());
    CHECK(found->size() == 2 * kBatches * kBatchRecords);
}
