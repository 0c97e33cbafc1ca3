// Guards over filters: near and far, through seals and restarts.
#include "log/guards.h"

#include <doctest/doctest.h>

#include <random>

#include "support/log_helpers.h"
#include "support/naive_matcher.h"
#include "support/sim_store.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct Fixture : SimStore {
    Fixture()
        : SimStore(5, [](StoreOptions& more) {
              more.wal_file_bytes = 64 * 1024;
              more.seal_bytes_min = 64 * 1024;
          }) {}
    WriteResult guarded(std::vector<std::string> none, std::uint64_t after,
                        std::vector<std::string> nots = {}) {
        Put put{"w/1", "", "1"};
        put.guard = FilterGuard{std::move(none), std::move(nots), Seq{after}};
        return write_one(log(), put);
    }
};

Code code_of(const WriteResult& result) { return result.error ? result.error->code : Code::bug; }

}  // namespace

TEST_CASE("guards: a record is written only where nothing matches behind the cursor") {
    Fixture f;
    write(f.log(), {{"enrol/c1/s1", "s1"}, {"enrol/c1/s2", "s2"}, {"enrol/c2/s1", ""}});
    const WriteResult refused = f.guarded({"enrol/c2/*", "enrol/c1/*"}, 1);
    CHECK(code_of(refused) == Code::guard_conflict);
    REQUIRE(refused.guard_conflict);
    CHECK(refused.guard_conflict->seq == Seq{3});
    CHECK(refused.guard_conflict->topic == "enrol/c2/s1");
    CHECK(refused.guard_conflict->filter == "enrol/c2/*");
    CHECK(refused.guard_conflict->after == Seq{1});
    CHECK(f.guarded({"enrol/c1/*"}, 2).outcome == Outcome::written);
    CHECK(f.guarded({"enrol/c1/*"}, 0, {"enrol/*/s1", "enrol/*/s2"}).outcome == Outcome::written);
    CHECK(code_of(f.guarded({"enrol/c1/*"}, 0, {"enrol/*/s2"})) == Code::guard_conflict);
    CHECK(f.guarded({"never/>"}, 0).outcome == Outcome::written);
    CHECK(code_of(f.guarded({"w/1"}, 5)) == Code::guard_conflict);
    CHECK(f.guarded({"w/1"}, 6).outcome == Outcome::written);
    CHECK(code_of(f.guarded({"w/1"}, 8)) == Code::guard_unknown);
}

TEST_CASE("guards: tombstones count, klog's own records do not") {
    Fixture f;
    write(f.log(), {{"a/x", "1"}});
    Put tombstone{"a/x", "1", ""};
    tombstone.kind = Kind::tombstone;
    write_one(f.log(), tombstone);
    CHECK(code_of(f.guarded({"a/x"}, 1)) == Code::guard_conflict);
    REQUIRE(f.log().put_setting("x", "1").ok());
    CHECK(f.guarded({">"}, 2).outcome == Outcome::written);
}

TEST_CASE("guards: each record of a stream sees those before it") {
    Fixture f;
    Put once{"name/bob", "", "1"};
    once.guard = FilterGuard{{"name/bob"}, {}, Seq{}};
    const auto results = write(f.log(), {once, once, {"other", ""}});
    CHECK(results[0].outcome == Outcome::written);
    CHECK(code_of(results[1]) == Code::guard_conflict);
    CHECK(results[1].guard_conflict->seq == Seq{1});
    CHECK(results[2].outcome == Outcome::written);
}

TEST_CASE("guards: with an expected version both must hold, and both are told") {
    Fixture f;
    write(f.log(), {{"a/x", "1"}});
    Put put{"a/x", "1", "2", "", expect_version(7)};
    put.guard = FilterGuard{{"a/>"}, {}, Seq{}};
    const WriteResult result = write_one(f.log(), put);
    CHECK(code_of(result) == Code::version_conflict);
    CHECK(result.conflict);
    CHECK(result.guard_conflict);
}

TEST_CASE("guards: malformed ones are refused") {
    Fixture f;
    CHECK(code_of(f.guarded({}, 0)) == Code::bad_record);
    CHECK(code_of(f.guarded({"$klog/>"}, 0)) == Code::bad_filter);
    CHECK(code_of(f.guarded({"a"}, 0, {"$x"})) == Code::bad_filter);
    CHECK(code_of(f.guarded({"a/>/b"}, 0)) == Code::bad_filter);
    const std::vector<std::string> sixteen(16, "b");
    CHECK(f.guarded(sixteen, 0).outcome == Outcome::written);
    CHECK(code_of(f.guarded(sixteen, 0, {"c"})) == Code::bad_record);
}

TEST_CASE("guards: what a failed group wrote stands against nobody") {
    Fixture f;
    write(f.log(), {{"a/x", "1"}});
    CHECK(f.guarded({"b/>"}, 1).outcome == Outcome::written);  // topics are watched from here on
    f.env.inject({.kinds = {SimCall::write}, .path_part = "/data/wal/"});
    CHECK(write_one(f.log(), {"b/x", "1"}).outcome == Outcome::refused);
    f.env.clear_faults();
    CHECK(f.guarded({"b/>"}, 1).outcome == Outcome::written);
}

// Decisions of any age over a log that is sealed, merged and opened anew meanwhile.
TEST_CASE("guards: a scan decides the same, however far back, through seals and restarts") {
    Fixture f;
    std::mt19937_64 chance(3);
    const std::vector<std::string> filters = {"a/*/x", "a/1/*",   "b/>",   "*/2/*", "a/1*/x",
                                              "c",     "never/>", "b/7/#", "a/>",   "*/*/y"};
    std::vector<std::string> log = {""};
    std::uint64_t conflicts = 0;
    std::uint64_t decisions = 0;
    for (int round = 0; round < 400; ++round) {
        std::vector<Put> puts;
        for (std::uint64_t left = 1 + chance() % 40; left > 0; --left) {
            std::string topic = chance() % 30 == 0 ? "c"
                                                   : (chance() % 2 == 0 ? "a/" : "b/") +
                                                         std::to_string(chance() % 25) +
                                                         (chance() % 2 == 0 ? "/x" : "/y");
            puts.push_back({topic, "", std::string(100 + chance() % 200, 'v')});
            log.push_back(topic);
        }
        for (const WriteResult& result : write(f.log(), puts)) {
            REQUIRE(result.outcome == Outcome::written);
        }
        if (round % 13 == 0) REQUIRE(f.store->maintain().ok());
        if (round % 90 == 50) {
            if (chance() % 2 == 0) REQUIRE(f.store->close().ok());
            f.env.kill();
            f.open();
        }
        const std::uint64_t head = log.size() - 1;
        for (int i = 0; i < 25; ++i, ++decisions) {
            FilterGuard guard;
            guard.none = {filters[chance() % filters.size()], filters[chance() % filters.size()]};
            if (chance() % 3 == 0) guard.not_filters = {filters[chance() % filters.size()]};
            guard.after = Seq{chance() % 3 == 0 ? chance() % (head + 1)
                                                : head - std::min(head, chance() % 50)};
            std::uint64_t newest = head;
            while (newest > guard.after.value &&
                   !naive::set_matches(guard.none, guard.not_filters, log[newest])) {
                --newest;
            }
            // Judged without a record of its own, so that the log stays what it is.
            auto batch = std::make_unique<WriteBatch>();
            batch->atomic = std::make_unique<AtomicPart>();
            BatchGuard of;
            of.filters = batch->keep(guard);
            batch->atomic->guards.push_back(of);
            std::unique_ptr<AtomicPart> answer;
            batch->done = [&](std::unique_ptr<WriteBatch> done) {
                answer = std::move(done->atomic);
            };
            f.log().append(std::move(batch));
            REQUIRE(answer != nullptr);
            if (newest == guard.after.value) {
                CHECK(answer->outcome == Outcome::written);
                continue;
            }
            ++conflicts;
            REQUIRE(answer->violations.size() == 1);
            REQUIRE(answer->violations[0].guard);
            CHECK(answer->violations[0].guard->seq == Seq{newest});
            CHECK(answer->violations[0].guard->topic == log[newest]);
        }
    }
    CHECK(f.store->stats().segments > 0);
    CHECK(conflicts > decisions / 10);
    CHECK(conflicts < decisions * 9 / 10);
}
