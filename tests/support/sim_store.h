// A store on a simulated disk, for tests on one thread.
#ifndef KLOG_TESTS_SUPPORT_SIM_STORE_H
#define KLOG_TESTS_SUPPORT_SIM_STORE_H

#include <doctest/doctest.h>

#include <memory>
#include <utility>

#include "env/sim_env.h"
#include "klog/log.h"

namespace klog::test {

struct SimStore {
    SimEnv env;
    StoreOptions options;
    std::unique_ptr<Store> store;

    // Small files, so that few records fill several. `change` sets other options.
    template <class Change>
    SimStore(std::uint64_t seed, Change&& change) : env(seed) {
        options.dir = "/data";
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 128 * 1024;
        change(options);
        open();
    }
    explicit SimStore(std::uint64_t seed) : SimStore(seed, [](StoreOptions&) {}) {}

    void open() {
        store.reset();
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    [[nodiscard]] Log& log() const { return store->default_log(); }
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_SIM_STORE_H
