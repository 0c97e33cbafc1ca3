// klog/verify.h on sealed segments: each kind of damage is found, and in the right file.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "index/runs.h"
#include "klog/verify.h"
#include "log/verify_versions.h"
#include "segment/segment_set.h"
#include "support/log_helpers.h"

using namespace klog;
using namespace klog::test;

namespace {

struct Found {
    VerifyReport report;
    std::vector<VerifiedFile> files;

    [[nodiscard]] std::vector<std::string> damaged() const {
        std::vector<std::string> names;
        for (const VerifiedFile& file : files) {
            if (file.finding == FileFinding::damaged) names.push_back(file.name);
        }
        return names;
    }
    [[nodiscard]] const VerifiedFile& file(const std::string& name) const {
        const auto at = std::find_if(files.begin(), files.end(),
                                     [&](const VerifiedFile& found) { return found.name == name; });
        REQUIRE_MESSAGE(at != files.end(), name);
        return *at;
    }
};

Found verify(Env& env, bool deep, bool live = false) {
    Found found;
    VerifyOptions options;
    options.dir = "/data";
    options.deep = deep;
    options.live = live;
    std::uint64_t done = 0;
    options.on_progress = [&done](const VerifyProgress& progress) { done = progress.bytes_done; };
    options.on_file = [&found](const VerifiedFile& file) { found.files.push_back(file); };
    const auto report = verify_store(env, options);
    REQUIRE(report.ok());
    CHECK(done > 0);
    found.report = *report;
    return found;
}

// A closed store with several segments of several blocks each, and records in the WAL.
struct Sealed {
    SimEnv env{3};
    std::uint64_t records = 0;

    Sealed() {
        auto store = Store::open(env, options());
        REQUIRE(store.ok());
        while (names().size() < 3) {
            write((*store)->default_log(), puts(records));
            REQUIRE((*store)->maintain().ok());
        }
        REQUIRE((*store)->close().ok());
    }
    // Closes nothing: for a look beside a store that goes on.
    static bool merge(Store& store, std::uint64_t& records) {
        for (int i = 0; i < 40; ++i) {
            const std::uint64_t before = store.stats().segments;
            for (int n = 0; n < 5; ++n) write(store.default_log(), puts(records));
            if (!store.maintain().ok()) return false;
            if (store.stats().segments < before) return true;
        }
        return false;
    }
    static std::vector<Put> puts(std::uint64_t& records) {
        std::vector<Put> puts;
        for (int i = 0; i < 100; ++i) {
            const std::string n = std::to_string(records++ % 97);
            puts.push_back({.topic = "orders/" + n,
                            .key = "k" + n,
                            .value = "\"" + std::string(200, 'v') + n + "\""});
        }
        return puts;
    }
    static StoreOptions options() {
        StoreOptions options;
        options.dir = "/data";
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 64 * 1024;
        options.seal_bytes_min = 32 * 1024;
        options.memtable_bytes_max = 64 * 1024;
        return options;
    }
    [[nodiscard]] std::vector<std::string> names() {
        std::vector<std::string> names;
        const auto set = SegmentSet::open(env, "/data", "");
        REQUIRE(set.ok());
        const auto state = (*set)->state();
        for (const SegmentEntry& entry : state->logs[1]) {
            names.push_back(segment_path("", LogId::default_log, entry.segment_id).substr(1));
        }
        return names;
    }
};

}  // namespace

TEST_CASE("verify segments: what a store sealed is sound, and counts") {
    Sealed store;
    for (const bool deep : {false, true}) {
        const Found found = verify(store.env, deep);
        CHECK(found.damaged().empty());
        CHECK(found.report.records == store.records);
        CHECK(found.report.notices.empty());
        for (const std::string& name : store.names()) {
            CHECK(found.file(name).finding == FileFinding::sound);
            CHECK(found.file(name).records > 0);
            CHECK(found.file(name).bytes == store.env.read_file("/data/" + name)->size());
        }
    }
}

TEST_CASE("verify segments: a flipped byte, a cut, an exchange and a loss are found and named") {
    Sealed store;
    const std::vector<std::string> names = store.names();
    const std::string path = "/data/" + names[1];
    const std::string bytes = *store.env.read_file(path);
    const auto only_this = [&](bool also_deep) {
        const Found found = verify(store.env, also_deep);
        CHECK(found.damaged() == std::vector{names[1]});
        const VerifiedFile& file = found.file(names[1]);
        CHECK(file.error->code == Code::corrupt);
        CHECK(file.error->message.find(path) != std::string::npos);
        CHECK_FALSE(file.error->hint.empty());
        CHECK(found.report.notices.size() == (also_deep ? 1 : 0));
        return file;
    };
    // From the header over blocks, pages and tables to the root.
    bool deep = false;
    for (std::size_t at = 0; at < bytes.size(); at += bytes.size() / 60) {
        deep = !deep;
        CAPTURE(at);
        REQUIRE(store.env.flip(path, at, 0x10).ok());
        CHECK(only_this(deep).offset.has_value());
        REQUIRE(store.env.flip(path, at, 0x10).ok());
    }
    for (const std::size_t length : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
        REQUIRE(store.env.write_file(path, bytes.substr(0, length)).ok());
        only_this(false);
    }
    REQUIRE(store.env.remove(path).ok());
    CHECK(only_this(true).error->message.find("holds the records from seq") != std::string::npos);
    REQUIRE(store.env.write_file(path, bytes).ok());

    const std::string other = *store.env.read_file("/data/" + names[0]);
    REQUIRE(store.env.write_file(path, other).ok());
    REQUIRE(store.env.write_file("/data/" + names[0], bytes).ok());
    CHECK(verify(store.env, false).damaged() == std::vector{names[0], names[1]});
}

TEST_CASE("verify segments: a merge beside a look is no damage, whenever it comes") {
    for (std::uint64_t when = 1; when < 120; when += 9) {
        CAPTURE(when);
        SimEnv env(when);
        auto store = Store::open(env, Sealed::options());
        REQUIRE(store.ok());
        std::uint64_t records = 0;
        while ((*store)->stats().segments < 3) {
            write((*store)->default_log(), Sealed::puts(records));
            REQUIRE((*store)->maintain().ok());
        }
        std::uint64_t calls = 0;
        bool working = false;
        bool merged = false;
        env.on_call([&](SimCall, const std::string&) {
            if (working || ++calls != when) return;
            working = true;
            merged = Sealed::merge(**store, records);
            working = false;
        });
        const Found found = verify(env, true, true);
        env.on_call(nullptr);
        CHECK(found.damaged().empty());
        CHECK((merged || calls < when));
    }
}

TEST_CASE("verify segments: what the manifest does not name is left over") {
    Sealed store;
    const std::string name = "seg/1/00000000000000009999.seg";
    REQUIRE(store.env.write_file("/data/" + name, "anything").ok());
    const Found found = verify(store.env, true);
    CHECK(found.damaged().empty());
    CHECK(found.file(name).kind == FileKind::left_over);
    CHECK(found.report.records == store.records);
}

TEST_CASE("verify segments: a WAL that does not go on where the segments end is damage") {
    Sealed store;
    const auto set = SegmentSet::open(store.env, "/data", "t");
    REQUIRE(set.ok());
    SegmentSetState next = *(*set)->state();
    next.logs[1].pop_back();
    // As an edit may not do: it takes something back.
    REQUIRE(store.env.remove("/data/seg/manifest").ok());
    const auto fresh = SegmentSet::open(store.env, "/data", "t");
    REQUIRE(fresh.ok());
    next.number = 0;
    REQUIRE((*fresh)->apply(next).ok());
    REQUIRE(store.env.remove("/data/wal/clean").ok());
    const Found found = verify(store.env, false);
    REQUIRE_FALSE(found.damaged().empty());
    bool said = false;
    for (const VerifiedFile& file : found.files) {
        said =
            said || (file.error && file.kind == FileKind::wal &&
                     file.error->message.find("but the segments end at seq") != std::string::npos);
    }
    CHECK(said);
}

TEST_CASE("verify versions: a gap, a repetition and a late beginning are found, within the bound") {
    VersionVerifier versions(2);
    const HashKey key{};
    std::uint64_t seq = 0;
    const auto add = [&](const std::string& name, std::uint64_t version) {
        RecordView record;
        record.seq = Seq{++seq};
        record.has_key = true;
        record.topic = "a/b";
        record.key = name;
        record.version = Version{version};
        return versions.add(LogId::default_log, key, record).ok();
    };
    CHECK(add("x", 1));
    CHECK(add("x", 2));
    CHECK_FALSE(add("x", 4));
    CHECK(add("x", 5));
    CHECK_FALSE(add("x", 5));
    CHECK_FALSE(add("y", 2));
    CHECK_FALSE(versions.overflowed());
    CHECK(add("z", 7));  // one too many
    CHECK(versions.overflowed());
    CHECK(add("y", 3));
    CHECK(versions.count(LogId::default_log, Seq{0}, Seq{seq}) == 2);
    CHECK(versions.count(LogId::default_log, Seq{5}, Seq{seq}) == 1);
    CHECK(versions.count(LogId::system, Seq{0}, Seq{seq}) == 0);
    seq = 0;
    CHECK(add("x", 9));  // was seen before
    versions.give_up(LogId::default_log);
    seq = 100;
    CHECK(add("x", 99));
}

namespace {

// Writes the heads of the default log anew, changed.
void change_heads(Sealed& store, const std::function<void(RunContents&)>& change) {
    auto opened = Store::open(store.env, Sealed::options());
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    // So many keys that a run is due, which covers the whole log then.
    std::vector<Put> puts;
    for (int i = 0; i < 3000; ++i) {
        puts.push_back({.topic = "more/1", .key = "m" + std::to_string(i)});
    }
    write((*opened)->default_log(), puts);
    REQUIRE((*opened)->maintain().ok());
    REQUIRE((*opened)->close().ok());
    const auto set = SegmentSet::open(store.env, "/data", "");
    REQUIRE(set.ok());
    const auto state = (*set)->state();
    std::vector<std::string> notices;
    auto runs = RunSet::open(store.env, "/data/index/1", state->store_uuid, notices);
    REQUIRE(runs.ok());
    auto contents = (*runs)->dump();
    REQUIRE(contents.ok());
    REQUIRE(contents->heads.size() > 10);
    change(*contents);
    REQUIRE((*runs)->reset().ok());
    REQUIRE((*runs)->add(*contents).ok());
}

}  // namespace

TEST_CASE("verify segments: heads that are not those of the log are found by a deep look") {
    struct Case {
        const char* says;
        std::function<void(RunContents&)> change;
    };
    const std::vector<Case> cases = {
        {"", [](RunContents&) {}},
        {"which in the log is at", [](auto& run) { ++run.heads[3].second.version.value; }},
        {"which in the log is at", [](auto& run) { --run.heads[4].second.last_seq.value; }},
        {"which in the log is at", [](auto& run) { --run.heads[7].second.version.value; }},
        {"which the log does not have", [](auto& run) { run.heads[5].first.hi += 16; }},
        {"it knows 3096 of the 3097 keys", [](auto& run) { run.heads.pop_back(); }},
    };
    for (const Case& one : cases) {
        CAPTURE(one.says);
        Sealed store;
        change_heads(store, one.change);
        CHECK(verify(store.env, false).damaged().empty());
        const Found found = verify(store.env, true);
        const bool wrong = std::string_view(one.says) != "";
        REQUIRE(found.damaged().size() == (wrong ? 1 : 0));
        if (!wrong) continue;
        // It was told before that its checksums are sound.
        const VerifiedFile& file = found.files.back();
        CHECK(file.name.starts_with("index/1/"));
        CHECK(file.kind == FileKind::run);
        REQUIRE(file.error);
        CHECK_MESSAGE(file.error->message.find(one.says) != std::string::npos, file.error->message);
    }
}
