// The log over the simulated disk, one thread.
#include <doctest/doctest.h>

#include <limits>
#include <map>

#include "env/sim_env.h"
#include "log/live_tail.h"
#include "log/log_impl.h"
#include "support/log_helpers.h"
#include "support/sim_store.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct Fixture : SimStore {
    Fixture() : SimStore(7, [](StoreOptions& more) { more.memtable_bytes_max = 64 * 1024; }) {}
    void reopen_clean() {
        const Status closed = store->close();
        REQUIRE_MESSAGE(closed.ok(), closed.error().message);
        open();
    }
    void crash() {
        env.crash();
        open();
    }
};

std::vector<std::uint64_t> seqs(const std::vector<Got>& records) {
    std::vector<std::uint64_t> all;
    for (const Got& record : records) all.push_back(record.seq);
    return all;
}

}  // namespace

TEST_CASE("log: a record is written, read back, and there after every kind of stop") {
    Fixture f;
    const WriteResult one = write_one(f.log(), {"orders/1/created", "1", R"({"a":1})"});
    REQUIRE(one.outcome == Outcome::written);
    CHECK(one.seq == Seq{1});
    CHECK(one.version == Version{1});
    const WriteResult two = write_one(f.log(), {"orders/1/completed", "1", R"({"a":2})"});
    CHECK(two.version == Version{2});
    const std::vector<Got> want = {{1, 1, "orders/1/created", "1", R"({"a":1})", ""},
                                   {2, 2, "orders/1/completed", "1", R"({"a":2})", ""}};
    CHECK(*read_all(f.log()) == want);
    f.reopen_clean();
    CHECK(f.store->recovery().clean);
    CHECK(*read_all(f.log()) == want);
    f.crash();
    CHECK_FALSE(f.store->recovery().clean);
    CHECK(*read_all(f.log()) == want);
    const auto got = f.log().get("orders", "1", std::nullopt);
    REQUIRE(got.ok());
    CHECK(copy(got->view) == want[1]);
    const auto old = f.log().get("orders", "1", Version{1});
    REQUIRE(old.ok());
    CHECK(copy(old->view) == want[0]);
    CHECK(f.log().get("orders", "1", Version{3}).error().code == Code::not_found);
    CHECK(write_one(f.log(), {"orders/1/x", "1"}).version == Version{3});
}

TEST_CASE("log: expected versions in all their forms") {
    Fixture f;
    const auto put = [&](Expect expect, Kind kind = Kind::plain) {
        return write_one(f.log(), {"a/x", "k", "1", "", expect, kind});
    };
    CHECK(put(expect_exists()).conflict->state == EntityState::absent);
    CHECK(put(expect_version(1)).conflict->actual == Version{0});
    CHECK(put(expect_version(0)).outcome == Outcome::written);
    CHECK(put(expect_version(0)).conflict->actual == Version{1});
    CHECK(put(expect_absent()).conflict->state == EntityState::live);
    CHECK(put(expect_exists()).version == Version{2});
    CHECK(put(expect_version(2), Kind::tombstone).version == Version{3});
    CHECK(put(expect_exists()).conflict->state == EntityState::deleted);
    CHECK(put(expect_version(0)).outcome == Outcome::refused);
    CHECK(put(expect_absent()).version == Version{4});
    CHECK(write_one(f.log(), {"a/x", "", "1", "", expect_version(0)}).error->code ==
          Code::bad_record);
}

TEST_CASE("log: one entity several times in a batch is judged in order") {
    Fixture f;
    const auto results = write(f.log(), {{"a/x", "k", "1", "", expect_version(0)},
                                         {"a/y", "k", "2", "", expect_version(1)},
                                         {"a/z", "k", "3", "", expect_version(1)},
                                         {"a/z", "k", "4"}});
    CHECK(results[0].version == Version{1});
    CHECK(results[1].version == Version{2});
    REQUIRE(results[2].conflict);
    CHECK(results[2].conflict->actual == Version{2});
    CHECK(results[2].conflict->last_seq == Seq{2});
    CHECK(results[3].version == Version{3});
    CHECK(results[3].seq == Seq{3});
}

TEST_CASE("log: an id answers with its first write, and refuses another value") {
    Fixture f;
    const WriteResult first = write_one(f.log(), {"a/x", "k", "1", "id-1"});
    write_one(f.log(), {"a/x", "k", "2"});
    const auto check = [&] {
        const WriteResult again = write_one(f.log(), {"a/x", "k", "1", "id-1", expect_version(0)});
        CHECK(again.outcome == Outcome::duplicate);
        CHECK(again.seq == first.seq);
        CHECK(again.version == first.version);
        CHECK(again.time == first.time);
        CHECK(write_one(f.log(), {"a/x", "k", "3", "id-1"}).error->code == Code::id_reused);
        CHECK(write_one(f.log(), {"a/y", "k", "1", "id-1"}).error->code == Code::id_reused);
    };
    check();
    CHECK(write_one(f.log(), {"a/x", "other", "1", "id-1"}).outcome == Outcome::written);
    // Without a key the id belongs to the topic.
    CHECK(write_one(f.log(), {"a/x", "", "1", "id-1"}).outcome == Outcome::written);
    CHECK(write_one(f.log(), {"a/x", "", "1", "id-1"}).outcome == Outcome::duplicate);
    CHECK(write_one(f.log(), {"a/y", "", "1", "id-1"}).outcome == Outcome::written);
    f.reopen_clean();
    check();
    f.crash();
    check();
    // A refused write does not use its id up.
    CHECK(write_one(f.log(), {"a/x", "k", "1", "id-2", expect_version(99)}).outcome ==
          Outcome::refused);
    CHECK(write_one(f.log(), {"a/x", "k", "5", "id-2"}).outcome == Outcome::written);
    const auto twice = write(f.log(), {{"a/x", "k", "7", "id-3"}, {"a/x", "k", "7", "id-3"}});
    CHECK(twice[1].outcome == Outcome::duplicate);
    CHECK(twice[1].seq == twice[0].seq);
}

TEST_CASE("log: a stream stops at its first error, or skips it") {
    Fixture f;
    auto stream = std::make_shared<WriteStream>();
    auto results = write(f.log(), {{"a/x", "k"}, {"a//x", "k"}, {"a/x", "k"}}, stream);
    CHECK(results[0].outcome == Outcome::written);
    CHECK(results[1].error->code == Code::bad_topic);
    CHECK(results[2].outcome == Outcome::skipped);
    CHECK(write(f.log(), {{"a/x", "k"}}, stream)[0].outcome == Outcome::skipped);
    auto lenient = std::make_shared<WriteStream>();
    lenient->stop_on_error = false;
    results = write(f.log(), {{"$klog/x", "k"}, {"a/x", "k"}}, lenient);
    CHECK(results[0].error->code == Code::reserved_topic);
    CHECK(results[1].version == Version{2});
}

TEST_CASE("log: lines of a session are written once") {
    Fixture f;
    const auto stream = [] {
        auto made = std::make_shared<WriteStream>();
        made->session.bytes.fill(9);
        return made;
    };
    const auto lines = [](std::uint64_t first, std::uint64_t last) {
        std::vector<Put> puts;
        for (std::uint64_t line = first; line <= last; ++line) {
            puts.push_back({"a/x", "k", std::to_string(line), "", {}, Kind::plain, line});
        }
        return puts;
    };
    write(f.log(), lines(1, 5), stream());
    const auto check = [&](std::uint64_t upto) {
        const auto again = write(f.log(), lines(upto - 2, upto + 2), stream());
        CHECK(again[0].outcome == Outcome::duplicate);
        CHECK(again[2].outcome == Outcome::duplicate);
        CHECK(again[2].seq == Seq{upto});
        CHECK(again[3].outcome == Outcome::written);
        CHECK(again[3].version == Version{upto + 1});
        SessionId session;
        session.bytes.fill(9);
        const auto found = f.log().session_lines(session, upto - 2, upto - 1, Seq{});
        REQUIRE(found.ok());
        REQUIRE(found->size() == 2);
        CHECK((*found)[0].line == upto - 2);
        CHECK((*found)[0].seq == Seq{upto - 2});
    };
    check(5);
    f.reopen_clean();
    check(7);
    f.crash();
    check(9);
    CHECK(read_all(f.log())->size() == 11);
}

TEST_CASE("log: lines of a session are looked for among so many records and no more") {
    Fixture f;
    auto stream = std::make_shared<WriteStream>();
    stream->session.bytes.fill(9);
    write(f.log(), {{"a/x", "", "1", "", {}, Kind::plain, 1}}, stream);
    const std::vector<Put> others(5000, Put{"a/y"});
    for (std::uint64_t i = 0; i < LogImpl::kSessionScanRecordsMax; i += others.size()) {
        write(f.log(), others);
    }
    // Behind a seq that is known, these are the first so many; without one, the newest.
    CHECK(f.log().session_lines(stream->session, 1, 1, Seq{}).error().code == Code::too_many);
    CHECK_FALSE(f.log().session_lines(stream->session, 1, 1, Seq{}).error().hint.empty());
    write(f.log(), {{"a/x", "", "2", "", {}, Kind::plain, 2}}, stream);
    for (const Seq after : {Seq{}, Seq{1}, f.log().head()}) {
        const auto found = f.log().session_lines(stream->session, 2, 2, after);
        if (after == Seq{1}) {
            CHECK(found.error().code == Code::too_many);
            continue;
        }
        REQUIRE(found.ok());
        CHECK(found->size() == (after == Seq{} ? 1 : 0));
    }
    const auto near = f.log().session_lines(stream->session, 2, 2, Seq{2});
    REQUIRE(near.ok());
    CHECK(near->size() == 1);
}

TEST_CASE("log: a page of topics is the same whatever its limit is") {
    Fixture f;
    std::vector<Put> puts;
    for (int i = 0; i < 300; ++i) {
        puts.push_back({"t/" + std::to_string(i) + (i % 50 == 7 ? "/rare" : "/usual")});
    }
    write(f.log(), puts);
    for (const std::string filter : {"t/*/rare", "t/*/usual", "t/>"}) {
        const auto all = f.log().topics(filter, "", 10'000);
        REQUIRE(all.ok());
        CHECK_FALSE(all->more);
        for (const std::size_t limit : {1U, 2U, 5U, 6U, 299U}) {
            std::vector<std::string> names;
            for (bool more = true; more;) {
                const auto page = f.log().topics(filter, names.empty() ? "" : names.back(), limit);
                REQUIRE(page.ok());
                CHECK(page->rows.size() <= limit);
                for (const TopicRow& row : page->rows) names.push_back(row.topic);
                more = page->more;
            }
            REQUIRE(names.size() == all->rows.size());
            for (std::size_t i = 0; i < names.size(); ++i) CHECK(names[i] == all->rows[i].topic);
        }
    }
}

TEST_CASE("log: filters, keys and start points choose what is read") {
    Fixture f;
    for (int i = 1; i <= 50; ++i) {
        const std::string n = std::to_string(i);
        f.env.advance(1'000'000);
        write_one(f.log(), {"orders/" + n + (i % 2 == 0 ? "/done" : "/new"), n, n});
    }
    const auto read = [&](ReadOptions options) { return seqs(*read_all(f.log(), options)); };
    ReadOptions options;
    options.filters = {"orders/*/done"};
    CHECK(read(options).size() == 25);
    options.not_filters = {"orders/2/>", "orders/4*/>"};
    CHECK(read(options).size() == 18);
    options = {};
    options.key = "7";
    CHECK(read(options) == std::vector<std::uint64_t>{7});
    options = {};
    options.from.form = ReadFrom::Form::last;
    options.from.count = 3;
    options.filters = {"orders/*/new"};
    CHECK(read(options) == std::vector<std::uint64_t>{45, 47, 49});
    options.from.count = 1000;
    CHECK(read(options).size() == 25);
    // However many are asked for, it takes no memory for those that are not there.
    options.from.count = 1ULL << 40U;
    CHECK(read(options).size() == 25);
    options.from.count = ~0ULL;
    CHECK(read(options).size() == 25);
    options.from.count = 24;
    CHECK(read(options).front() == 3);
    options = {};
    options.from.form = ReadFrom::Form::after;
    options.from.seq = Seq{48};
    CHECK(read(options) == std::vector<std::uint64_t>{49, 50});
    options.from.form = ReadFrom::Form::from;
    options.until_seq = Seq{49};
    CHECK(read(options) == std::vector<std::uint64_t>{48, 49});
    const auto tenth = f.log().get("orders", "10", std::nullopt);
    options = {};
    options.from.form = ReadFrom::Form::time;
    options.from.time = tenth->view.time;
    options.until_time = Time{tenth->view.time.micros + 2'500'000};
    CHECK(read(options) == std::vector<std::uint64_t>{10, 11, 12});
    // A time that lies behind is a seq: where the read ends is known at once, for followers too.
    options.follow = true;
    CHECK((*f.log().read(options))->end_at() == Seq{12});
    options.follow = false;
    options.from = {ReadFrom::Form::last, {}, {}, 2};
    CHECK(read(options) == std::vector<std::uint64_t>{11, 12});
    CHECK((*f.log().read(options))->end_at() == Seq{12});
    options.until_time = Time{std::numeric_limits<std::int64_t>::max()};
    CHECK(read(options) == std::vector<std::uint64_t>{49, 50});
    options.until_time = Time{0};
    CHECK(read(options).empty());
    CHECK(*f.log().head("orders/*/new") == Seq{49});
    CHECK(*f.log().head("nothing/>") == Seq{0});
    CHECK(f.log().head() == Seq{50});
}

TEST_CASE("log: a count is what a read would give, in as many steps as it takes") {
    Fixture f;
    for (int i = 1; i <= 300; ++i) {
        const std::string n = std::to_string(i);
        f.env.advance(1'000'000);
        Put put{"orders/" + n + (i % 2 == 0 ? "/done" : "/new"), std::to_string(i % 7),
                "\"" + std::string(20'000, 'x') + "\""};
        if (i % 10 == 0) put.kind = Kind::tombstone;
        write_one(f.log(), put);
    }
    CountOptions options;
    CHECK(*f.log().count(options) == 300);
    const auto counter = f.log().counter(options);
    std::size_t steps = 1;
    while (!*(*counter)->step()) ++steps;
    CHECK(steps >= 3);
    CHECK((*counter)->records() == 300);
    options.filters = {"orders/*/done"};
    CHECK(*f.log().count(options) == 150);
    options.not_filters = {"orders/2*/>"};
    CHECK(*f.log().count(options) == 94);
    options = {};
    options.key = "3";
    CHECK(*f.log().count(options) == 43);
    options = {};
    options.after = Seq{100};
    options.until_seq = Seq{250};
    CHECK(*f.log().count(options) == 150);
    options.until_seq = Seq{100};
    CHECK(*f.log().count(options) == 0);
    options.until_seq = Seq{1000};
    CHECK(*f.log().count(options) == 200);
    options = {};
    options.until_time = f.log().get("orders", "3", Version{2})->view.time;
    CHECK(*f.log().count(options) == 10);
    options.filters = {"a//b"};
    CHECK(f.log().count(options).error().code == Code::bad_filter);
}

TEST_CASE("log: a follower sees what is written, and only what matches") {
    Fixture f;
    write_one(f.log(), {"a/1", "k", "1"});
    ReadOptions options;
    options.filters = {"a/>"};
    options.follow = true;
    auto reader = f.log().read(options);
    REQUIRE(reader.ok());
    CHECK(seqs(*read_all(**reader)) == std::vector<std::uint64_t>{1});
    int wakes = 0;
    (*reader)->on_ready([&] { ++wakes; });
    CHECK(wakes == 0);
    write_one(f.log(), {"b/1", "k", "1"});
    CHECK(wakes == 0);
    const auto quiet = (*reader)->read(1000, 10);
    CHECK(quiet->records.empty());
    CHECK(quiet->read_to == Seq{2});
    write_one(f.log(), {"a/2", "k", "1"});
    CHECK(wakes == 1);
    CHECK(seqs(*read_all(**reader)) == std::vector<std::uint64_t>{3});
    // A slow one falls back to the log and misses nothing.
    for (std::size_t i = 0; i < LiveTail::kPendingRecordsMax + 500; ++i) {
        write_one(f.log(), {"a/2", "k", "1"});
    }
    CHECK(read_all(**reader)->size() == LiveTail::kPendingRecordsMax + 500);
    write_one(f.log(), {"a/3", "k", "1"});
    CHECK(read_all(**reader)->size() == 1);
}

TEST_CASE("log: listings see one's own writes, before and after a flush") {
    Fixture f;
    write(f.log(),
          {{"users/a", "zoe"}, {"users/b", "adam"}, {"users/c", "eve"}, {"other/x", "bob"}});
    write_one(f.log(), {"users/a", "eve", "", "", {}, Kind::tombstone});
    const auto check = [&] {
        auto page = f.log().keys("users", "", "", false, 10);
        REQUIRE(page.ok());
        REQUIRE(page->rows.size() == 2);
        CHECK(page->rows[0].key == "adam");
        CHECK(page->rows[1].key == "zoe");
        page = f.log().keys("users", "", "adam", true, 1);
        REQUIRE(page->rows.size() == 1);
        CHECK(page->rows[0].key == "eve");
        CHECK(page->rows[0].head.state == EntityState::deleted);
        CHECK(page->more);
        CHECK(f.log().keys("users", "z", "", false, 10)->rows.size() == 1);
        const auto topics = f.log().topics("users/>", "", 10);
        REQUIRE(topics->rows.size() == 3);
        CHECK(topics->rows[0].topic == "users/a");
        CHECK(topics->rows[0].records == 2);
        CHECK(topics->rows[0].last_seq == Seq{5});
        CHECK(f.log().topics(">", "users/a", 1)->more);
    };
    check();
    f.reopen_clean();
    check();
    CHECK(f.store->recovery().records_replayed == 0);
    f.crash();
    check();
}

TEST_CASE("log: settings are ordered with the data and outlive stops and checkpoints") {
    Fixture f;
    const std::uint64_t before = f.log().settings_seq();
    CHECK(before == 0);
    REQUIRE(f.log().put_setting("test", "one").ok());
    const std::uint64_t seen = f.log().settings_seq();
    CHECK(seen == 1);
    auto batch = make_batch({{"a/x", "k"}});
    batch->records[0].settings_seq = 0;
    CHECK(Pending(f.log(), std::move(batch)).wait()[0].outcome == Outcome::stale_settings);
    batch = make_batch({{"a/x", "k"}});
    batch->records[0].settings_seq = seen;
    CHECK(Pending(f.log(), std::move(batch)).wait()[0].outcome == Outcome::written);
    for (int round = 0; round < 3; ++round) {
        f.crash();
        CHECK(f.log().setting("test") == "one");
        f.reopen_clean();
        CHECK(f.log().setting("test") == "one");
        CHECK(f.log().settings_seq() >= seen);
    }
    REQUIRE(f.log().put_setting("test", "two").ok());
    REQUIRE(f.log().put_setting("other", "x").ok());
    f.reopen_clean();
    f.reopen_clean();
    CHECK(f.log().setting("test") == "two");
    CHECK(f.log().setting("other") == "x");
    CHECK_FALSE(f.log().setting("none"));
    // klog's own records are no user's business.
    CHECK(read_all(f.log())->size() == 1);
}

TEST_CASE("log: many files, runs and reopens keep every record and every version") {
    Fixture f;
    std::map<std::string, std::uint64_t> versions;
    std::uint64_t count = 0;
    for (int round = 0; round < 12; ++round) {
        for (int i = 0; i < 300; ++i) {
            const std::string key = "k" + std::to_string(count * 7 % 501);
            const WriteResult result =
                write_one(f.log(), {"t/" + std::to_string(i % 10), key, std::string(100, 'v'),
                                    "id" + std::to_string(count)});
            REQUIRE(result.outcome == Outcome::written);
            REQUIRE(result.version.value == ++versions[key]);
            REQUIRE(result.seq.value == ++count);
        }
        if (round % 3 == 0) {
            REQUIRE(f.store->maintain().ok());
        } else if (round % 3 == 1) {
            f.reopen_clean();
        } else {
            f.crash();
        }
    }
    CHECK(f.store->stats().wal_files > 5);
    CHECK(f.log().stats().runs >= 1);
    CHECK(read_all(f.log())->size() == count);
    CHECK(write_one(f.log(), {"t/0", "k0", std::string(100, 'v'), "id0"}).outcome ==
          Outcome::duplicate);
    for (const auto& [key, version] : versions) {
        const auto head = f.log().entity("t", key);
        REQUIRE(head.ok());
        CHECK(head->version.value == version);
    }
    CHECK(f.log().keys("t", "", "", false, 1000)->rows.size() == 501);
}

TEST_CASE("log: a wake may take the next one, also while records are there already") {
    Fixture f;
    ReadOptions options;
    options.follow = true;
    auto reader = f.log().read(options);
    REQUIRE(reader.ok());
    REQUIRE((*reader)->read(1000, 10).ok());
    int wakes = 0;
    std::function<void()> wake = [&] {
        if (++wakes < 3) (*reader)->on_ready(wake);  // nothing was read: there is news at once
    };
    (*reader)->on_ready(wake);
    write_one(f.log(), {"a/1", "k"});
    CHECK(wakes == 3);
    (*reader)->on_ready({});
    write_one(f.log(), {"a/1", "k"});
    CHECK(wakes == 3);
}

TEST_CASE("log: entities that are only looked at do not fill memory until writers wait for good") {
    Fixture f;
    REQUIRE(write_one(f.log(), {"a/x", "k", "1"}).outcome == Outcome::written);
    for (int round = 0; round < 40; ++round) {
        std::vector<Put> puts;
        for (int i = 0; i < 500; ++i) {
            const std::string key = std::to_string(round) + "-" + std::to_string(i);
            puts.push_back({"a/x", key, "1", "", expect_version(7)});
        }
        for (const WriteResult& result : write(f.log(), puts)) {
            REQUIRE(result.outcome == Outcome::refused);
            REQUIRE(result.error->code == Code::version_conflict);
        }
    }
    CHECK(write_one(f.log(), {"a/x", "k", "2", "", expect_version(1)}).outcome == Outcome::written);
}

TEST_CASE("log: where an index knows more than the log, records are missing, and it says so") {
    enum class Knows { run, marker, both };
    for (const Knows knows : {Knows::run, Knows::marker, Knows::both}) {
        CAPTURE(static_cast<int>(knows));
        Fixture f;
        for (int i = 0; i < 60; ++i) {
            write(f.log(),
                  std::vector<Put>(20, {"a/x", "k" + std::to_string(i), std::string(200, 'v')}));
        }
        REQUIRE(f.store->maintain().ok());
        REQUIRE(f.store->close().ok());
        f.store.reset();
        std::string newest;
        std::vector<std::string> indexes;
        for (const std::string& path : f.env.files()) {
            if (path.ends_with(".wal")) newest = std::max(newest, path);
            if (path.ends_with(".run")) indexes.push_back(path);
        }
        REQUIRE_FALSE(indexes.empty());
        const auto kept = f.env.read_file(newest);
        REQUIRE(kept.ok());
        REQUIRE(f.env.remove(newest).ok());
        if (knows == Knows::run) REQUIRE(f.env.remove("/data/wal/clean").ok());
        if (knows == Knows::marker) {
            for (const std::string& path : indexes) REQUIRE(f.env.remove(path).ok());
        }
        const auto opened = Store::open(f.env, f.options);
        REQUIRE_FALSE(opened.ok());
        CHECK(opened.error().code == Code::corrupt);
        CHECK_FALSE(opened.error().hint.empty());
        const char* says = knows == Knows::run ? "are missing from wal/" : "the log ended in";
        CHECK(opened.error().message.find(says) != std::string::npos);
        // As the hint says: with the file back nothing is lost.
        REQUIRE(f.env.write_file(newest, *kept).ok());
        f.open();
        CHECK(f.log().head() == Seq{1200});
    }
}

TEST_CASE("log: a session is known for its time, in memory and in a run, and no longer") {
    constexpr std::uint64_t kSeconds = 10;
    bool in_run = false;
    SUBCASE("in memory") {}
    SUBCASE("in a run") { in_run = true; }
    SimStore f(7, [](StoreOptions& more) {
        more.memtable_bytes_max = 64 * 1024;
        more.session_seconds = kSeconds;
    });
    const auto line = [&] {
        auto stream = std::make_shared<WriteStream>();
        stream->session.bytes.fill(9);
        return write(f.log(), {{"a/x", "k", "1", "", {}, Kind::plain, 1}}, stream)[0].outcome;
    };
    CHECK(line() == Outcome::written);
    if (in_run) {
        REQUIRE(f.store->close().ok());
        f.open();
        REQUIRE(f.log().stats().runs > 0);
    }
    f.env.advance(kSeconds * 1'000'000 - 500'000);
    CHECK(line() == Outcome::duplicate);
    f.env.advance(1'000'000);
    CHECK(line() == Outcome::written);
    CHECK(line() == Outcome::duplicate);  // for its time again
}
