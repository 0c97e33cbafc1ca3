// klog/verify.h on a simulated disk: each byte matters, and what a crash leaves is no damage.
#include "klog/verify.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "support/log_helpers.h"

using klog::FileFinding;
using klog::FileKind;
using klog::SimEnv;
using klog::Store;
using klog::StoreOptions;
using klog::VerifiedFile;
using klog::VerifyOptions;
using klog::VerifyReport;
using klog::test::Put;

namespace {

constexpr const char* kDir = "/data";

StoreOptions small_options() {
    StoreOptions options;
    options.dir = kDir;
    options.wal_first_file_bytes = 64 << 10U;
    options.wal_file_bytes = 64 << 10U;
    options.memtable_bytes_max = 64 << 10U;
    options.idle_mark_ms = 0;
    return options;
}

struct Found {
    VerifyReport report;
    std::vector<VerifiedFile> files;
};

Found verify(klog::Env& env, bool live = false) {
    Found found;
    VerifyOptions options;
    options.dir = kDir;
    options.live = live;
    options.on_file = [&found](const VerifiedFile& file) { found.files.push_back(file); };
    const auto report = klog::verify_store(env, options);
    REQUIRE(report.ok());
    found.report = *report;
    return found;
}

std::string damage_of(const Found& found) {
    std::string text;
    for (const VerifiedFile& file : found.files) {
        if (file.error) text += file.error->message + "\n";
    }
    return text;
}

// Records of several sizes, over two WAL files and a run.
void fill(klog::Log& log, int count, int value_bytes_max = 500) {
    for (int n = 0; n < count; ++n) {
        const Put put{
            .topic = "orders/" + std::to_string(n % 7),
            .key = "k" + std::to_string(n),
            .value =
                "\"" + std::string(static_cast<std::size_t>(n * 7 % value_bytes_max), 'x') + "\""};
        klog::test::write_one(log, put);
    }
}

}  // namespace

TEST_CASE("verify: no flipped byte that a reader could meet goes unnoticed") {
    SimEnv env(1);
    std::vector<klog::test::Got> records;
    {
        auto store = Store::open(env, small_options());
        REQUIRE(store.ok());
        fill((*store)->default_log(), 300);
        REQUIRE((*store)->maintain().ok());
        const auto all = klog::test::read_all((*store)->default_log());
        REQUIRE(all.ok());
        records = *all;
        REQUIRE((*store)->close().ok());
    }
    const Found sound = verify(env);
    CHECK(sound.report.damaged == 0);
    CHECK(sound.report.records >= records.size());
    for (const VerifiedFile& file : sound.files) {
        if (file.finding != FileFinding::sound) continue;
        const std::string path = std::string(kDir) + "/" + file.name;
        const std::size_t size = env.read_file(path)->size();
        CAPTURE(path);
        // Whole headers, and a sample of the rest: a prime, so that all alignments come.
        for (std::size_t offset = 0; offset < size; offset += offset < 512 ? 1 : 127) {
            CAPTURE(offset);
            REQUIRE(env.flip(path, offset, 0x10).ok());
            if (verify(env).report.damaged == 0) {
                // Void bytes: the log is read as before.
                const auto copy = env.clone(offset);
                auto store = Store::open(*copy, small_options());
                REQUIRE(store.ok());
                const auto all = klog::test::read_all((*store)->default_log());
                REQUIRE(all.ok());
                CHECK(*all == records);
                CHECK(file.kind == FileKind::wal);
            }
            REQUIRE(env.flip(path, offset, 0x10).ok());
        }
    }
    CHECK(verify(env).report.damaged == 0);
}

TEST_CASE("verify: what a crash leaves is no damage, whenever it comes") {
    std::uint64_t torn = 0;
    std::uint64_t ends = 0;
    for (std::uint64_t call = 1; ends == 0; call += 3) {
        CAPTURE(call);
        SimEnv env(call);
        env.crash_at_call(call);
        {
            auto store = Store::open(env, small_options());
            if (store.ok()) {
                fill((*store)->default_log(), 100, 3000);  // frames of several sectors
                // Either may meet the end of the power.
                static_cast<void>((*store)->maintain());
                static_cast<void>((*store)->close());
            }
        }
        if (!env.power_cut()) ++ends;
        env.crash();
        if (!env.exists(std::string(kDir) + "/wal").value()) continue;
        Found found = verify(env);
        CHECK_MESSAGE(found.report.damaged == 0, damage_of(found));
        for (const VerifiedFile& file : found.files) {
            if (file.finding == FileFinding::torn_tail) ++torn;
        }
        auto again = Store::open(env, small_options());
        REQUIRE(again.ok());
        found = verify(env, true);
        CHECK_MESSAGE(found.report.damaged == 0, damage_of(found));
        REQUIRE((*again)->close().ok());
        found = verify(env);
        CHECK_MESSAGE(found.report.damaged == 0, damage_of(found));
    }
    CHECK(torn > 0);
}

TEST_CASE("verify: at every moment of a life a file is sound or growing") {
    SimEnv env(3);
    auto store = Store::open(env, small_options());
    REQUIRE(store.ok());
    // As a second process would see it, between any two calls of the first.
    bool looking = false;
    std::uint64_t looks = 0;
    std::uint64_t calls = 0;
    env.on_call([&](klog::SimCall /*call*/, const std::string& /*path*/) {
        if (looking || ++calls % 5 != 0) return;
        looking = true;
        const Found found = verify(env, true);
        CHECK_MESSAGE(found.report.damaged == 0, damage_of(found));
        ++looks;
        looking = false;
    });
    fill((*store)->default_log(), 200);
    REQUIRE((*store)->maintain().ok());
    REQUIRE((*store)->close().ok());
    env.on_call(nullptr);
    CHECK(looks > 50);
}
