// Promise: what is rebuilt from the log equals what was maintained. On the real file system, since
// the simulated one keeps the key index in memory.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "index/runs.h"
#include "klog/env.h"
#include "klog/log.h"
#include "segment/wal_format.h"
#include "support/log_helpers.h"
#include "support/temp_folder.h"

using namespace klog;
using namespace klog::test;
namespace fs = std::filesystem;
using Outcome = WriteResult::Outcome;

namespace {

constexpr int kBatches = 240;
constexpr int kBatchRecords = 50;
const std::vector<std::string> kSpaces = {"orders", "users", "Ünïcode", "a.b", "z"};

std::unique_ptr<Store> open_store(Env& env, const fs::path& dir) {
    StoreOptions options;
    options.dir = dir.string();
    // Small ones, so that a little writing makes many files and runs.
    options.wal_first_file_bytes = 64 * 1024;
    options.wal_file_bytes = 256 * 1024;
    options.memtable_bytes_max = 128 * 1024;
    auto store = Store::open(env, options);
    REQUIRE_MESSAGE(store.ok(), store.error().message);
    return std::move(store).value();
}

void close_store(const std::unique_ptr<Store>& store) {
    const Status closed = store->close();
    REQUIRE_MESSAGE(closed.ok(), closed.error().message);
}

Put nth_put(int n) {
    Put put;
    const std::string& space = kSpaces[static_cast<std::size_t>(n) % kSpaces.size()];
    put.topic = space + "/" + std::to_string(n % 613) + (n % 2 == 0 ? "/new" : "/done");
    if (n % 17 != 0) put.key = "k'%" + std::to_string(n * 7 % 1999);
    if (n % 3 == 0) put.id = "id-" + std::to_string(n);
    if (n % 23 == 0 && !put.key.empty()) put.kind = Kind::tombstone;
    put.value = put.kind == Kind::tombstone ? ""
                                            : "{\"n\":" + std::to_string(n) + R"(,"text":")" +
                                                  std::string(120, 'x') + "\"}";
    put.line = static_cast<std::uint64_t>(n + 1);
    return put;
}

// Two lives, sessions, settings, and flushes while it grows.
void fill(Env& env, const fs::path& dir) {
    int n = 0;
    for (int life = 0; life < 2; ++life) {
        const auto store = open_store(env, dir);
        Log& log = store->default_log();
        auto stream = std::make_shared<WriteStream>();
        stream->session.bytes[0] = static_cast<std::uint8_t>(life + 1);
        for (int batch = 0; batch < kBatches / 2; ++batch) {
            std::vector<Put> puts;
            for (int i = 0; i < kBatchRecords; ++i) puts.push_back(nth_put(n++));
            for (const WriteResult& result : write(log, puts, batch % 4 == 0 ? stream : nullptr)) {
                REQUIRE(result.outcome == Outcome::written);
            }
            if (batch % 40 == 0) {
                REQUIRE(log.put_setting("test", std::to_string(batch)).ok());
                REQUIRE(store->maintain().ok());
            }
        }
        CHECK(log.stats().runs >= 2);
        CHECK(store->stats().wal_files >= 4);
        close_store(store);
    }
}

// Every row of a query, fields separated by tabs.
std::vector<std::string> rows_of(const fs::path& database, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
    std::vector<std::string> rows;
    const auto add = [](void* out, int count, char** fields, char** /*names*/) {
        std::string row;
        for (int i = 0; i < count; ++i) row.append(fields[i]).push_back('\t');
        static_cast<std::vector<std::string>*>(out)->push_back(row);
        return 0;
    };
    CHECK(sqlite3_exec(db, sql.c_str(), add, &rows, nullptr) == SQLITE_OK);
    REQUIRE(sqlite3_close(db) == SQLITE_OK);
    return rows;
}

void compare_databases(const fs::path& maintained, const fs::path& rebuilt) {
    // A space's number is the order in which it was met, so keys are compared by its name.
    const std::map<std::string, std::size_t> queries = {
        {"SELECT name, value FROM meta ORDER BY name", 3},
        {"SELECT name FROM space ORDER BY name", kSpaces.size()},
        {"SELECT space, key FROM keys ORDER BY space, key", 5000},
        {"SELECT * FROM topic ORDER BY topic", 3000},
        {"SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", 7},
    };
    for (const auto& query : queries) {
        // Clang 14 does not take structured bindings into a lambda.
        const std::string& sql = query.first;
        const std::size_t rows_min = query.second;
        const auto rows = rows_of(maintained, sql);
        CHECK_MESSAGE(rows.size() >= rows_min, sql);
        CHECK_MESSAGE(rows == rows_of(rebuilt, sql), sql);
    }
}

std::string bytes_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE_MESSAGE(in.good(), path.string());
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

StoreUuid uuid_of(const fs::path& dir) {
    const fs::path first = dir / "wal" / "00000000000000000001.wal";
    const auto header = decode_file_header(bytes_of(first).substr(0, kWalFileHeaderBytes), "");
    REQUIRE(header.ok());
    return header->store_uuid;
}

RunContents runs_of(Env& env, const fs::path& dir, const std::string& log) {
    std::vector<std::string> notices;
    const auto runs = RunSet::open(env, (dir / "index" / log).string(), uuid_of(dir), notices);
    REQUIRE(runs.ok());
    CHECK(notices.empty());
    auto contents = (*runs)->dump();
    REQUIRE(contents.ok());
    return std::move(contents).value();
}

void compare_runs(const RunContents& maintained, const RunContents& rebuilt) {
    CHECK(maintained.heads == rebuilt.heads);
    CHECK(maintained.ids == rebuilt.ids);
    CHECK(maintained.sessions == rebuilt.sessions);
    CHECK(maintained.covered_upto == rebuilt.covered_upto);
    CHECK(maintained.last_time == rebuilt.last_time);
    // Where a start began at a checkpoint it knows no more than that the newest setting is not
    // behind that.
    CHECK(maintained.settings_seq <= rebuilt.settings_seq);
}

// The indexes of closed WAL files that both directories have.
void compare_file_indexes(const fs::path& maintained, const fs::path& rebuilt) {
    std::size_t compared = 0;
    for (const auto& entry : fs::directory_iterator(maintained / "index" / "wal")) {
        const fs::path other = rebuilt / "index" / "wal" / entry.path().filename();
        REQUIRE_MESSAGE(fs::exists(other), other.string());
        CHECK_MESSAGE(bytes_of(entry.path()) == bytes_of(other), other.string());
        ++compared;
    }
    CHECK(compared >= 8);
}

void compare_answers(Log& maintained, Log& rebuilt) {
    CHECK(maintained.head() == rebuilt.head());
    CHECK(maintained.settings_seq() == rebuilt.settings_seq());
    CHECK(maintained.setting("test") == rebuilt.setting("test"));
    CHECK(maintained.setting("test"));
    CHECK(*maintained.head("orders/*/done") == *rebuilt.head("orders/*/done"));
    for (const std::string& space : kSpaces) {
        const auto one = maintained.keys(space, "", "", true, 10'000);
        const auto other = rebuilt.keys(space, "", "", true, 10'000);
        REQUIRE(one.ok());
        REQUIRE(other.ok());
        REQUIRE(one->rows.size() == other->rows.size());
        for (std::size_t i = 0; i < one->rows.size(); ++i) {
            CHECK(one->rows[i].key == other->rows[i].key);
            CHECK(one->rows[i].head.version == other->rows[i].head.version);
            CHECK(one->rows[i].head.state == other->rows[i].head.state);
            CHECK(one->rows[i].head.last_seq == other->rows[i].head.last_seq);
        }
    }
    for (int n = 0; n < kBatches * kBatchRecords; n += 99) {
        Put put = nth_put(n);
        if (put.id.empty()) continue;
        put.line = 0;
        const WriteResult one = write_one(maintained, put);
        const WriteResult other = write_one(rebuilt, put);
        CHECK(one.outcome == Outcome::duplicate);
        CHECK(other.outcome == Outcome::duplicate);
        CHECK(one.seq == other.seq);
        CHECK(one.version == other.version);
    }
}

}  // namespace

TEST_CASE("indexes: those that are made anew equal those that were maintained") {
    const TempFolder folder;
    const auto env = make_posix_env();
    const fs::path maintained = folder.path() / "maintained";
    const fs::path rebuilt = folder.path() / "rebuilt";
    fill(*env, maintained);
    fs::copy(maintained, rebuilt, fs::copy_options::recursive);
    SUBCASE("all of them") { REQUIRE(fs::remove_all(rebuilt / "index") > 10); }
    SUBCASE("the databases") {
        for (const char* log : {"0", "1"}) fs::remove(rebuilt / "index" / log / "keys.db");
    }
    SUBCASE("the runs") {
        std::size_t removed = 0;
        for (const auto& entry : fs::directory_iterator(rebuilt / "index" / "1")) {
            if (entry.path().filename().string().starts_with("keys.db")) continue;
            fs::remove(entry.path());
            ++removed;
        }
        REQUIRE(removed >= 1);
    }
    SUBCASE("the indexes of files") { REQUIRE(fs::remove_all(rebuilt / "index" / "wal") > 8); }
    {
        const auto one = open_store(*env, maintained);
        const auto other = open_store(*env, rebuilt);
        CHECK(one->recovery().records_replayed == 0);
        compare_answers(one->default_log(), other->default_log());
        close_store(one);
        close_store(other);
    }
    compare_databases(maintained / "index" / "1" / "keys.db", rebuilt / "index" / "1" / "keys.db");
    for (const std::string log : {"0", "1"}) {
        compare_runs(runs_of(*env, maintained, log), runs_of(*env, rebuilt, log));
    }
    compare_file_indexes(maintained, rebuilt);
}
