// One failing call at a time, a full disk, a failing sync, damaged indexes: what the store promises
// about each, through the public interface.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "env/sim_env.h"
#include "index/runs.h"
#include "segment/wal.h"
#include "support/sim_checks.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// A store on a simulated disk beside the model of what it promised.
struct Life {
    SimEnv env{11};
    StoreOptions options;
    ModelLog model;
    std::unique_ptr<Store> store;
    std::string wrong;

    Life() {
        options.dir = "/data";
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 64 * 1024;
        options.memtable_bytes_max = 64 * 1024;
        options.tail_cache_bytes = 1;
    }
    [[nodiscard]] Log& log() { return store->default_log(); }

    Status open() {
        store.reset();
        KLOG_TRY_ASSIGN(store, Store::open(env, options));
        note(check_recovered(log(), model));
        return {};
    }
    void must_open() {
        const Status opened = open();
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        REQUIRE_MESSAGE(wrong.empty(), wrong);
    }
    void note(const std::string& what) {
        if (wrong.empty()) wrong = what;
    }
    // Results of a batch, which the model has judged.
    std::vector<WriteResult> put(const std::vector<Put>& puts) {
        bool answered = false;
        std::vector<WriteResult> results;
        auto batch = make_batch(puts);
        batch->done = [&](std::unique_ptr<WriteBatch> done) {
            answered = true;
            results = done->results;
            note(model.answered({puts, nullptr, false, {}}, {results, nullptr}));
        };
        log().append(std::move(batch));
        REQUIRE(answered);
        return results;
    }
    // What was written, or refused, before and after is there and is right.
    void must_hold() {
        SimDice dice(5);
        note(check_recovered(log(), model));
        note(check_listings(log(), model, dice));
        REQUIRE_MESSAGE(wrong.empty(), wrong);
    }
};

Put numbered(int i, std::size_t bytes = 700) {
    Put put{.topic = "a/" + std::to_string(i % 3), .key = "k" + std::to_string(i % 7)};
    put.value = std::to_string(i) + std::string(bytes, 'v');
    put.id = "id" + std::to_string(i);
    if (i % 11 == 10) put.kind = Kind::tombstone;
    return put;
}

// Rotates the WAL, writes runs and file indexes, and closes. Settings are left out, so that the
// model knows every seq.
void short_workload(Life& life) {
    if (!life.open().ok()) return;
    for (int i = 0; i < 25; ++i) {
        std::vector<Put> puts;
        for (int k = 0; k < 10; ++k) puts.push_back(numbered(i * 10 + k));
        life.put(puts);
        if (i % 5 == 4) static_cast<void>(life.store->maintain());
        if (i % 4 == 3) life.put({numbered(i * 10)});  // again, by its id
    }
    static_cast<void>(life.store->close());
}

enum class End { kill, lose_all, crash };

// Fails call N, for N = 1 until a run is clean; a start follows each.
void every_call_fails(Code code, std::uint64_t times, End end) {
    std::uint64_t tried = 0;
    for (std::uint64_t n = 0;; ++n) {
        Life life;
        SimFault fault;
        fault.skip = n;
        fault.times = times;
        fault.code = code;
        life.env.inject(fault);
        short_workload(life);
        const bool clean = life.env.calls() <= n;
        INFO("call " << n + 1 << " failed: " << life.wrong);
        // A read that met the fault says so; that is no wrong answer.
        if (life.wrong.find("io: ") == std::string::npos &&
            life.wrong.find("disk_full: ") == std::string::npos) {
            REQUIRE(life.wrong.empty());
        }
        life.wrong.clear();
        if (end == End::kill) life.env.kill();
        if (end == End::lose_all) life.env.crash_lose_all();
        if (end == End::crash) life.env.crash();
        life.must_open();
        life.put({numbered(1), numbered(1000)});
        life.must_hold();
        ++tried;
        if (clean) break;
    }
    CHECK(tried > 100);
}

std::vector<std::string> files_with(const SimEnv& env, const std::string& part) {
    std::vector<std::string> found;
    for (const std::string& path : env.files()) {
        if (path.find(part) != std::string::npos) found.push_back(path);
    }
    return found;
}

}  // namespace

TEST_CASE("store: each call fails once with EIO, and a kill follows") {
    every_call_fails(Code::io, 1, End::kill);
}

TEST_CASE("store: each call fails once with EIO, and a power cut follows") {
    every_call_fails(Code::io, 1, End::crash);
}

TEST_CASE("store: each call fails once with ENOSPC, and a power cut that loses all follows") {
    every_call_fails(Code::disk_full, 1, End::lose_all);
}

TEST_CASE("store: from each call on the disk is full, and a power cut follows") {
    every_call_fails(Code::disk_full, SimFault::kForever, End::crash);
}

TEST_CASE("store: no room between the creation of a file and its filling") {
    for (const std::string part : {"spare", ".run", ".idx", "clean", "/seg/1/", "manifest"}) {
        for (std::uint64_t skip = 0; skip < 6; ++skip) {
            INFO(part << ", the write behind " << skip << " others");
            Life life;
            if (part == "/seg/1/" || part == "manifest") life.options.seal_bytes_min = 4096;
            SimFault fault;
            fault.kinds = {SimCall::write};
            fault.path_part = part;
            fault.skip = skip;
            fault.times = SimFault::kForever;
            fault.code = Code::disk_full;
            life.env.inject(fault);
            short_workload(life);
            REQUIRE_MESSAGE(life.wrong.empty(), life.wrong);
            if (skip == 0) REQUIRE(life.env.calls_failed() > 0);  // there is such a file
            life.env.crash();
            life.must_open();
            life.put({numbered(1), numbered(1000)});
            life.must_hold();
        }
    }
}

TEST_CASE("store: on a full disk reads go on, and writes do when there is room again") {
    Life life;
    life.must_open();
    life.put({numbered(1), numbered(2)});
    life.env.set_capacity(life.env.used_bytes());
    bool full = false;
    for (int i = 3; i < 2000 && !full; ++i) {
        const auto results = life.put({numbered(i)});
        full = results[0].outcome == Outcome::refused;
        if (full) CHECK(results[0].error->code == Code::disk_full);
    }
    REQUIRE(full);
    CHECK_FALSE(life.store->stats().writable);
    CHECK_FALSE(life.store->stats().failed);
    life.must_hold();
    // A start on a full disk serves reads too.
    life.env.kill();
    life.store.reset();
    life.env.set_capacity(life.env.used_bytes());
    life.must_open();
    life.must_hold();
    life.env.set_capacity(kNoLimit);
    REQUIRE(life.store->maintain().ok());
    CHECK(life.put({numbered(5000)})[0].outcome == Outcome::written);
    CHECK(life.store->stats().writable);
    life.must_hold();
}

TEST_CASE("store: after a failed sync nothing is written, everything acknowledged is read") {
    Life life;
    life.must_open();
    life.put({numbered(1), numbered(2)});
    life.env.inject({.kinds = {SimCall::sync}, .path_part = "/wal/"});
    // Two more batches wait for the group whose sync fails: they share its fate.
    int answers = 0;
    bool inside = false;
    life.env.on_call([&](SimCall call, const std::string&) {
        if (call != SimCall::sync || inside) return;
        inside = true;
        for (int i = 10; i < 12; ++i) {
            auto batch = make_batch({numbered(i)});
            batch->done = [&, i](std::unique_ptr<WriteBatch> done) {
                ++answers;
                CHECK(done->results[0].outcome == Outcome::unknown);
                CHECK(done->results[0].error->code == Code::outcome_unknown);
                life.note(life.model.answered({{numbered(i)}, nullptr, false, {}},
                                              {done->results, nullptr}));
            };
            life.log().append(std::move(batch));
        }
    });
    CHECK(life.put({numbered(3)})[0].outcome == Outcome::unknown);
    CHECK(answers == 2);
    life.env.on_call(nullptr);
    CHECK(life.store->stats().failed);
    CHECK_FALSE(life.store->stats().writable);
    CHECK(life.put({numbered(4)})[0].error->code == Code::io);
    CHECK_FALSE(life.store->close().ok());
    CHECK(read_all(life.log())->size() == 2);
    life.env.crash_lose_all();
    life.must_open();
    CHECK(read_all(life.log())->size() == 2);
    CHECK(life.put({numbered(3)})[0].outcome == Outcome::written);
    life.must_hold();
}

TEST_CASE("store: an idle mark that could not be written is written later") {
    Life life;
    life.must_open();
    REQUIRE(life.store->maintain().ok());
    life.put({numbered(1)});
    life.env.inject({.kinds = {SimCall::write}, .path_part = "/wal/", .code = Code::disk_full});
    CHECK_FALSE(life.store->maintain().ok());
    const std::uint64_t before = life.store->stats().wal_bytes_written;
    CHECK(life.store->maintain().ok());
    CHECK(life.store->stats().wal_bytes_written > before);
    life.must_hold();
}

TEST_CASE("store: a refusal waits until what it reveals is durable") {
    Life life;
    life.must_open();
    bool inside = false;
    int answers = 0;
    life.env.on_call([&](SimCall call, const std::string&) {
        if (call != SimCall::sync || inside) return;
        inside = true;
        auto refused = make_batch({{.topic = "a/x", .key = "k", .expect = expect_absent()}});
        refused->done = [&](std::unique_ptr<WriteBatch> done) {
            ++answers;
            REQUIRE(done->results[0].conflict);
            CHECK(done->results[0].conflict->actual == Version{1});
        };
        auto repeated = make_batch({{.topic = "a/x", .key = "k", .value = "1", .id = "i"}});
        repeated->done = [&](std::unique_ptr<WriteBatch> done) {
            ++answers;
            CHECK(done->results[0].outcome == Outcome::duplicate);
        };
        life.log().append(std::move(refused));
        life.log().append(std::move(repeated));
        CHECK(answers == 0);
        CHECK(life.log().head() == Seq{0});
        CHECK(life.log().entity("a", "k")->version == Version{0});
    });
    CHECK(life.put({{.topic = "a/x", .key = "k", .value = "1", .id = "i"}})[0].outcome ==
          Outcome::written);
    CHECK(inside);
    CHECK(answers == 2);
}

TEST_CASE("store: the queue has an end, and what finds it full is refused and absent") {
    Life life;
    life.options.group_bytes_max = 64 * 1024;
    life.options.queue_bytes_max = 128 * 1024;
    life.must_open();
    std::vector<Outcome> outcomes;
    bool inside = false;
    life.env.on_call([&](SimCall call, const std::string&) {
        if (call != SimCall::sync || std::exchange(inside, true)) return;
        for (int i = 0; i < 8; ++i) {
            auto batch = make_batch({{.topic = "a/x", .value = std::string(60'000, 'v')}});
            batch->done = [&](std::unique_ptr<WriteBatch> done) {
                const WriteResult& result = done->results[0];
                outcomes.push_back(result.outcome);
                if (result.outcome == Outcome::written) return;
                CHECK(result.error->code == Code::backpressure);
            };
            life.log().append(std::move(batch));
        }
        // Some in the open group, some in the queue; the others were told at once.
        CHECK(outcomes.size() >= 3);
        CHECK(outcomes.size() <= 5);
    });
    CHECK(life.put({numbered(1)})[0].outcome == Outcome::written);
    life.env.on_call(nullptr);
    REQUIRE(outcomes.size() == 8);
    const auto written = std::count(outcomes.begin(), outcomes.end(), Outcome::written);
    CHECK(read_all(life.log())->size() == static_cast<std::size_t>(written) + 1);
    CHECK(life.put({numbered(2)})[0].outcome == Outcome::written);
}

TEST_CASE("store: what was judged on a group that could not be written is forgotten") {
    Life life;
    life.must_open();
    life.put({{.topic = "a/x", .key = "k"}});
    life.env.inject({.kinds = {SimCall::write}, .path_part = "/wal/", .code = Code::disk_full});
    bool inside = false;
    Code code = Code::bug;
    life.env.on_call([&](SimCall call, const std::string&) {
        if (call != SimCall::write || inside) return;
        inside = true;
        auto batch = make_batch({{.topic = "a/x", .key = "k", .expect = expect_version(2)}});
        batch->done = [&](std::unique_ptr<WriteBatch> done) {
            CHECK(done->results[0].outcome == Outcome::refused);
            code = done->results[0].error->code;
        };
        life.log().append(std::move(batch));
    });
    const auto failed = life.put({{.topic = "a/x", .key = "k", .value = "2", .id = "i"}});
    CHECK(failed[0].error->code == Code::disk_full);
    CHECK(code == Code::disk_full);
    life.env.on_call(nullptr);
    const auto again = life.put({{.topic = "a/x", .key = "k", .value = "2", .id = "i"}});
    CHECK(again[0].outcome == Outcome::written);
    CHECK(again[0].version == Version{2});
    CHECK(again[0].seq == Seq{2});
    life.env.crash_lose_all();
    life.must_open();
    life.must_hold();
}

TEST_CASE("store: where no index can be written, writes end with backpressure and a close ends") {
    for (const bool resumes : {true, false}) {
        Life life;
        life.must_open();
        REQUIRE(life.log().put_setting("n", "1").ok());
        life.note(check_recovered(life.log(), life.model));
        CHECK_FALSE(life.wrong.empty());  // a setting that nobody told the model
        life.wrong.clear();
        life.model = {};
        life.env.inject(
            {.kinds = {SimCall::write}, .path_part = "/index/", .times = SimFault::kForever});
        std::uint64_t written = 0;
        bool full = false;
        while (!full && written < 50'000) {
            std::vector<Put> puts;
            for (int k = 0; k < 50; ++k) {
                puts.push_back(
                    {.topic = "a/x", .key = std::to_string(written) + "-" + std::to_string(k)});
            }
            bool answered = false;
            auto batch = make_batch(puts);
            batch->done = [&](std::unique_ptr<WriteBatch> done) {
                answered = true;
                full = done->results[0].outcome == Outcome::refused;
                if (full) CHECK(done->results[0].error->code == Code::backpressure);
            };
            life.log().append(std::move(batch));
            REQUIRE(answered);
            if (!full) written += puts.size();
        }
        REQUIRE(full);
        CHECK(read_all(life.log())->size() == written);
        if (resumes) {
            life.env.clear_faults();
            CHECK(write_one(life.log(), {.topic = "a/x", .key = "k"}).outcome == Outcome::written);
            ++written;
        }
        CHECK(life.store->close().ok() == resumes);
        life.env.crash();
        life.env.clear_faults();
        life.store.reset();
        auto opened = Store::open(life.env, life.options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        CHECK(read_all((*opened)->default_log())->size() == written);
        CHECK((*opened)->default_log().setting("n") == "1");
    }
}

TEST_CASE("store: a damaged index is made anew by a start, and never believed") {
    Life sound;
    short_workload(sound);
    REQUIRE_MESSAGE(sound.wrong.empty(), sound.wrong);
    sound.store.reset();
    std::vector<std::string> indexes = files_with(sound.env, ".run");
    const std::size_t runs = indexes.size();
    for (std::string& path : files_with(sound.env, ".idx")) indexes.push_back(std::move(path));
    REQUIRE(runs > 0);
    REQUIRE(indexes.size() > runs);
    for (const std::string& path : indexes) {
        const std::size_t size = sound.env.read_file(path)->size();
        for (std::size_t offset = 0; offset < size; offset += 97) {
            INFO(path << " at " << offset);
            Life life;
            life.model = sound.model;
            const std::unique_ptr<SimEnv> env = sound.env.clone(offset);
            REQUIRE(env->flip(path, offset, 0x10).ok());
            bool right = false;
            for (int start = 0; start < 2 && !right; ++start) {
                auto opened = Store::open(*env, life.options);
                REQUIRE_MESSAGE(opened.ok(), opened.error().message);
                Log& log = (*opened)->default_log();
                const std::string wrong = check_recovered(log, life.model);
                right = wrong.empty() && write_one(log, numbered(3)).outcome == Outcome::duplicate;
                // Damage in use is said, and the next start has cured it.
                if (!right && !wrong.empty()) CHECK(wrong.find("rebuilding") != std::string::npos);
            }
            CHECK(right);
        }
    }
}

TEST_CASE("store: a start behind a clean stop does not read the records again") {
    constexpr std::size_t kRecords = 3000;
    const std::string text = "\"" + std::string(1000, 'x') + "\"";
    SimEnv env(12);
    StoreOptions options;
    options.dir = "/data";
    options.wal_first_file_bytes = 8 << 20;
    options.wal_file_bytes = 8 << 20;
    std::unique_ptr<Store> store;
    // Whether it read the index of the file that was the live one. Without it all of it is read.
    const auto start = [&] {
        store.reset();
        bool indexed = false;
        env.on_call([&](SimCall call, const std::string& path) {
            indexed = indexed || (call == SimCall::read && path.ends_with("2.idx"));
        });
        auto opened = Store::open(env, options);
        env.on_call(nullptr);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
        return indexed;
    };
    static_cast<void>(start());
    // Frames of several sizes.
    for (std::size_t at = 0, batch = 1; at < kRecords; at += batch, batch = batch % 97 + 1) {
        std::vector<Put> puts;
        for (std::size_t i = at; i < at + batch; ++i) {
            puts.push_back({"t/" + std::to_string(i % 7), "k" + std::to_string(i), text});
        }
        for (const WriteResult& result : write(store->default_log(), puts)) {
            REQUIRE(result.outcome == Outcome::written);
        }
    }
    SUBCASE("clean") {
        REQUIRE(store->close().ok());
        CHECK(start());
    }
    SUBCASE("killed") {
        env.kill();
        CHECK_FALSE(start());
    }
    SUBCASE("clean, then damaged where no start looks") {
        REQUIRE(store->close().ok());
        REQUIRE(env.flip("/data/wal/00000000000000000002.wal", 1 << 20, 1).ok());
        CHECK(start());
        CHECK(read_all(store->default_log()).error().code == Code::corrupt);
        return;
    }
    // The index says where a key's record lies.
    for (const int n : {0, 1500, 2990}) {
        ReadOptions read;
        read.filters = {"t/*"};
        read.key = "k" + std::to_string(n);
        const auto found = read_all(store->default_log(), read);
        REQUIRE(found.ok());
        REQUIRE(found->size() == 1);
        CHECK(found->front().seq == static_cast<std::uint64_t>(n) + 1);
    }
}

TEST_CASE("store: indexes that were rebuilt equal those that were maintained") {
    Life life;
    short_workload(life);
    REQUIRE_MESSAGE(life.wrong.empty(), life.wrong);
    life.store.reset();
    const auto dump = [&]() -> RunContents {
        std::vector<std::string> notices;
        const std::unique_ptr<SimEnv> env = life.env.clone(1);
        WalOptions options;
        options.dir = "/data";
        const auto set = SegmentSet::open(*env, options.dir, "test");
        REQUIRE(set.ok());
        const auto wal = Wal::open(*env, options, *(*set)->state());
        REQUIRE(wal.ok());
        const auto runs = RunSet::open(*env, "/data/index/1", wal->wal->store_uuid(), notices);
        REQUIRE(runs.ok());
        CHECK(notices.empty());
        auto contents = (*runs)->dump();
        REQUIRE(contents.ok());
        return std::move(contents).value();
    };
    const auto bytes_of = [&] {
        std::map<std::string, std::string> all;
        for (const std::string& path : files_with(life.env, ".idx")) {
            all[path] = *life.env.read_file(path);
        }
        return all;
    };
    const RunContents maintained = dump();
    const auto files = bytes_of();
    REQUIRE(maintained.heads.size() == 7);
    REQUIRE(files.size() >= 2);
    for (const std::string& path : files_with(life.env, "/data/index/")) {
        if (life.env.read_file(path).ok()) REQUIRE(life.env.remove(path).ok());
    }
    life.must_open();
    REQUIRE(life.store->maintain().ok());
    REQUIRE(life.store->close().ok());
    life.store.reset();
    const RunContents rebuilt = dump();
    CHECK((rebuilt.heads == maintained.heads));
    CHECK((rebuilt.ids == maintained.ids));
    CHECK((rebuilt.sessions == maintained.sessions));
    CHECK(rebuilt.covered_after == maintained.covered_after);
    CHECK(rebuilt.covered_upto == maintained.covered_upto);
    CHECK(rebuilt.last_time == maintained.last_time);
    const auto again = bytes_of();
    for (const auto& file : files) {
        INFO(file.first);
        REQUIRE(again.contains(file.first));
        CHECK((again.at(file.first) == file.second));
    }
}
