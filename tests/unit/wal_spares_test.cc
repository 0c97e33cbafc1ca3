// Spare files: what runs beside their filling.
#include "segment/wal_spares.h"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <vector>

#include "env/sim_env.h"

using namespace klog;

TEST_CASE("spares: who asks how many there are never waits for the disk") {
    constexpr std::uint64_t kSmall = 64 * 1024;
    constexpr std::uint64_t kLarge = 1024 * 1024;
    SimEnv env(1);
    REQUIRE(env.create_dirs("/wal").ok());
    SparePool pool(env, "/wal");
    REQUIRE(pool.ensure(1, kSmall, kSmall).ok());
    // A disk that hangs within a write or a sync: others ask meanwhile.
    std::vector<std::future<std::uint64_t>> asked;
    std::size_t answered = 0;
    env.on_call([&](SimCall call, const std::string&) {
        if (call != SimCall::write && call != SimCall::sync) return;
        asked.push_back(std::async(std::launch::async, [&pool] { return pool.bytes(); }));
        const auto limit =
            answered == asked.size() - 1 ? std::chrono::seconds(20) : std::chrono::seconds(0);
        if (asked.back().wait_for(limit) == std::future_status::ready) ++answered;
    });
    SUBCASE("a spare is made longer") {
        REQUIRE(pool.ensure(1, kLarge, kLarge).ok());
        CHECK(pool.count() == 1);
        CHECK(pool.count(kLarge) == 1);
    }
    SUBCASE("a spare is made") {
        REQUIRE(pool.ensure(2, kSmall, kSmall).ok());
        CHECK(pool.count() == 2);
    }
    env.on_call(nullptr);
    CHECK(!asked.empty());
    CHECK(answered == asked.size());
}

TEST_CASE("spares: one that cannot be made longer stays as it was") {
    constexpr std::uint64_t kSmall = 64 * 1024;
    SimEnv env(1);
    REQUIRE(env.create_dirs("/wal").ok());
    SparePool pool(env, "/wal");
    REQUIRE(pool.ensure(1, kSmall, kSmall).ok());
    env.set_capacity(kSmall + 4096);
    CHECK(pool.ensure(1, 4 * kSmall, 4 * kSmall).error().code == Code::disk_full);
    CHECK(pool.count() == 1);
    CHECK(pool.bytes() == kSmall);
    CHECK(env.used_bytes() == kSmall);
    env.set_capacity(~0ULL);
    CHECK(pool.ensure(1, 4 * kSmall, 4 * kSmall).ok());
    CHECK(pool.bytes() == 4 * kSmall);
}
