#include "segment/segment_set.h"

#include <doctest/doctest.h>

#include "env/sim_env.h"
#include "segment/manifest_format.h"
#include "tests/support/manifest_golden.h"

using namespace klog;
using namespace klog::testing;

namespace {

constexpr const char* kManifest = "/data/seg/manifest";

std::unique_ptr<SegmentSet> open_set(Env& env) {
    auto set = SegmentSet::open(env, "/data", "klog test");
    REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return std::move(set).value();
}

// What follows on `state`: a WAL file more is sealed, into one segment.
SegmentSetState grown(const SegmentSetState& state) {
    SegmentSetState next = numbered_set(state.logs[1].size() + 1);
    next.number = state.number;
    return next;
}

// A disk with a set that was edited `edits` times.
struct Edited {
    SimEnv env;
    SegmentSetState state;
    explicit Edited(std::uint64_t edits, std::uint64_t seed = 1) : env(seed) {
        REQUIRE(env.create_dirs("/data").ok());
        const auto set = open_set(env);
        for (std::uint64_t i = 0; i < edits; ++i) {
            REQUIRE(set->apply(grown(*set->state())).ok());
        }
        state = *set->state();
        env.crash_lose_all();
    }
};

SegmentSetState next_of(const SegmentSetState& state) {
    SegmentSetState next = grown(state);
    ++next.number;
    return next;
}

constexpr int kEnds = 4;
void end_life(SimEnv& env, int end) {
    if (end == 0) env.crash();
    if (end == 1) env.crash_lose_all();
    if (end == 2) env.crash_keep_all();
    if (end == 3) env.kill();
}

}  // namespace

TEST_CASE("segment set: without a manifest it is empty, and looking changes nothing") {
    SimEnv env(1);
    CHECK(*open_set(env)->state() == SegmentSetState{});
    REQUIRE(env.create_dirs("/data/seg").ok());
    CHECK(*open_set(env)->state() == SegmentSetState{});
    CHECK(env.files().empty());
}

TEST_CASE("segment set: an edit is durable when it returns, and only then shown") {
    Edited edited(3);
    CHECK(edited.state.number == 3);
    const auto set = open_set(edited.env);
    CHECK(*set->state() == edited.state);
    CHECK(edited.env.files() == std::vector<std::string>{kManifest});
    const std::shared_ptr<const SegmentSetState> held = set->state();
    bool seen = false;
    edited.env.on_call([&](SimCall call, const std::string&) {
        if (call == SimCall::sync_dir) seen = *set->state() == edited.state;
    });
    REQUIRE(set->apply(grown(*held)).ok());
    CHECK(seen);
    CHECK(*held == edited.state);
    CHECK(*set->state() == next_of(edited.state));
}

TEST_CASE("segment set: whatever call the power goes at, the old or the new is left") {
    for (const std::uint64_t edits : {0U, 2U}) {
        const Edited edited(edits);
        const SegmentSetState after = next_of(edited.state);
        std::uint64_t calls = 0;
        int news = 0;
        for (std::uint64_t call = 1; calls == 0 || call <= calls + 1; ++call) {
            for (int end = 0; end < kEnds * 4; ++end) {
                const auto env = edited.env.clone(call * 16 + static_cast<std::uint64_t>(end));
                const auto set = open_set(*env);
                const std::uint64_t begun = env->calls();
                env->crash_at_call(begun + call);
                const bool ok = set->apply(grown(*set->state())).ok();
                if (ok) calls = env->calls() - begun;
                end_life(*env, end % kEnds);
                const SegmentSetState left = *open_set(*env)->state();
                const bool is_new = left == after;
                REQUIRE_MESSAGE((is_new || left == edited.state), "call ", call, ", end ", end);
                REQUIRE((is_new || !ok));
                news += is_new && !ok ? 1 : 0;
                // And it goes on from there.
                REQUIRE(open_set(*env)->apply(grown(left)).ok());
            }
        }
        CHECK(calls >= 6);
        CHECK(news > 0);  // the last steps were among them
    }
}

TEST_CASE("segment set: whatever call fails, the old set is shown and a retry finds its way") {
    for (const Code code : {Code::io, Code::disk_full}) {
        for (const std::uint64_t edits : {0U, 2U}) {
            for (std::uint64_t call = 0;; ++call) {
                Edited edited(edits, call + 1);
                SimEnv& env = edited.env;
                const auto set = open_set(env);
                env.inject({.skip = call, .code = code});
                const Status applied = set->apply(grown(*set->state()));
                if (applied.ok()) {
                    REQUIRE(call >= 6);
                    break;
                }
                CAPTURE(call);
                env.clear_faults();
                CHECK(*set->state() == edited.state);
                const bool unknown = applied.error().code == Code::outcome_unknown;
                CHECK((unknown || applied.error().code == code));
                const auto crashed = env.clone(call);
                crashed->crash();
                const SegmentSetState left = *open_set(*crashed)->state();
                CHECK((left == edited.state || (unknown && left == next_of(edited.state))));
                // The next edit settles it; the number of one that may be on disk is not its.
                SegmentSetState other = grown(*set->state());
                other.epoch = 9;
                REQUIRE(set->apply(other).ok());
                other.number += unknown ? 2 : 1;
                CHECK(*set->state() == other);
                env.crash_lose_all();
                CHECK(*open_set(env)->state() == other);
            }
        }
    }
}

TEST_CASE("segment set: no room leaves the old set and nothing in the way") {
    Edited edited(3);
    const std::uint64_t used = edited.env.used_bytes();
    const auto set = open_set(edited.env);
    for (std::uint64_t room = 0; room < used; room += 97) {
        edited.env.set_capacity(used + room);
        CHECK(set->apply(grown(*set->state())).error().code == Code::disk_full);
        CHECK(edited.env.used_bytes() == used);
        CHECK(*open_set(edited.env)->state() == edited.state);
    }
    edited.env.set_capacity(1 << 20);
    CHECK(set->apply(grown(*set->state())).ok());
}

TEST_CASE("segment set: an edit that takes something back, or has holes, is not made") {
    Edited edited(3);
    const auto set = open_set(edited.env);
    const std::uint64_t calls = edited.env.calls(SimCall::create);
    const auto refused = [&](const auto& change) {
        SegmentSetState next = grown(*set->state());
        change(next);
        const Status applied = set->apply(next);
        return !applied.ok() && applied.error().code == Code::bug;
    };
    using State = SegmentSetState;
    CHECK(refused([](State& s) { s.number = 2; }));
    CHECK(refused([](State& s) { s.store_uuid[3] ^= 1; }));
    CHECK(refused([](State& s) { s.hash_key[3] ^= 1; }));
    CHECK(refused([](State& s) { s.sealed.wal_id = 3; }));
    CHECK(refused([](State& s) { s.sealed = {4, 70'008, 0x12345678}; }));
    CHECK(refused([](State& s) { s.next_segment_id = 3; }));
    CHECK(refused([](State& s) { s.logs[1].resize(2); }));
    CHECK(refused([](State& s) { s.logs[1].erase(s.logs[1].begin() + 1); }));
    CHECK(*set->state() == edited.state);
    CHECK(edited.env.calls(SimCall::create) == calls);
    CHECK(set->apply(grown(*set->state())).ok());
}

TEST_CASE("segment set: a damaged manifest is refused with its name and what to do") {
    const Edited edited(3);
    const std::string bytes = *edited.env.read_file(kManifest);
    for (const std::string& broken :
         {std::string(), bytes.substr(0, 100), bytes.substr(0, bytes.size() - 1), bytes + 'x',
          std::string(bytes.size(), '\0')}) {
        const auto env = edited.env.clone(1);
        REQUIRE(env->write_file(kManifest, broken).ok());
        const auto set = SegmentSet::open(*env, "/data", "klog test");
        REQUIRE_FALSE(set.ok());
        CHECK(set.error().code == Code::corrupt);
        CHECK(set.error().message.find(kManifest) == 0);
        CHECK(set.error().message.find("offset") != std::string::npos);
        CHECK(set.error().hint.find("copy") != std::string::npos);
        CHECK(*env->read_file(kManifest) == broken);
    }
    for (std::size_t at = 0; at < bytes.size(); at += 7) {
        const auto env = edited.env.clone(1);
        REQUIRE(env->flip(kManifest, at).ok());
        CHECK_FALSE(SegmentSet::open(*env, "/data", "klog test").ok());
    }
}

TEST_CASE("segment set: a left-over temporary file means nothing") {
    Edited edited(2);
    REQUIRE(edited.env.write_file("/data/seg/manifest.tmp", std::string(100'000, 'x')).ok());
    const auto set = open_set(edited.env);
    CHECK(*set->state() == edited.state);
    REQUIRE(set->apply(grown(*set->state())).ok());
    CHECK(*open_set(edited.env)->state() == next_of(edited.state));
}

TEST_CASE("segment set: names of segments lead to their numbers and back") {
    CHECK(segment_path("/d", LogId::default_log, 42) == "/d/seg/1/00000000000000000042.seg");
    CHECK(segment_id_of("00000000000000000042.seg") == std::optional<std::uint64_t>(42));
    for (const char* const name :
         {"", "42.seg", "00000000000000000042.seg.tmp", "0000000000000000004x.seg",
          "00000000000000000000.seg", "99999999999999999999.seg", "-0000000000000000042.seg"}) {
        CHECK_FALSE(segment_id_of(name).has_value());
    }
}
