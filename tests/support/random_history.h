// A log on a simulated disk with a random history, and the same records in a list.
#ifndef KLOG_TESTS_SUPPORT_RANDOM_HISTORY_H
#define KLOG_TESTS_SUPPORT_RANDOM_HISTORY_H

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "support/log_helpers.h"

namespace klog::test {

struct RandomHistory {
    static constexpr const char* kIndexes = "/data/index/wal/";

    SimEnv env;
    StoreOptions options;
    std::unique_ptr<Store> store;
    std::vector<Got> written;
    std::mt19937_64 random;

    // seal_bytes_min: large enough, and nothing is sealed.
    RandomHistory(std::uint64_t seed, std::uint64_t file_bytes, std::uint64_t seal_bytes_min)
        : env(seed), random(seed) {
        options.dir = "/data";
        options.wal_first_file_bytes = file_bytes;
        options.wal_file_bytes = file_bytes;
        options.seal_bytes_min = seal_bytes_min;
        options.memtable_bytes_max = 64 * 1024;
        options.tail_cache_bytes = seed % 2 == 0 ? 1 : 64 * 1024;
        open();
    }
    void open() {
        store.reset();
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    Log& log() { return store->default_log(); }

    // Some keys come often, some once in a while, and some records have none.
    std::string key() {
        const std::uint64_t kind = random() % 10;
        if (kind < 2) return {};
        if (kind < 5) return "hot" + std::to_string(random() % 3);
        return "cold" + std::to_string(random() % 300);
    }
    void fill(std::size_t records) {
        while (records > 0) {
            std::vector<Put> puts;
            const std::size_t group = std::min<std::size_t>(records, 1 + random() % 300);
            for (std::size_t i = 0; i < group; ++i) {
                Put put;
                put.topic = (random() % 4 == 0 ? "b/" : "a/") + std::to_string(random() % 7);
                put.key = key();
                put.value = std::string(random() % 150, 'x');
                if (!put.key.empty() && random() % 8 == 0) put.kind = Kind::tombstone;
                puts.push_back(std::move(put));
            }
            records -= group;
            const auto results = write(log(), puts);
            for (std::size_t i = 0; i < group; ++i) {
                REQUIRE(results[i].outcome == WriteResult::Outcome::written);
                written.push_back({results[i].seq.value, results[i].version.value, puts[i].topic,
                                   puts[i].key, puts[i].value, puts[i].id});
            }
        }
    }
    void maintain() {
        const Status done = store->maintain();
        REQUIRE_MESSAGE(done.ok(), done.error().message);
    }
    [[nodiscard]] std::vector<std::string> indexes() const {
        std::vector<std::string> paths;
        for (const std::string& path : env.files()) {
            if (path.starts_with(kIndexes) && path.ends_with(".idx")) paths.push_back(path);
        }
        return paths;
    }
    // One file's index is damaged or gone: in its pages of entities as well as before them.
    void spoil_an_index() {
        const auto paths = indexes();
        if (paths.empty()) return;
        const std::string& path = paths[random() % paths.size()];
        const auto bytes = env.read_file(path);
        REQUIRE(bytes.ok());
        if (random() % 4 == 0) {
            REQUIRE(env.remove(path).ok());
        } else {
            REQUIRE(env.flip(path, random() % bytes->size()).ok());
        }
    }
    void end_life() {
        if (random() % 2 == 0) {
            REQUIRE(store->close().ok());
            store.reset();
        } else {
            store.reset();
            env.kill();
        }
    }
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_RANDOM_HISTORY_H
