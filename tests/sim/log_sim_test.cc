// The whole log on a simulated disk, thousands of lives of it. KLOG_SIM_SEED=N replays one seed;
// KLOG_TEST_SCALE=all and release try more of them.
#include <doctest/doctest.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "base/siphash.h"
#include "support/sim_run.h"

using namespace klog;
using namespace klog::test;

namespace {

constexpr std::uint64_t kFirstSeed = 1;
constexpr std::size_t kTraceShown = 40;
constexpr std::uint64_t kFailuresShown = 5;

std::string_view setting_of(const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
    return value == nullptr ? std::string_view() : std::string_view(value);
}

std::uint64_t seeds_wanted() {
    const std::string_view scale = setting_of("KLOG_TEST_SCALE");
    if (scale == "release") return 20'000;
    if (scale == "all") return 3'000;
    if (!setting_of("KLOG_SANITIZE").empty()) return 300;  // at a tenth of the pace
    return 1'000;
}

std::string tail_of(const std::vector<std::string>& trace) {
    std::string text;
    const bool all = !setting_of("KLOG_SIM_SEED").empty();  // it is looked into
    const std::size_t from = all || trace.size() < kTraceShown ? 0 : trace.size() - kTraceShown;
    for (std::size_t i = from; i < trace.size(); ++i) text += "\n  " + trace[i];
    return text;
}

void add(SimCounts& sum, const SimCounts& one) {
    sum.lives += one.lives;
    sum.crashes += one.crashes;
    sum.power_cuts += one.power_cuts;
    sum.clean_starts += one.clean_starts;
    sum.starts_that_failed += one.starts_that_failed;
    sum.failed_batches += one.failed_batches;
    sum.unknown_records += one.unknown_records;
    sum.unknown_found += one.unknown_found;
    sum.overlapped += one.overlapped;
    sum.resumed += one.resumed;
    sum.records += one.records;
    sum.faults += one.faults;
    sum.rebuilds += one.rebuilds;
    sum.damages += one.damages;
    sum.guards += one.guards;
    sum.guard_conflicts += one.guard_conflicts;
    sum.batches += one.batches;
    sum.batches_refused += one.batches_refused;
    sum.consumer_calls += one.consumer_calls;
    sum.work_acks += one.work_acks;
    sum.files = std::max(sum.files, one.files);
    sum.runs_most = std::max(sum.runs_most, one.runs_most);
}

// False: a promise was broken, and the test says which.
bool try_seed(std::uint64_t seed, SimCounts& sum) {
    SimRun run(seed);
    const bool held = run.run();
    if (!held) {
        FAIL_CHECK("seed " << seed << ": " << run.failure() << "\nreplay it with KLOG_SIM_SEED="
                           << seed << "; before that:" << tail_of(run.trace()));
    }
    add(sum, run.counts());
    return held;
}

// The line that tests/report reads. Nothing that was acknowledged is missing here, or the test had
// failed: acked counts what the model holds and what was compared with it.
void print_figures(std::uint64_t seeds, const SimCounts& sum) {
    const std::pair<const char*, std::uint64_t> figures[] = {
        {"seeds", seeds},
        {"lives", sum.lives},
        {"crashes", sum.crashes},
        {"power_cuts", sum.power_cuts},
        {"faults", sum.faults},
        {"acked", sum.records - sum.unknown_found},
        {"unknown", sum.unknown_records},
        {"unknown_and_there", sum.unknown_found},
        {"clean_starts", sum.clean_starts},
        {"failed_starts", sum.starts_that_failed},
        {"overlaps", sum.overlapped},
        {"resumed", sum.resumed},
        {"files_most", sum.files},
        {"runs_most", sum.runs_most},
        {"rebuilds", sum.rebuilds},
        {"damages", sum.damages},
        {"guards", sum.guards},
        {"guard_conflicts", sum.guard_conflicts},
        {"batches", sum.batches},
        {"batches_refused", sum.batches_refused},
        {"consumer_calls", sum.consumer_calls},
        {"work_acks", sum.work_acks},
        {"violations", 0},
    };
    std::printf("figures: battery=sim");
    for (const auto& [name, value] : figures) {
        std::printf(" %s=%llu", name, static_cast<unsigned long long>(value));
    }
    std::printf("\n");
}

std::uint64_t fingerprint(std::uint64_t seed) {
    SimRun run(seed);
    run.run();
    SipHash hash(HashKey{});
    hash.update_u64(run.env().digest());
    for (const std::string& line : run.trace()) hash.update(line + "\n");
    return hash.finish().lo;
}

}  // namespace

TEST_CASE("sim: lives of a log keep every promise, whatever the disk does") {
    SimCounts sum;
    const std::string_view one = setting_of("KLOG_SIM_SEED");
    if (!one.empty()) {
        std::uint64_t seed = 0;
        const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), seed);
        REQUIRE_MESSAGE((error == std::errc() && end == one.data() + one.size()),
                        "KLOG_SIM_SEED is a number");
        try_seed(seed, sum);
        return;
    }
    const std::uint64_t seeds = seeds_wanted();
    std::uint64_t failures = 0;
    for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + seeds; ++seed) {
        if (!try_seed(seed, sum) && ++failures == kFailuresShown) break;
    }
    REQUIRE(failures == 0);
    // What the battery is for has to happen in it, and often.
    CHECK(sum.records > 50 * seeds);
    CHECK(sum.crashes > seeds);
    CHECK(sum.power_cuts > seeds / 4);
    CHECK(sum.clean_starts > seeds / 2);
    CHECK(sum.starts_that_failed > seeds / 20);
    CHECK(sum.unknown_records > seeds / 2);
    CHECK(sum.unknown_found > seeds / 20);
    CHECK(sum.overlapped > seeds);
    CHECK(sum.resumed > seeds / 4);
    CHECK(sum.files > 8);
    CHECK(sum.runs_most >= 8);
    CHECK(sum.rebuilds > seeds / 4);
    CHECK(sum.damages > seeds / 20);
    CHECK(sum.faults > seeds);
    CHECK(sum.guards > 20 * seeds);
    CHECK(sum.guard_conflicts > 5 * seeds);
    CHECK(sum.batches > 3 * seeds);
    CHECK(sum.batches_refused > 3 * seeds);
    CHECK(sum.consumer_calls > 5 * seeds);
    CHECK(sum.work_acks > seeds);
    print_figures(seeds, sum);
}

TEST_CASE("sim: one seed replays a run exactly") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CHECK(fingerprint(seed) == fingerprint(seed));
    }
    CHECK(fingerprint(1) != fingerprint(2));
}
