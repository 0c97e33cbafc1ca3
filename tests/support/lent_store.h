// A store on a real disk, unsynced, with the threads that a daemon would lend it.
#ifndef KLOG_TESTS_SUPPORT_LENT_STORE_H
#define KLOG_TESTS_SUPPORT_LENT_STORE_H

#include <doctest/doctest.h>

#include <memory>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "klog/env.h"
#include "klog/log.h"
#include "support/temp_folder.h"

namespace klog::test {

struct LentStore {
    TempFolder dir;
    std::unique_ptr<Env> env = make_posix_env({.sync = false});
    StoreOptions options;
    std::unique_ptr<Store> store;
    std::vector<std::jthread> lent;

    // `change` sets options other than the folder.
    template <class Change>
    explicit LentStore(Change&& change) {
        options.dir = dir.path().string();
        change(options);
        open();
    }
    ~LentStore() { lent.clear(); }
    LentStore(const LentStore&) = delete;
    LentStore& operator=(const LentStore&) = delete;

    void open() {
        lent.clear();
        store.reset();
        auto opened = Store::open(*env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
        lent.emplace_back([this](std::stop_token stop) { store->run_writer(std::move(stop)); });
        lent.emplace_back(
            [this](std::stop_token stop) { store->run_maintenance(std::move(stop)); });
        lent.emplace_back([this](std::stop_token stop) { store->run_sealer(std::move(stop)); });
    }
    void close() {
        const Status closed = store->close();
        REQUIRE_MESSAGE(closed.ok(), closed.error().message);
        lent.clear();
    }
    [[nodiscard]] Log& log() const { return store->default_log(); }
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_LENT_STORE_H
