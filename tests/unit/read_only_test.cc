// A store that is opened read-only over the simulated disk: it gives what a start would give,
// leaves every byte as it is, and says so where something is missing, whatever it is asked.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "base/crc32c.h"
#include "env/sim_env.h"
#include "segment/segment_set.h"
#include "support/log_helpers.h"
#include "support/naive_matcher.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

const std::string kDir = "/data";

struct Fixture {
    SimEnv env;
    StoreOptions options;
    std::unique_ptr<Store> store;
    std::vector<Got> written;
    std::string contents_before;
    std::array<std::uint64_t, 5> writes_before{};

    // Either all that is closed is sealed, into some segments, or nothing is.
    explicit Fixture(bool sealing, std::uint64_t seed = 23) : env(seed) {
        options.dir = kDir;
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 64 * 1024;
        options.seal_bytes_min = sealing ? 32 * 1024 : 1ULL << 30U;
        options.merged_bytes_max = 128 * 1024;
        options.memtable_bytes_max = 64 * 1024;
        options.tail_cache_bytes = 1;  // or nothing would be read from files
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    Log& log() { return store->default_log(); }

    void fill(int count) {
        for (int i = 0; i < count; ++i) {
            const auto n = static_cast<int>(written.size());
            Put put;
            put.topic = "orders/" + std::to_string(n / 400) + "/" + (n % 3 == 0 ? "new" : "paid");
            if (n % 5 != 0) put.key = "k" + std::to_string(n % 97);
            // Some keys are written once only, at the beginning or the end.
            if (n % 50 == 0) put.key = "once" + std::to_string(n);
            put.value = std::to_string(n) + std::string(static_cast<std::size_t>(60 + n % 90), 'x');
            const WriteResult result = write_one(log(), put);
            REQUIRE(result.outcome == Outcome::written);
            written.push_back(
                {result.seq.value, result.version.value, put.topic, put.key, put.value, ""});
            env.advance(1000);
        }
    }
    void stop_cleanly() {
        REQUIRE(store->close().ok());
        store.reset();
    }
    void power_cut() {
        store.reset();
        env.crash();
    }
    void remove_indexes(const std::string& folder) {
        const auto names = env.list_dir(kDir + "/index/" + folder);
        if (!names.ok()) return;
        for (const std::string& name : *names) {
            REQUIRE(env.remove(kDir + "/index/" + folder + "/" + name).ok());
        }
    }
    [[nodiscard]] std::array<std::uint64_t, 5> writes() const {
        return {env.calls(SimCall::create), env.calls(SimCall::write), env.calls(SimCall::remove),
                env.calls(SimCall::rename), env.calls(SimCall::truncate)};
    }
    // Every file's size and checksum. What is not synced yet may be synced.
    [[nodiscard]] std::string contents() const {
        std::string text;
        for (const std::string& path : env.files()) {
            const std::string bytes = *env.read_file(path);
            text += path + " " + std::to_string(bytes.size()) + " " +
                    std::to_string(crc32c(bytes)) + "\n";
        }
        return text;
    }
    Status try_read_only() {
        contents_before = contents();
        writes_before = writes();
        options.read_only = true;
        auto opened = Store::open(env, options);
        if (!opened.ok()) return std::move(opened).error();
        store = std::move(opened).value();
        return {};
    }
    void open_read_only() {
        const Status opened = try_read_only();
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    }
    ~Fixture() {
        if (contents_before.empty()) return;
        store.reset();
        CHECK(contents() == contents_before);
        CHECK(writes() == writes_before);
    }
    // A writer does not start on it, and says what does.
    void check_writer_stops() {
        const auto copy = env.clone(5);
        StoreOptions writing = options;
        writing.read_only = false;
        const auto opened = Store::open(*copy, writing);
        REQUIRE_FALSE(opened.ok());
        CHECK(opened.error().code == Code::corrupt);
        CHECK(opened.error().hint.find("klog daemon --read-only") != std::string::npos);
    }

    [[nodiscard]] const Hole* hole_in(std::uint64_t after, std::uint64_t until) const {
        for (const Hole& hole : store->recovery().holes) {
            if (hole.log != LogId::default_log) continue;
            const bool reaches = hole.last.value > after || hole.open_ended;
            if (hole.first.value <= until && reaches) return &hole;
        }
        return nullptr;
    }
    void check_is_hole(const Error& error, const Hole& hole) {
        CHECK(error.code == Code::corrupt);
        CHECK(error.message.find(kDir) != std::string::npos);
        CHECK(error.message.find("seq " + std::to_string(hole.first.value)) != std::string::npos);
    }
    // (after, until]: what lies before a hole comes, then the read fails; without one all comes.
    void check_range(std::uint64_t after, std::uint64_t until, const std::string& filter) {
        CAPTURE(after);
        CAPTURE(until);
        CAPTURE(filter);
        ReadOptions read;
        read.filters = {filter};
        read.from = {ReadFrom::Form::after, Seq{after}, {}, 0};
        read.until_seq = Seq{until};
        const Hole* hole = hole_in(after, until);
        std::vector<Got> wanted;
        for (const Got& record : written) {
            if (record.seq <= after || record.seq > until) continue;
            if (hole != nullptr && record.seq >= hole->first.value) break;
            if (naive::matches(filter, record.topic)) wanted.push_back(record);
        }
        const auto reader = log().read(read);
        REQUIRE(reader.ok());
        std::vector<Got> got;
        std::optional<Error> error;
        for (bool end = false; !end && !error;) {
            auto chunk = (*reader)->read(64U * 1024, 100);
            if (!chunk.ok()) {
                error = chunk.error();
                break;
            }
            for (const RecordView& record : chunk->records) got.push_back(copy(record));
            end = chunk->end;
        }
        CHECK(got == wanted);
        REQUIRE(error.has_value() == (hole != nullptr));
        if (error) check_is_hole(*error, *hole);

        CountOptions counted;
        counted.filters = {filter};
        counted.after = Seq{after};
        counted.until_seq = Seq{until};
        const auto count = log().count(counted);
        REQUIRE(count.ok() == (hole == nullptr));
        if (count.ok()) CHECK(*count == wanted.size());
        if (!count.ok()) check_is_hole(count.error(), *hole);
    }
    void check_ranges() {
        const std::uint64_t head = log().head().value;
        std::vector<std::uint64_t> edges = {0, head};
        for (std::uint64_t at = 0; at < head; at += 313) edges.push_back(at);
        for (const Hole& hole : store->recovery().holes) {
            edges.push_back(hole.first.value - 1);
            edges.push_back(hole.first.value);
            edges.push_back(hole.last.value);
            edges.push_back(hole.last.value + 1);
        }
        for (const std::uint64_t after : edges) {
            for (const std::uint64_t until : edges) {
                if (after >= until || until > head) continue;
                check_range(after, until, ">");
                check_range(after, until, "orders/*/new");
            }
        }
    }
    // The newest record of each key; a key of which that is not known fails. `known_behind`: what
    // is newest is known only where it lies behind it.
    void check_keys(std::uint64_t known_behind) {
        std::map<std::string, Got> newest;
        for (const Got& record : written) {
            if (!record.key.empty()) newest[record.key] = record;
        }
        for (const auto& entry : newest) {
            const std::string& key = entry.first;
            const Got& record = entry.second;
            CAPTURE(key);
            const auto got = log().get("orders", key, std::nullopt);
            const bool readable = hole_in(record.seq - 1, record.seq) == nullptr;
            REQUIRE(got.ok() == (record.seq > known_behind && readable));
            if (got.ok()) CHECK(copy(got->view) == record);
            if (!got.ok()) CHECK(got.error().code == Code::corrupt);
        }
        const auto unknown = log().get("orders", "never", std::nullopt);
        REQUIRE_FALSE(unknown.ok());
        CHECK(unknown.error().code == (known_behind == 0 ? Code::not_found : Code::corrupt));
    }
    void check_listings(bool known) {
        std::map<std::string, std::uint64_t> topics;
        for (const Got& record : written) ++topics[record.topic];
        const auto listed = log().topics(">", "", 1000);
        REQUIRE(listed.ok() == known);
        const auto keys = log().keys("orders", "once", "", false, 1000);
        REQUIRE(keys.ok() == known);
        const auto head = log().head("orders/0/*");
        REQUIRE(head.ok() == known);
        if (!known) {
            CHECK(listed.error().code == Code::corrupt);
            CHECK(keys.error().code == Code::corrupt);
            CHECK(head.error().code == Code::corrupt);
            return;
        }
        std::map<std::string, std::uint64_t> got;
        for (const TopicRow& row : listed->rows) got[row.topic] = row.records;
        CHECK(got == topics);
        CHECK(keys->rows.size() == (written.size() + 49) / 50);
    }
    [[nodiscard]] std::vector<SegmentEntry> segments() {
        const auto set = SegmentSet::open(env, kDir, "test");
        REQUIRE(set.ok());
        return set.value()->state()->logs[1];
    }
    [[nodiscard]] std::string path_of(const SegmentEntry& entry) const {
        return segment_path(kDir, entry.log_id, entry.segment_id);
    }
    [[nodiscard]] std::vector<std::string> wal_paths() {
        std::vector<std::string> paths;
        for (const std::string& path : env.files()) {
            if (path.starts_with(kDir + "/wal/") && path.ends_with(".wal")) paths.push_back(path);
        }
        return paths;
    }
    void damage_in(const std::string& path, std::uint64_t offset) {
        REQUIRE(env.flip(path, offset).ok());
    }
    void cut(const std::string& path, std::size_t bytes) {
        std::string content = *env.read_file(path);
        REQUIRE(content.size() > bytes);
        content.resize(bytes);
        REQUIRE(env.write_file(path, content).ok());
    }
};

}  // namespace

TEST_CASE("read-only: a sound store gives all that a start would give, and stays as it is") {
    for (const bool sealing : {false, true}) {
        CAPTURE(sealing);
        Fixture f(sealing);
        f.fill(2500);
        SUBCASE("after a clean stop") { f.stop_cleanly(); }
        SUBCASE("after a power cut") { f.power_cut(); }
        SUBCASE("after kill -9") {
            f.store.reset();
            f.env.kill();
        }
        SUBCASE("without any index") {
            f.stop_cleanly();
            for (const char* folder : {"wal", "0", "1"}) f.remove_indexes(folder);
        }
        SUBCASE("with what a start removes") {
            f.stop_cleanly();
            for (const std::string& path : f.env.files()) {
                if (path.ends_with(".run")) f.damage_in(path, 40);
            }
            for (const char* path : {"/index/1/00000000000000000099.run.tmp", "/wal/clean.tmp",
                                     "/wal/00000000000000000000.wal", "/seg/manifest.tmp"}) {
                if (!sealing && std::string(path).starts_with("/seg")) continue;
                REQUIRE(f.env.write_file(kDir + path, "left over").ok());
            }
        }
        SUBCASE("without runs, after a power cut") {
            f.power_cut();
            f.remove_indexes("1");
        }
        f.open_read_only();
        CHECK(f.store->recovery().holes.empty());
        CHECK(f.log().head() == Seq{2500});
        CHECK(f.store->stats().read_only);
        CHECK_FALSE(f.store->stats().writable);
        f.check_ranges();
        f.check_keys(0);
        f.check_listings(true);
    }
}

TEST_CASE("read-only: what no group was answered for is judged as a start judges it") {
    for (std::uint64_t call = 1; call < 60; call += 3) {
        Fixture f(false);
        f.fill(40);
        f.env.crash_at_call(f.env.calls() + call);
        for (int i = 0; i < 30; ++i) {
            static_cast<void>(write_one(f.log(), {.topic = "a/b", .value = std::string(500, 'y')}));
        }
        f.store.reset();
        f.env.crash();
        const auto copy = f.env.clone(7);
        auto writing = Store::open(*copy, f.options);
        REQUIRE_MESSAGE(writing.ok(), writing.error().message);
        const auto wanted = read_all((*writing)->default_log());
        REQUIRE(wanted.ok());
        f.open_read_only();
        CHECK(f.store->recovery().holes.empty());
        const auto got = read_all(f.log());
        REQUIRE(got.ok());
        CHECK(*got == *wanted);
        CHECK(f.log().head() == (*writing)->default_log().head());
    }
}

TEST_CASE("read-only: a tail that the disk may not hold is not shown") {
    Fixture f(false);
    f.fill(40);
    f.store.reset();
    f.env.kill();
    f.env.inject({.kinds = {SimCall::sync}, .times = SimFault::kForever});
    f.open_read_only();
    const auto& holes = f.store->recovery().holes;
    REQUIRE(holes.size() == 1);
    CHECK(holes[0].open_ended);
    CHECK(holes[0].first < Seq{41});
    CHECK(read_all(f.log()).error().code == Code::corrupt);
    f.check_range(0, holes[0].first.value - 1, ">");
}

TEST_CASE("read-only: whatever writes is refused") {
    Fixture f(true);
    f.fill(300);
    f.stop_cleanly();
    f.open_read_only();
    const auto results = write(f.log(), {{.topic = "a/b"}, {.topic = "a/c", .key = "k"}});
    REQUIRE(results.size() == 2);
    for (const WriteResult& result : results) {
        CHECK(result.outcome == Outcome::refused);
        CHECK(result.error->code == Code::not_allowed);
        CHECK_FALSE(result.error->hint.empty());
    }
    const auto setting = f.log().put_setting("a", "1");
    REQUIRE_FALSE(setting.ok());
    CHECK(setting.error().code == Code::not_allowed);
    CHECK(f.store->maintain().ok());
    f.store->run_maintenance({});
    f.store->run_sealer({});
    f.store->run_writer({});
    CHECK(f.log().head() == Seq{300});
    CHECK(f.store->close().ok());
    f.check_range(0, 300, ">");
}

TEST_CASE("read-only: no writer lives beside it, and it lives beside none") {
    Fixture f(false);
    f.fill(10);
    StoreOptions other = f.options;
    other.read_only = true;
    CHECK(Store::open(f.env, other).error().code == Code::locked);
    f.stop_cleanly();
    f.open_read_only();
    other.read_only = false;
    CHECK(Store::open(f.env, other).error().code == Code::locked);
}

TEST_CASE("read-only: where there is no log none is made") {
    SimEnv env(3);
    StoreOptions options;
    options.dir = kDir;
    options.read_only = true;
    CHECK(Store::open(env, options).error().code == Code::no_input);
    REQUIRE(env.create_dirs(kDir).ok());
    CHECK(Store::open(env, options).error().code == Code::no_input);
    CHECK(env.files().empty());
}

TEST_CASE("read-only: a segment that cannot be read is a hole") {
    Fixture f(true);
    f.fill(3000);
    f.stop_cleanly();
    const auto segments = f.segments();
    REQUIRE(segments.size() >= 4);
    const SegmentEntry& bad = segments[1];
    const std::string path = f.path_of(bad);
    bool runs = true;
    SUBCASE("missing") { REQUIRE(f.env.remove(path).ok()); }
    SUBCASE("missing, and so are the runs and the key index") {
        REQUIRE(f.env.remove(path).ok());
        f.remove_indexes("1");
        runs = false;
    }
    SUBCASE("truncated") { f.cut(path, static_cast<std::size_t>(bad.file_bytes / 2)); }
    SUBCASE("empty") { REQUIRE(f.env.write_file(path, "").ok()); }
    SUBCASE("exchanged for another one") {
        REQUIRE(f.env.write_file(path, *f.env.read_file(f.path_of(segments[2]))).ok());
    }
    SUBCASE("with a damaged root") { f.damage_in(path, bad.file_bytes - 40); }
    f.check_writer_stops();
    f.open_read_only();
    const auto& holes = f.store->recovery().holes;
    REQUIRE(holes.size() == 1);
    CHECK(holes[0].first == bad.covered.first);
    CHECK(holes[0].last == bad.covered.last);
    CHECK_FALSE(holes[0].open_ended);
    CHECK(holes[0].why.find(path) != std::string::npos);
    CHECK(f.store->stats().holes == 1);
    CHECK(f.log().head() == Seq{3000});
    f.check_ranges();
    f.check_keys(runs ? 0 : bad.covered.last.value);
    // The database of a simulated disk lies in memory, so it has to be filled over the hole.
    f.check_listings(false);
}

TEST_CASE("read-only: versions before and behind a hole are found, those in it are not guessed") {
    Fixture f(true);
    f.fill(3000);
    f.stop_cleanly();
    REQUIRE(f.env.remove(f.path_of(f.segments()[1])).ok());
    f.open_read_only();
    std::vector<std::uint64_t> seqs;
    for (const Got& got : f.written) {
        if (got.key == "k1") seqs.push_back(got.seq);
    }
    std::uint64_t lost = 0;
    for (std::uint64_t version = 1; version <= seqs.size(); ++version) {
        const auto got = f.log().get("orders", "k1", Version{version});
        CHECK((got.ok() ? got->view.seq.value == seqs[version - 1]
                        : got.error().code == Code::corrupt && version > 1 && ++lost > 0));
    }
    CHECK((lost > 0 && lost < seqs.size() - 1));
}

TEST_CASE("read-only: start points beside a hole are right or fail") {
    Fixture f(true);
    f.fill(3000);
    f.stop_cleanly();
    const SegmentEntry bad = f.segments().rbegin()[1];
    REQUIRE(f.env.remove(f.path_of(bad)).ok());
    f.open_read_only();
    const std::uint64_t last = bad.covered.last.value;
    const std::uint64_t behind = 3000 - last;
    REQUIRE((behind > 10 && behind < 1000));  // or the first look would not reach into the hole
    ReadOptions read;
    read.from.form = ReadFrom::Form::last;
    for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{7}, behind}) {
        read.from.count = count;
        const auto got = read_all(f.log(), read);
        REQUIRE_MESSAGE(got.ok(), got.error().message);
        CHECK(*got == std::vector<Got>(f.written.end() - static_cast<std::ptrdiff_t>(count),
                                       f.written.end()));
    }
    read.from.count = behind + 1;
    CHECK(read_all(f.log(), read).error().code == Code::corrupt);
    read.from.form = ReadFrom::Form::time;
    read.from.time = Time{bad.last_time.micros + 1};
    const auto got = read_all(f.log(), read);
    REQUIRE_MESSAGE(got.ok(), got.error().message);
    CHECK(got->front().seq == last + 1);
    read.from.time = bad.last_time;
    CHECK(read_all(f.log(), read).error().code == Code::corrupt);
}

TEST_CASE("read-only: a damaged block fails alone") {
    Fixture f(true);
    f.fill(3000);
    f.stop_cleanly();
    const SegmentEntry entry = f.segments()[1];
    f.damage_in(f.path_of(entry), entry.file_bytes / 3);
    bool runs = true;
    SUBCASE("with runs") {}
    SUBCASE("without runs") {
        f.remove_indexes("1");
        runs = false;
    }
    f.open_read_only();
    CHECK(f.store->recovery().holes.empty() == runs);
    std::uint64_t unreadable = 0;
    for (std::uint64_t seq = 1; seq <= 3000; seq += 10) {
        ReadOptions read;
        read.from = {ReadFrom::Form::from, Seq{seq}, {}, 0};
        read.until_seq = Seq{seq};
        const auto got = read_all(f.log(), read);
        if (!got.ok()) {
            CHECK(got.error().code == Code::corrupt);
            CHECK(entry.covered.contains(Seq{seq}));
            ++unreadable;
            continue;
        }
        CHECK(*got == std::vector<Got>{f.written[seq - 1]});
    }
    CHECK(unreadable > 0);
    CHECK(unreadable * 10 < entry.records);
    // What is newest of a key is right or not told.
    std::map<std::string, Got> newest;
    for (const Got& record : f.written) newest[record.key] = record;
    newest.erase("");
    std::uint64_t told = 0;
    for (const auto& [key, record] : newest) {
        const auto got = f.log().get("orders", key, std::nullopt);
        CHECK((got.ok() ? copy(got->view) == record : got.error().code == Code::corrupt));
        told += got.ok() ? 1U : 0U;
    }
    CHECK(told >= 97);
}

TEST_CASE("read-only: a WAL file that cannot be read is a hole") {
    Fixture f(false);
    f.fill(2500);
    bool cleanly = true;
    bool head_known = true;
    std::vector<std::string> paths;
    const auto stop = [&] {
        cleanly ? f.stop_cleanly() : f.power_cut();
        paths = f.wal_paths();
        REQUIRE(paths.size() >= 6);
    };
    // Runs that end before the damage: what is newest is known only of what lies behind it.
    const auto forget_runs = [&] {
        f.remove_indexes("1");
        f.remove_indexes("wal");
    };
    bool open_ended = false;
    SUBCASE("one in the middle is missing") {
        stop();
        REQUIRE(f.env.remove(paths[2]).ok());
    }
    SUBCASE("the oldest two are missing, after a power cut") {
        cleanly = false;
        stop();
        REQUIRE(f.env.remove(paths[3]).ok());
        REQUIRE(f.env.remove(paths[4]).ok());
    }
    SUBCASE("one in the middle is cut short") {
        stop();
        f.cut(paths[2], 30'000);
    }
    SUBCASE("one in the middle has a damaged header") {
        stop();
        f.damage_in(paths[2], 100);
    }
    SUBCASE("one in the middle is of another store") {
        stop();
        Fixture other(false, 24);
        other.fill(1500);
        REQUIRE(f.env.write_file(paths[2], *other.env.read_file(other.wal_paths()[2])).ok());
    }
    SUBCASE("one in the middle is damaged, and there is no index of it") {
        stop();
        forget_runs();
        f.damage_in(paths[2], 30'000);
    }
    SUBCASE("the newest is missing after a clean stop") {
        stop();
        REQUIRE(f.env.remove(paths.back()).ok());
        open_ended = true;
    }
    SUBCASE("the newest is damaged after a clean stop") {
        stop();
        f.remove_indexes("wal");  // with its index a start does not read it
        f.damage_in(paths.back(), 4096 + 140);
        open_ended = true;
    }
    SUBCASE("the newest is damaged after a power cut") {
        cleanly = false;
        stop();
        f.damage_in(paths.back(), 4096 + 40);
        open_ended = true;
        head_known = false;
    }
    f.check_writer_stops();
    forget_runs();
    f.open_read_only();
    const auto& holes = f.store->recovery().holes;
    REQUIRE(holes.size() == 1);
    CHECK(holes[0].log == LogId::default_log);
    CHECK(holes[0].open_ended == open_ended);
    CHECK(holes[0].why.find(kDir + "/wal/") != std::string::npos);
    CHECK(holes[0].first > Seq{100});
    if (head_known) CHECK(f.log().head() == Seq{2500});
    if (!head_known) CHECK(f.log().head() == holes[0].first);
    f.check_ranges();
    f.check_keys(open_ended ? ~0ULL : holes[0].last.value);
    f.check_listings(false);
    // A time that may lie in the hole is no start.
    ReadOptions read;
    read.from.form = ReadFrom::Form::time;
    for (const std::uint64_t seq : {holes[0].first.value, holes[0].last.value}) {
        const auto before = f.written[holes[0].first.value - 2];
        ReadOptions one;
        one.from = {ReadFrom::Form::from, Seq{before.seq}, {}, 0};
        one.until_seq = Seq{before.seq};
        const auto reader = f.log().read(one);
        const auto chunk = (*reader)->read(1000, 1);
        REQUIRE(chunk.ok());
        read.from.time = Time{chunk->records.at(0).time.micros + 1 +
                              static_cast<std::int64_t>(seq - holes[0].first.value)};
        const auto opened = f.log().read(read);
        REQUIRE_FALSE(opened.ok());
        CHECK(opened.error().code == Code::corrupt);
    }
}

TEST_CASE("read-only: where the set of segments cannot be trusted nothing is served") {
    Fixture f(true);
    f.fill(2000);
    f.stop_cleanly();
    const std::string manifest = kDir + "/seg/manifest";
    SUBCASE("it is damaged") { f.damage_in(manifest, 200); }
    SUBCASE("it is missing") { REQUIRE(f.env.remove(manifest).ok()); }
    SUBCASE("it is cut short") { f.cut(manifest, 100); }
    const Status opened = f.try_read_only();
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == Code::corrupt);
    CHECK(opened.error().message.find("manifest") != std::string::npos);
    f.contents_before = f.contents();
}

TEST_CASE("read-only: heads that memory cannot hold are not told") {
    Fixture f(false);
    for (int i = 0; i < 3000; ++i) {
        const WriteResult result =
            write_one(f.log(), {.topic = "a/b", .key = "k" + std::to_string(i)});
        REQUIRE(result.outcome == Outcome::written);
    }
    f.fill(2000);
    f.written.clear();
    f.stop_cleanly();
    f.remove_indexes("1");
    f.options.read_only_heads_bytes_max = 64 * 1024;
    f.open_read_only();
    const auto got = f.log().get("a", "k7", std::nullopt);
    REQUIRE_FALSE(got.ok());
    CHECK(got.error().code == Code::io);
    CHECK_FALSE(got.error().hint.empty());
    CHECK(read_all(f.log()).ok());
}
