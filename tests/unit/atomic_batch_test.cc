// Atomic batches on the simulated disk.
#include <doctest/doctest.h>

#include <algorithm>

#include "support/model_record.h"
#include "support/sim_store.h"

using namespace klog;
using namespace klog::test;
using Outcome = WriteResult::Outcome;

namespace {

struct Fixture : SimStore {
    Fixture() : SimStore(11) {}

    GivenAnswer append(std::unique_ptr<WriteBatch> batch) {
        GivenAnswer given;
        batch->done = [&given](std::unique_ptr<WriteBatch> done) {
            given = GivenAnswer{done->results, std::move(done->atomic)};
        };
        log().append(std::move(batch));
        REQUIRE(given.atomic != nullptr);
        return given;
    }
    GivenAnswer append(std::vector<Put> puts, std::vector<SentGuard> guards = {}) {
        return append(make_batch(SentBatch{std::move(puts), nullptr, true, std::move(guards)}));
    }
};

std::vector<std::uint64_t> lines(const GivenAnswer& given) {
    std::vector<std::uint64_t> all;
    for (const Violation& violation : given.atomic->violations) all.push_back(violation.line);
    return all;
}

SentGuard of_entity(std::string space, std::string key, Expect expect) {
    return SentGuard{std::nullopt, std::move(space), std::move(key), expect};
}

SentGuard of_filters(std::vector<std::string> none, std::uint64_t after) {
    SentGuard guard;
    guard.filters = FilterGuard{std::move(none), {}, Seq{after}};
    return guard;
}

}  // namespace

TEST_CASE("atomic: a batch is written all, next to each other") {
    Fixture f;
    const GivenAnswer given =
        f.append({{"a/x", "1", "1"}, {"b/x", "1", "2"}, {"a/x", "1", "3"}, {"c", "", "4"}});
    CHECK(given.atomic->outcome == Outcome::written);
    for (std::size_t i = 0; i < 4; ++i) CHECK(given.results[i].seq == Seq{i + 1});
    CHECK(given.results[0].version == Version{1});
    CHECK(given.results[2].version == Version{2});
    CHECK(read_all(f.log())->size() == 4);
}

TEST_CASE("atomic: everything is judged against the state before the batch") {
    Fixture f;
    REQUIRE(write_one(f.log(), {"a/x", "1"}).outcome == Outcome::written);
    // The second record of the entity expects what was before the first one of the batch.
    const GivenAnswer given =
        f.append({{"a/x", "1", "2"}, {"a/x", "1", "3", "", expect_version(1)}},
                 {of_filters({"a/x"}, 1), of_entity("b", "never", expect_absent())});
    CHECK(given.atomic->outcome == Outcome::written);
    CHECK(given.results[1].version == Version{3});
}

TEST_CASE("atomic: a refused batch names every line that stands against it, in order") {
    Fixture f;
    write(f.log(), {{"a/x", "1"}, {"a/y", "2"}, {"b/x", "1"}});
    const GivenAnswer given =
        f.append({{"a/x", "1", "9", "", expect_version(7)},
                  {"a/z", "3"},
                  {"a/x", "2", "9", "", expect_absent()}},
                 {of_filters({"b/*", "a/*"}, 1), of_entity("b", "1", expect_version(1)),
                  of_entity("b", "2", expect_exists()), of_filters({"a/x"}, 9)});
    CHECK(given.atomic->outcome == Outcome::refused);
    CHECK(lines(given) == std::vector<std::uint64_t>{1, 3, 4, 6, 7});
    const auto& said = given.atomic->violations;
    CHECK(said[0].error.code == Code::version_conflict);
    CHECK(said[0].entity->actual == Version{1});
    CHECK(said[2].error.code == Code::guard_conflict);
    CHECK(said[2].guard->seq == Seq{3});
    CHECK(said[2].guard->filter == "b/*");
    CHECK(said[3].entity->space == "b");
    CHECK(said[4].error.code == Code::guard_unknown);
    for (const WriteResult& result : given.results) {
        CHECK(result.outcome == Outcome::refused);
        CHECK(result.error->code == Code::version_conflict);
    }
    CHECK(f.log().head() == Seq{3});
}

TEST_CASE("atomic: a batch of guards alone is judged, and holds no record") {
    Fixture f;
    write_one(f.log(), {"a/x", "1"});
    CHECK(f.append({}, {of_entity("a", "1", expect_version(1))}).atomic->outcome ==
          Outcome::written);
    CHECK(f.append({}, {of_entity("a", "1", expect_version(2))}).atomic->outcome ==
          Outcome::refused);
    CHECK(f.log().head() == Seq{1});
}

TEST_CASE("atomic: a repeated batch answers with its first write and judges nothing") {
    Fixture f;
    const std::vector<Put> puts = {{"a/x", "1", "1", "one", expect_version(0)},
                                   {"a/x", "2", "2", "two", expect_version(0)}};
    CHECK(f.append(puts).atomic->outcome == Outcome::written);
    const GivenAnswer again = f.append(puts, {of_filters({"a/x"}, 0)});
    CHECK(again.atomic->outcome == Outcome::duplicate);
    CHECK(again.results[1].seq == Seq{2});
    CHECK(f.log().head() == Seq{2});
}

TEST_CASE("atomic: a batch of which a part is known is refused whole") {
    Fixture f;
    write_one(f.log(), {"a/x", "1", "1", "one"});
    for (const Put& other : {Put{"a/x", "2", "2", "two"}, Put{"a/x", "2", "2", ""}}) {
        const GivenAnswer given = f.append({other, {"a/x", "1", "1", "one"}});
        CHECK(given.atomic->outcome == Outcome::refused);
        CHECK(lines(given) == std::vector<std::uint64_t>{2});
        CHECK(given.atomic->violations[0].error.code == Code::partial_duplicate);
    }
    const GivenAnswer reused = f.append({{"a/x", "1", "other", "one"}, {"a/x", "2", "2", "two"}});
    CHECK(reused.atomic->violations.at(0).error.code == Code::id_reused);
    CHECK(f.log().head() == Seq{1});
}

TEST_CASE("atomic: one expected version an entity, one record an id") {
    Fixture f;
    const GivenAnswer given = f.append(
        {{"a/x", "1", "1", "i", expect_version(0)}, {"a/y", "1", "2", "i", expect_version(0)}},
        {of_entity("a", "1", expect_absent()), of_entity("a/b", "1", expect_absent()),
         of_entity("a", "2", Expect{}), of_filters({}, 0), of_filters({"$klog/>"}, 0),
         of_filters({"a/>/b"}, 0)});
    CHECK(lines(given) == std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7, 8});
    CHECK(given.atomic->violations[2].error.code == Code::bad_topic);
    CHECK(given.atomic->violations[5].error.code == Code::bad_filter);
    CHECK(given.atomic->violations[6].error.code == Code::bad_filter);
}

TEST_CASE("atomic: limits, each at its edge and one past it") {
    Fixture f;
    std::vector<Put> puts(Limits::kBatchItemsMax - 1, Put{"a/x", "", "1"});
    const SentGuard guard = of_filters({"b/*"}, 0);
    CHECK(f.append(puts, {guard}).atomic->outcome == Outcome::written);
    GivenAnswer given = f.append(puts, {guard, guard});
    REQUIRE(given.atomic->error);
    CHECK(given.atomic->error->code == Code::batch_too_large);
    CHECK(given.atomic->error->message.find("10000") != std::string::npos);

    const std::string large(Limits::kValueBytesDefault, 'v');
    puts.assign(16, Put{"a", "", large});
    puts[15].value.resize(large.size() - 16);  // the topics count as well
    CHECK(f.append(puts).atomic->outcome == Outcome::written);
    puts[15].value += "1";
    CHECK(f.append(puts).atomic->error->code == Code::batch_too_large);

    const SentGuard many = of_filters(std::vector<std::string>(16, "b/*"), 0);
    CHECK(f.append({}, std::vector<SentGuard>(625, many)).atomic->outcome == Outcome::written);
    given = f.append({}, std::vector<SentGuard>(626, many));
    CHECK(given.atomic->error->code == Code::batch_too_large);
    CHECK(f.append({}, {of_filters(std::vector<std::string>(17, "b/*"), 0)})
              .atomic->violations.at(0)
              .error.code == Code::bad_record);
}

TEST_CASE("atomic: so many violations are named, the rest is counted") {
    Fixture f;
    write_one(f.log(), {"a/x", "1"});
    const GivenAnswer given = f.append({}, std::vector<SentGuard>(250, of_filters({"a/x"}, 0)));
    CHECK(given.atomic->violations.size() == Limits::kViolationsMax);
    CHECK(given.atomic->violations_left_out == 150);
    CHECK(given.atomic->violations.back().line == 100);
}

// While a batch of many frames is being synced the power fails, many times, each time with another
// part of its sectors on the disk.
TEST_CASE("atomic: a crash leaves all of a batch or none of it") {
    Fixture f;
    write(f.log(), {{"a/x", "1"}, {"a/x", "2"}});
    constexpr std::size_t kRecords = 8;
    std::vector<Put> puts;
    for (std::size_t i = 0; i < kRecords; ++i)
        puts.push_back({"b/x", "k", std::string(30'000, 'v')});
    std::size_t none = 0;
    std::size_t all = 0;
    bool tried = false;
    std::string written;  // the file of the call before
    f.env.on_call([&](SimCall call, const std::string& path) {
        const std::string before = std::exchange(written, call == SimCall::write ? path : "");
        if (tried || call != SimCall::sync || path != before) return;
        if (f.env.unsynced() < kRecords * 30'000 / 512) return;
        tried = true;
        for (std::uint64_t seed = 0; seed < 300; ++seed) {
            const auto env = f.env.clone(seed);
            if (seed == 0) {
                env->crash_keep_all();
            } else if (seed == 1) {
                env->crash_lose_all();
            } else {
                env->crash();
            }
            const auto store = Store::open(*env, f.options);
            REQUIRE_MESSAGE(store.ok(), store.error().message);
            const auto got = read_all((*store)->default_log());
            REQUIRE(got.ok());
            CAPTURE(seed);
            CHECK((got->size() == 2 || got->size() == 2 + kRecords));
            none += got->size() == 2;
            all += got->size() == 2 + kRecords;
        }
    });
    CHECK(f.append(puts).atomic->outcome == Outcome::written);
    f.env.on_call({});
    CHECK(tried);
    CHECK(none > 0);
    CHECK(all > 0);
}

TEST_CASE("atomic: a batch whose write fails is absent, and the next one takes its place") {
    Fixture f;
    write_one(f.log(), {"a/x", "1"});
    f.env.inject({.kinds = {SimCall::write}, .path_part = "/data/wal/"});
    GivenAnswer given = f.append({{"a/x", "1", "2"}}, {of_filters({"a/>"}, 1)});
    CHECK(given.atomic->outcome == Outcome::refused);
    CHECK(given.atomic->error->code == Code::io);
    f.env.clear_faults();
    given = f.append({{"a/x", "1", "2", "", expect_version(1)}}, {of_filters({"a/>"}, 1)});
    CHECK(given.atomic->outcome == Outcome::written);
    CHECK(given.results[0].seq == Seq{2});
}
