// What a guard's look reads of the log itself.
#include "log/guard_scan.h"

#include <doctest/doctest.h>

#include "log/file_catalog.h"
#include "log/frame_source.h"
#include "log/guards.h"
#include "log/live_tail.h"
#include "log/segment_catalog.h"
#include "segment/wal.h"
#include "support/log_helpers.h"
#include "support/sim_store.h"

using namespace klog;
using namespace klog::test;

namespace {

// The files of a store that was closed, as its readers see them.
struct Closed : SimStore {
    std::unique_ptr<Wal> wal;
    std::unique_ptr<SegmentCatalog> segments;
    std::unique_ptr<FileCatalog> files;
    LiveTail tail{0};

    explicit Closed(const std::vector<Put>& puts) : SimStore(3) {
        write(log(), puts);
        REQUIRE(store->close().ok());
        store.reset();
        WalOptions of_wal;
        of_wal.dir = options.dir;
        auto opened = Wal::open(env, of_wal, {});
        REQUIRE(opened.ok());
        wal = std::move(opened->wal);
        segments = std::make_unique<SegmentCatalog>(env, options.dir, 0);
        files = std::make_unique<FileCatalog>(env, *wal, *segments, options.dir + "/index/wal");
        std::vector<std::string> notices;
        REQUIRE(files->open(notices, nullptr).ok());
    }
    // Of a guard that nothing under `none` lies behind `after`.
    GuardLook look(const FilterGuard& guard, GuardLook::Seen durable, GuardLook::Seen seen,
                   Seq head) {
        WriteBatch::Looked looked;
        GuardLook& look = looked.guards.emplace_back();
        look.guard = &guard;
        look.set = std::move(FilterSet::parse(guard.none, guard.not_filters)).value();
        look.durable = std::move(durable);
        look.seen = std::move(seen);
        look_closer(looked, LogId::default_log, FrameSource(LogId::default_log, *wal, *files, tail),
                    *segments, wal->hash_key(), head);
        return looked.guards.front();
    }
};

}  // namespace

TEST_CASE("guard scan: what was seen of groups that came to nothing is looked at again") {
    Closed log({{"a/1", ""}, {"a/2", ""}, {"a/3", ""}, {"b/x", ""}, {"a/4", ""}, {"a/5", ""}});
    const FilterGuard guard{{"b/>"}, {}, Seq{1}};
    // It saw up to 5 when those seqs were of a group that failed: b/x took seq 4 since.
    const GuardLook missed = log.look(guard, {Seq{2}, Seq{}, ""}, {Seq{5}, Seq{}, ""}, Seq{6});
    CHECK(missed.durable.upto == Seq{6});
    CHECK(missed.durable.found == Seq{4});
    CHECK(missed.durable.topic == "b/x");
    // And the other way about: what it found then is not there.
    const FilterGuard other{{"c/>"}, {}, Seq{1}};
    const GuardLook gone = log.look(other, {Seq{2}, Seq{}, ""}, {Seq{5}, Seq{3}, "c/x"}, Seq{6});
    CHECK(gone.durable.found == Seq{});
    CHECK(gone.seen.found == Seq{});
    // What is durable need not be looked at again.
    const GuardLook kept =
        log.look(other, {Seq{2}, Seq{2}, "c/y"}, {Seq{2}, Seq{2}, "c/y"}, Seq{6});
    CHECK(kept.durable.found == Seq{2});
}
