// What is listed while the key index lags far behind the log, and is filled again a step at a time.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "klog/env.h"
#include "klog/log.h"
#include "support/log_helpers.h"
#include "support/temp_folder.h"

using namespace klog;
using namespace klog::test;
namespace fs = std::filesystem;

namespace {

// Of it follows that a flush reads 4 times 2,048 records of the log at most.
constexpr std::uint64_t kMemtableBytes = 64 * 1024;
constexpr int kOldRecords = 30'000;
constexpr int kDueKeys = 2'500;  // more than memory may hold

class Fixture {
public:
    Fixture() : env_(make_posix_env()) { open(); }

    void open() {
        StoreOptions options;
        options.dir = dir().string();
        options.memtable_bytes_max = kMemtableBytes;
        auto opened = Store::open(*env_, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store_ = std::move(opened).value();
    }
    void close() {
        REQUIRE(store_->close().ok());
        store_.reset();
    }
    // Keys "0" to "count-1" behind `first`, in two spaces; each is acknowledged when it returns.
    void write_keys(int first, int count) {
        std::vector<Put> puts;
        for (int n = first; n < first + count; ++n) {
            puts.push_back({.topic = n % 2 == 0 ? "even/x" : "odd/x", .key = std::to_string(n)});
        }
        for (const WriteResult& result : write(log(), puts)) {
            REQUIRE(result.outcome == WriteResult::Outcome::written);
        }
    }
    [[nodiscard]] Log& log() { return store_->default_log(); }
    [[nodiscard]] Store& store() { return *store_; }
    [[nodiscard]] fs::path dir() const { return folder_.path() / "data"; }
    [[nodiscard]] fs::path database() const { return dir() / "index" / "1" / "keys.db"; }

private:
    TempFolder folder_;
    std::unique_ptr<Env> env_;
    std::unique_ptr<Store> store_;
};

std::vector<std::string> all_keys(Log& log, const std::string& space) {
    std::vector<std::string> keys;
    for (std::string after;;) {
        const auto page = log.keys(space, "", after, true, 1'000);
        REQUIRE_MESSAGE(page.ok(), page.error().message);
        for (const KeyRow& row : page->rows) keys.push_back(row.key);
        if (!page->more) return keys;
        after = keys.back();
    }
}

void check_all(Log& log, int written) {
    std::set<std::string> even;
    for (int n = 0; n < written; n += 2) even.insert(std::to_string(n));
    CHECK(all_keys(log, "even") == std::vector<std::string>(even.begin(), even.end()));
    const auto topics = log.topics(">", "", 10);
    REQUIRE(topics.ok());
    REQUIRE(topics->rows.size() == 2);
    CHECK(topics->rows[0].records == static_cast<std::uint64_t>((written + 1) / 2));
    CHECK(topics->rows[1].records == static_cast<std::uint64_t>(written / 2));
}

}  // namespace

TEST_CASE("key index: one that was lost is not waited for by writers, and listings are right") {
    Fixture f;
    for (int n = 0; n < kOldRecords; n += 500) f.write_keys(n, 500);
    f.close();
    REQUIRE(fs::remove(f.database()));
    f.open();
    int written = kOldRecords;
    // Each flush brings it on by a bounded piece, and what is new is left to the log.
    std::uint64_t behind_before = kOldRecords;
    for (int flush = 0; flush < 2; ++flush) {
        f.write_keys(written, kDueKeys);
        written += kDueKeys;
        REQUIRE(f.store().maintain().ok());
        const LogStats stats = f.log().stats();
        CHECK(stats.key_index_behind_records > 0);
        CHECK(stats.key_index_behind_records < behind_before + kDueKeys);
        CHECK(stats.key_index_seq.value <= static_cast<std::uint64_t>(flush + 1) * 4 * 2048);
        CHECK(stats.key_index_pending_bytes < kMemtableBytes);
        behind_before = stats.key_index_behind_records;
    }
    f.write_keys(written, 3);  // these stand in memory
    written += 3;
    check_all(f.log(), written);
    CHECK(f.log().stats().key_index_behind_records == 0);
    // From here on it is kept up as ever.
    f.write_keys(written, kDueKeys);
    written += kDueKeys;
    REQUIRE(f.store().maintain().ok());
    CHECK(f.log().stats().key_index_behind_records == 0);
    CHECK(f.log().stats().key_index_seq.value == static_cast<std::uint64_t>(written));
    check_all(f.log(), written);
    f.close();
    f.open();
    CHECK(f.log().stats().key_index_keys == static_cast<std::uint64_t>(written));
    check_all(f.log(), written);
    f.close();
}

TEST_CASE("key index: what was acknowledged before a listing is in it, while it is made anew") {
    Fixture f;
    for (int n = 0; n < kOldRecords; n += 500) f.write_keys(n, 500);
    f.close();
    REQUIRE(fs::remove(f.database()));
    f.open();
    std::atomic<int> written{kOldRecords};
    std::atomic<bool> done{false};
    std::jthread writer([&] {
        for (int batch = 0; batch < 20; ++batch) {
            f.write_keys(written.load(), 500);
            written += 500;
            REQUIRE(f.store().maintain().ok());
        }
        done.store(true);
    });
    for (bool last = false; !last;) {
        last = done.load();
        const int acknowledged = written.load();
        const std::vector<std::string> odd = all_keys(f.log(), "odd");
        const std::set<std::string> found(odd.begin(), odd.end());
        CHECK(found.size() == odd.size());
        int missing = 0;
        for (int n = 1; n < acknowledged; n += 2) {
            if (found.count(std::to_string(n)) == 0) ++missing;
        }
        REQUIRE(missing == 0);
        const std::uint64_t before = f.log().head().value;
        const auto topics = f.log().topics(">", "", 10);
        REQUIRE(topics.ok());
        std::uint64_t records = 0;
        for (const TopicRow& row : topics->rows) records += row.records;
        CHECK(records >= before);
        CHECK(records <= f.log().head().value);
    }
    writer.join();
    check_all(f.log(), written.load());
    f.close();
}
