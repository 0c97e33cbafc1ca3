// Sealing and merging over the simulated disk: what was written is read back the same, whatever it
// lies in.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "env/sim_env.h"
#include "segment/record_codec.h"
#include "segment/segment_codec.h"
#include "segment/segment_reader.h"
#include "segment/segment_set.h"
#include "support/log_helpers.h"
#include "support/naive_matcher.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

constexpr const char* kDir = "/data";

struct Fixture {
    SimEnv env{11};
    StoreOptions options;
    std::unique_ptr<Store> store;
    std::vector<Got> written;
    int serial = 0;

    explicit Fixture(std::uint64_t merged_bytes_max = 64ULL << 20U) {
        options.dir = kDir;
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 64 * 1024;
        options.seal_bytes_min = 32 * 1024;
        options.memtable_bytes_max = 64 * 1024;
        options.tail_cache_bytes = 1;  // or nothing would be read from files
        options.merged_bytes_max = merged_bytes_max;
        open();
    }
    void open() {
        store.reset();
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    Log& log() { return store->default_log(); }

    // Topics come in stretches, as those of real logs do; "rare" ones now and then.
    void fill(int count) {
        std::vector<Put> puts;
        for (int i = 0; i < count; ++i) {
            const int n = static_cast<int>(written.size() + puts.size());
            Put put;
            put.topic = "orders/" + std::to_string(n / 500) + "/" + (n % 3 == 0 ? "new" : "paid");
            if (n % 997 == 0) put.topic = "rare/" + std::to_string(n);
            if (n % 5 != 0) put.key = "k" + std::to_string(n % 211);
            if (n % 7 == 0) put.id = "id" + std::to_string(n);
            put.value = R"({"n":)" + std::to_string(n) + R"(,"text":")" +
                        std::string(static_cast<std::size_t>(60 + n % 90), 'x') + "\"}";
            puts.push_back(put);
            if (puts.size() == 50 || i + 1 == count) flush(puts);
        }
    }
    void flush(std::vector<Put>& puts) {
        const auto results = write(log(), puts);
        for (std::size_t i = 0; i < puts.size(); ++i) {
            REQUIRE(results[i].outcome == Outcome::written);
            written.push_back({results[i].seq.value, results[i].version.value, puts[i].topic,
                               puts[i].key, puts[i].value, puts[i].id});
        }
        puts.clear();
    }
    // Until the power goes: false. What was not answered may be there all the same.
    bool try_to_fill(int count) {
        std::vector<Put> puts;
        for (int i = 0; i < count; ++i) {
            puts.push_back({.topic = "a/" + std::to_string(i % 4),
                            .key = "k" + std::to_string(i),
                            .value = std::to_string(++serial) + std::string(2000, 'y')});
        }
        const auto results = write(log(), puts);
        for (std::size_t i = 0; i < puts.size(); ++i) {
            if (results[i].outcome != Outcome::written) return false;
            written.push_back({results[i].seq.value, results[i].version.value, puts[i].topic,
                               puts[i].key, puts[i].value, puts[i].id});
        }
        return true;
    }
    // All that was acknowledged is there, and what else is there comes behind it.
    void check_nothing_lost() {
        const auto got = read_all(log());
        REQUIRE_MESSAGE(got.ok(), got.error().message);
        REQUIRE(got->size() >= written.size());
        for (std::size_t i = 0; i < got->size(); ++i) REQUIRE((*got)[i].seq == i + 1);
        std::vector<Got> known(got->begin(),
                               got->begin() + static_cast<std::ptrdiff_t>(written.size()));
        REQUIRE(known == written);
        written = *got;
    }
    void seal_all() {
        const Status done = store->maintain();
        REQUIRE_MESSAGE(done.ok(), done.error().message);
    }
    [[nodiscard]] std::vector<Got> expected(const ReadOptions& read) const {
        std::vector<Got> wanted;
        for (const Got& record : written) {
            if (read.key && record.key != *read.key) continue;
            if (!naive::set_matches(read.filters, read.not_filters, record.topic)) continue;
            wanted.push_back(record);
        }
        return wanted;
    }
    std::uint64_t count(const std::vector<std::string>& filters, std::uint64_t after,
                        std::uint64_t until) {
        CountOptions options_of_count;
        options_of_count.filters = filters;
        options_of_count.after = Seq{after};
        options_of_count.until_seq = Seq{until};
        const auto records = log().count(options_of_count);
        REQUIRE_MESSAGE(records.ok(), records.error().message);
        return *records;
    }
    void check_reads() {
        for (const std::vector<std::string>& filters :
             std::vector<std::vector<std::string>>{{">"},
                                                   {"rare/*"},
                                                   {"orders/3/*"},
                                                   {"orders/*/new"},
                                                   {"orders/1/paid", "rare/>"},
                                                   {"nothing/>"}}) {
            ReadOptions read;
            read.filters = filters;
            CAPTURE(filters.front());
            const auto got = read_all(log(), read);
            REQUIRE_MESSAGE(got.ok(), got.error().message);
            CHECK(*got == expected(read));
            CHECK(count(filters, 0, ~0ULL) == got->size());
        }
        // Ranges that begin and end within a segment, a file, and between them.
        for (std::uint64_t after = 0; after <= written.size(); after += 331) {
            for (std::uint64_t until = after; until <= written.size(); until += 577) {
                std::uint64_t wanted = 0;
                for (std::uint64_t seq = after + 1; seq <= until; ++seq) {
                    if (naive::matches("orders/*/new", written[seq - 1].topic)) ++wanted;
                }
                REQUIRE(count({"orders/*/new"}, after, until) == wanted);
            }
        }
        ReadOptions of_key;
        of_key.filters = {"orders/#"};
        of_key.key = "k17";
        const auto got = read_all(log(), of_key);
        REQUIRE(got.ok());
        CHECK(*got == expected(of_key));
    }
    [[nodiscard]] SegmentSetState set() {
        auto opened = SegmentSet::open(env, kDir, "test");
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        return *opened.value()->state();
    }
    [[nodiscard]] std::set<std::string> segment_files(int log) {
        std::set<std::string> names;
        auto listed = env.list_dir(std::string(kDir) + "/seg/" + std::to_string(log));
        if (!listed.ok()) return names;
        for (const std::string& name : *listed) {
            if (segment_id_of(name)) names.insert(name);
        }
        return names;
    }
};

// A read that takes blocks as they are stored, and unpacks them as a client does.
struct StoredRead {
    std::vector<Got> records;
    std::size_t from_blocks = 0;  // how many of them
};

Status unpack_into(StoredRead& read, const StoredBlock& block) {
    std::optional<UnpackDictionary> dictionary;
    if (block.dictionary) dictionary.emplace(*block.dictionary);
    std::string payload;
    REQUIRE(unpack(block.bytes, block.codec, dictionary ? &*dictionary : nullptr,
                   block.payload_bytes, payload));
    RecordDecoder decoder(payload, block.first_seq, block.base_time,
                          static_cast<std::uint32_t>(block.count));
    RecordView record;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
        if (!more) break;
        read.records.push_back(copy(record));
        ++read.from_blocks;
    }
    CHECK(record.seq == block.last_seq);
    return {};
}

Result<StoredRead> read_stored(Log& log, ReadOptions options, std::size_t bytes_max,
                               std::size_t records_max) {
    options.stored_blocks = true;
    KLOG_TRY_ASSIGN(const std::unique_ptr<Reader> reader, log.read(options));
    StoredRead read;
    for (;;) {
        KLOG_TRY_ASSIGN(const ReadChunk chunk, reader->read(bytes_max, records_max));
        CHECK((chunk.records.empty() || chunk.blocks.empty()));
        const std::size_t before = read.records.size();
        for (const RecordView& record : chunk.records) read.records.push_back(copy(record));
        for (const StoredBlock& block : chunk.blocks) KLOG_TRY(unpack_into(read, block));
        CHECK(read.records.size() - before <= records_max);
        if (chunk.end) return read;
    }
}

}  // namespace

TEST_CASE("sealing: closed files become segments, and every read finds what it found before") {
    Fixture f;
    f.fill(4000);
    f.seal_all();
    const SegmentSetState set = f.set();
    CHECK(set.sealed.wal_id > 0);
    REQUIRE_FALSE(set.logs[1].empty());
    CHECK(set.logs[1].front().covered.first == Seq{1});
    // What is sealed is gone from wal/.
    const auto wal = f.env.list_dir(std::string(kDir) + "/wal");
    REQUIRE(wal.ok());
    for (const std::string& name : *wal) {
        if (!name.ends_with(".wal")) continue;
        CHECK(std::stoull(name) > set.sealed.wal_id);
    }
    f.check_reads();
    SUBCASE("after a clean stop") { REQUIRE(f.store->close().ok()); }
    SUBCASE("after a power cut") { f.env.crash(); }
    SUBCASE("without any index") {
        REQUIRE(f.store->close().ok());
        f.store.reset();
        for (const char* folder : {"/index/wal", "/index/0", "/index/1"}) {
            auto names = f.env.list_dir(std::string(kDir) + folder);
            if (!names.ok()) continue;
            for (const std::string& name : *names) {
                CHECK(f.env.remove(std::string(kDir) + folder + "/" + name).ok());
            }
        }
    }
    f.open();
    f.check_reads();
    const WriteResult next = write_one(f.log(), {"orders/9/new", "k17"});
    std::uint64_t version = 0;
    for (const Got& record : f.written) {
        if (record.key == "k17") version = std::max(version, record.version);
    }
    CHECK(next.version.value == version + 1);
    CHECK(next.seq.value == f.written.size() + 1);
    // An id is remembered by the segment's records, too.
    Put again{"orders/0/new", "k7", f.written[7].value, "id7"};
    again.topic = f.written[7].topic;
    again.key = f.written[7].key;
    CHECK(write_one(f.log(), again).outcome == Outcome::duplicate);
}

TEST_CASE("sealing: a start by time or by the newest few is exact") {
    Fixture f;
    f.fill(3000);
    f.seal_all();
    ReadOptions options;
    options.from.form = ReadFrom::Form::last;
    options.from.count = 3;
    options.filters = {"rare/*"};
    const auto rare = read_all(f.log(), options);
    REQUIRE(rare.ok());
    std::vector<Got> wanted = f.expected(options);
    wanted.erase(wanted.begin(), wanted.end() - 3);
    CHECK(*rare == wanted);
    for (const std::uint64_t seq : {1ULL, 2ULL, 77ULL, 1500ULL, 2999ULL, 3000ULL}) {
        ReadOptions one;
        one.from.form = ReadFrom::Form::from;
        one.from.seq = Seq{seq};
        one.until_seq = Seq{seq};
        auto reader = f.log().read(one);
        REQUIRE(reader.ok());
        auto chunk = (*reader)->read(1U << 20U, 10);
        REQUIRE(chunk.ok());
        REQUIRE(chunk->records.size() == 1);
        const Time time = chunk->records[0].time;
        ReadOptions by_time;
        by_time.from.form = ReadFrom::Form::time;
        by_time.from.time = time;
        reader = f.log().read(by_time);
        REQUIRE(reader.ok());
        const Seq begin = (*reader)->begin_after();
        CHECK(begin < Seq{seq});
        chunk = (*reader)->read(1U << 20U, 1);
        REQUIRE(chunk.ok());
        REQUIRE(chunk->records.size() == 1);
        CHECK(chunk->records[0].time == time);
        CHECK(chunk->records[0].seq.value == begin.value + 1);
    }
}

TEST_CASE("sealing: blocks that are passed on as they are stored hold what a read finds") {
    Fixture f;
    f.fill(4000);
    f.seal_all();
    const auto check = [&](const std::vector<std::string>& filters,
                           const std::vector<std::string>& not_filters) {
        CAPTURE(filters.front());
        std::size_t from_blocks = 0;
        for (const std::size_t bytes_max : {1U, 4000U, 1U << 20U}) {
            ReadOptions read;
            read.filters = filters;
            read.not_filters = not_filters;
            const std::vector<Got> wanted = f.expected(read);
            const auto whole = read_stored(f.log(), read, bytes_max, ~std::size_t{0});
            REQUIRE_MESSAGE(whole.ok(), whole.error().message);
            CHECK(whole->records == wanted);
            from_blocks = whole->from_blocks;
            CHECK(read_stored(f.log(), read, bytes_max, 30)->records == wanted);
            // From and to the middle of a block.
            read.from = {ReadFrom::Form::after, Seq{613}, {}, 0};
            read.until_seq = Seq{2711};
            std::vector<Got> part;
            for (const Got& got : wanted) {
                if (got.seq > 613 && got.seq <= 2711) part.push_back(got);
            }
            CHECK(read_stored(f.log(), read, bytes_max, ~std::size_t{0})->records == part);
        }
        return from_blocks;
    };
    const std::size_t sealed = f.set().logs[1].back().covered.last.value;
    CHECK(check({">"}, {}) == sealed);
    CHECK(check({"orders/>", "rare/>"}, {}) == sealed);
    // Only the blocks that hold a rare topic as well are unpacked.
    CHECK(check({"orders/>"}, {}) > sealed / 4);
    CHECK(check({"orders/>"}, {}) < sealed);
    CHECK(check({">"}, {"rare/*"}) > sealed / 4);
    CHECK(check({"orders/*/new"}, {}) == 0);
    CHECK(check({"nothing/>"}, {}) == 0);
    SUBCASE("up to a time") {
        ReadOptions read;
        const auto all = f.log().read(read);
        const auto chunk = (*all)->read(1U << 22U, 2000);
        REQUIRE(chunk.ok());
        read.until_time = chunk->records.back().time;
        const auto wanted = read_all(f.log(), read);
        CHECK(read_stored(f.log(), read, 1U << 20U, ~std::size_t{0})->records == *wanted);
    }
    SUBCASE("of one key nothing is passed on") {
        ReadOptions read;
        read.key = "k17";
        const auto of_key = read_stored(f.log(), read, 1U << 20U, ~std::size_t{0});
        REQUIRE(of_key.ok());
        CHECK(of_key->records == f.expected(read));
        CHECK(of_key->from_blocks == 0);
    }
}

TEST_CASE("sealing: a reader that goes on behind a block says that it reads the disk") {
    Fixture f;
    f.fill(1000);
    f.seal_all();
    const auto opened = f.log().read({});
    REQUIRE(opened.ok());
    Reader& reader = **opened;
    CHECK_FALSE(reader.ready_in_memory());
    const auto chunk = reader.read(1U << 20U, 3);
    REQUIRE(chunk.ok());
    REQUIRE(chunk->records.size() == 3);  // in the middle of a block
    CHECK_FALSE(reader.ready_in_memory());
}

TEST_CASE("sealing: many short lives leave few segments, and nothing is lost on the way") {
    Fixture f;
    for (int life = 0; life < 200; ++life) {
        f.fill(20);
        if (life % 3 == 0) f.seal_all();
        if (life % 2 == 0) REQUIRE(f.store->close().ok());
        f.open();
    }
    f.seal_all();
    const SegmentSetState set = f.set();
    CHECK(set.logs[1].size() <= 12);
    CHECK(f.segment_files(1).size() == set.logs[1].size());
    CHECK(f.store->stats().wal_files <= 20);
    bool merged = false;
    for (const SegmentEntry& entry : set.logs[1]) merged = merged || entry.generation > 0;
    CHECK(merged);
    f.check_reads();
}

TEST_CASE("sealing: a merge never grows past its limit") {
    Fixture f(256 * 1024);
    f.fill(12'000);
    f.seal_all();
    std::uint64_t bytes = 0;
    const SegmentSetState set = f.set();
    for (const SegmentEntry& entry : set.logs[1]) {
        CHECK(entry.payload_bytes <= 256 * 1024);
        bytes += entry.payload_bytes;
    }
    CHECK(bytes > 4 * 256 * 1024);
    f.check_reads();
}

TEST_CASE("sealing: wherever the power goes, a start finds everything once") {
    // Without a lent thread the writing itself seals, and merges, so most calls are those of that.
    int cut = 0;
    for (std::uint64_t call = 1; call < 4000; call += 139) {
        Fixture f(256 * 1024);
        f.env.crash_at_call(f.env.calls() + call);
        for (int i = 0; i < 60 && f.try_to_fill(20); ++i) {
            if (i % 10 == 9 && !f.store->maintain().ok()) break;
        }
        if (f.env.power_cut()) ++cut;
        call % 2 == 0 ? f.env.crash() : f.env.kill();
        f.open();
        f.check_nothing_lost();
        f.fill(200);
        f.seal_all();
        f.check_nothing_lost();
        CHECK(f.segment_files(1).size() == f.set().logs[1].size());
    }
    CHECK(cut > 10);
}

TEST_CASE("sealing: without room nothing is lost, and it goes on when there is room again") {
    for (const char* part : {"/seg/1/", "/seg/manifest"}) {
        CAPTURE(part);
        Fixture f;
        f.env.inject({.kinds = {SimCall::write}, .path_part = part, .times = SimFault::kForever});
        f.fill(900);
        CHECK_FALSE(f.store->maintain().ok());
        CHECK(f.set().logs[1].empty());
        CHECK(f.segment_files(1).empty());  // tries in a row take no room
        CHECK(*read_all(f.log()) == f.written);
        f.env.clear_faults();
        f.fill(900);
        f.seal_all();
        CHECK_FALSE(f.set().logs[1].empty());
        CHECK(*read_all(f.log()) == f.written);
        f.env.crash();
        f.open();
        CHECK(*read_all(f.log()) == f.written);
    }
}

TEST_CASE("sealing: a segment that cannot be opened at once is followed later") {
    Fixture f;
    f.env.inject({.kinds = {SimCall::open}, .path_part = ".seg", .times = 3});
    f.fill(2000);
    CHECK(*read_all(f.log()) == f.written);
    f.fill(2000);
    f.seal_all();
    CHECK(f.env.calls_failed() == 3);
    CHECK(f.set().sealed.wal_id > 0);
    f.check_reads();
    f.env.crash();
    f.open();
    f.check_reads();
}

TEST_CASE("sealing: a damaged block is not merged away, and only its range is not served") {
    Fixture f;
    f.fill(700);
    f.seal_all();
    REQUIRE(f.set().logs[1].size() == 1);
    const SegmentEntry entry = f.set().logs[1][0];
    const std::string path = segment_path(kDir, LogId::default_log, entry.segment_id);
    auto file = f.env.open(path, OpenMode::read_write);
    REQUIRE(file.ok());
    REQUIRE((*file)->write_at(300, "!!!!").ok());
    for (int i = 0; i < 8; ++i) {  // more of the same size, so that a merge wants them
        f.fill(700);
        static_cast<void>(f.store->maintain());
    }
    const auto all = read_all(f.log());
    REQUIRE_FALSE(all.ok());
    CHECK(all.error().code == Code::corrupt);
    CHECK(all.error().message.find(".seg") != std::string::npos);
    ReadOptions behind;
    behind.from.form = ReadFrom::Form::after;
    behind.from.seq = entry.covered.last;
    const auto rest = read_all(f.log(), behind);
    REQUIRE_MESSAGE(rest.ok(), rest.error().message);
    CHECK(std::equal(rest->begin(), rest->end(),
                     f.written.begin() + static_cast<std::ptrdiff_t>(entry.covered.last.value)));
    CHECK(f.segment_files(1).contains(path.substr(path.rfind('/') + 1)));
}

TEST_CASE("sealing: a missing, exchanged or cut segment stops the start, and says which") {
    Fixture f;
    f.fill(4000);
    f.seal_all();
    const SegmentSetState set = f.set();
    REQUIRE(set.logs[1].size() >= 2);
    const std::string first = segment_path(kDir, LogId::default_log, set.logs[1][0].segment_id);
    const std::string second = segment_path(kDir, LogId::default_log, set.logs[1][1].segment_id);
    REQUIRE(f.store->close().ok());
    f.store.reset();
    SUBCASE("missing") { REQUIRE(f.env.remove(first).ok()); }
    SUBCASE("exchanged") { REQUIRE(f.env.rename(second, first).ok()); }
    SUBCASE("cut") {
        auto file = f.env.open(first, OpenMode::read_write);
        REQUIRE(file.ok());
        REQUIRE((*file)->truncate(*(*file)->size() - 1).ok());
    }
    const auto opened = Store::open(f.env, f.options);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == Code::corrupt);
    CHECK(opened.error().message.find(".seg") != std::string::npos);
    CHECK_FALSE(opened.error().hint.empty());
}
