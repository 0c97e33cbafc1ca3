#include "index/key_index.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

namespace klog {
namespace {

constexpr std::array<std::uint8_t, 16> kStore{0xab, 2, 3};

class TempFolder {
public:
    TempFolder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "klog-key-index-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TempFolder() { std::filesystem::remove_all(path_); }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    [[nodiscard]] std::string database() const { return path_ + "/keys.db"; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

KeyIndexDelta delta(std::uint64_t after, std::uint64_t upto,
                    const std::vector<std::pair<std::string, std::string>>& keys,
                    std::vector<std::pair<std::string, TopicCount>> topics = {}) {
    KeyIndexDelta made{{}, std::move(topics), Seq{after}, Seq{upto}};
    for (const auto& [space, key] : keys) made.keys.add(space, key);
    made.keys.sort();
    return made;
}

std::vector<std::string> keys_in(KeyIndex& index, std::string_view space,
                                 std::string_view prefix = "", std::string_view after = "",
                                 std::size_t limit = SIZE_MAX) {
    auto listed = index.keys(space, prefix, after, limit);
    REQUIRE_MESSAGE(listed.ok(), (listed.ok() ? "" : listed.error().message));
    return std::move(listed->rows);
}

std::vector<TopicRowOfIndex> topics_in(KeyIndex& index, std::string_view prefix = "",
                                       std::string_view after = "", std::size_t limit = SIZE_MAX) {
    auto listed = index.topics(prefix, after, limit);
    REQUIRE_MESSAGE(listed.ok(), (listed.ok() ? "" : listed.error().message));
    return std::move(listed->rows);
}

void run_sql(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    char* message = nullptr;
    const int rc = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message);
    CHECK_MESSAGE(rc == SQLITE_OK, (message != nullptr ? message : ""));
    sqlite3_free(message);
    REQUIRE(sqlite3_close(db) == SQLITE_OK);
}

void fill(KeyIndex& index) {
    REQUIRE(index
                .apply(delta(0, 7, {{"orders", "1"}, {"orders", "2"}, {"users", "ann"}},
                             {{"orders/1", {2, Seq{1}, Seq{4}}}, {"users/a", {1, Seq{5}, Seq{5}}}}))
                .ok());
}

}  // namespace

TEST_CASE("key_index: keeps keys, topics and the watermark over a new start") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        CHECK_FALSE(std::filesystem::exists(folder.database()));  // not before the first use
        CHECK(*index->watermark() == Seq{0});
        fill(*index);
        REQUIRE(index
                    ->apply(delta(7, 9, {{"orders", "2"}, {"orders", "3"}},
                                  {{"orders/1", {3, Seq{8}, Seq{9}}}}))
                    .ok());
        CHECK(index->take_notices().empty());
    }
    const auto index = KeyIndex::make(folder.database(), kStore);
    CHECK(*index->watermark() == Seq{9});
    CHECK(keys_in(*index, "orders") == std::vector<std::string>{"1", "2", "3"});
    CHECK(keys_in(*index, "users") == std::vector<std::string>{"ann"});
    CHECK(keys_in(*index, "none").empty());
    CHECK(*index->topic("orders/1") == TopicCount{5, Seq{1}, Seq{9}});
    CHECK(index->topic("orders")->records == 0);
    CHECK(topics_in(*index).size() == 2);
    CHECK(index->take_notices().empty());
}

TEST_CASE("key_index: a change that does not begin at the watermark is refused") {
    const auto index = KeyIndex::make(":memory:", kStore);
    fill(*index);
    const Status status = index->apply(delta(6, 9, {{"a", "b"}}));
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::bug);
    CHECK(keys_in(*index, "a").empty());
    CHECK(*index->watermark() == Seq{7});
}

TEST_CASE("key_index: lists in byte order by any prefix, page by page") {
    const auto index = KeyIndex::make(":memory:", kStore);
    std::set<std::string> keys{"a",        "a%",        "a_",
                               "aa",       "ab'c",      "\"q\"",
                               "';--",     "%",         "A",
                               "ab",       "b",         "é",
                               "ê",        "ß",         "\xf4\x8f\xbf\xbf",
                               "zz",       "z",         "\xf4\x8f\xbf\xbfx",
                               "日本",     "日",        " ",
                               "a b",      "*",         "\xef\xbf\xbf",
                               "\xc3\xbf", "\xc3\xbfx", "\xc4\x80",
                               "01",       "1",         "1.0"};
    std::mt19937_64 random(3);
    for (int i = 0; i < 500; ++i) {
        std::string key;
        for (auto left = 1 + random() % 4; left > 0; --left) {
            key += std::string_view("ab%_'\"")[random() % 6];
        }
        keys.insert(key);
    }
    KeyIndexDelta change;
    for (const std::string& key : keys) change.keys.add("s", key);
    change.keys.add("t", "other");
    change.keys.sort();
    for (const std::string& key : keys)
        change.topics.emplace_back(key, TopicCount{1, Seq{1}, Seq{1}});
    change.upto = Seq{1};
    REQUIRE(index->apply(change).ok());

    std::set<std::string> prefixes{"",
                                   "a",
                                   "a%",
                                   "_",
                                   "ab'",
                                   "\xc3",
                                   "\xc3\xbf",
                                   "\xff",
                                   "\xf4\x8f\xbf",
                                   "\xf4\x8f\xbf\xbf",
                                   "日",
                                   "no",
                                   "z",
                                   "zzz",
                                   "1"};
    prefixes.insert(keys.begin(), keys.end());
    for (const std::string& prefix : prefixes) {
        CAPTURE(prefix);
        std::vector<std::string> wanted;
        for (const std::string& key : keys) {
            if (key.starts_with(prefix)) wanted.push_back(key);
        }
        CHECK(keys_in(*index, "s", prefix) == wanted);
        std::vector<std::string> paged;
        std::vector<std::string> topics;
        for (std::string after;;) {
            const auto page = keys_in(*index, "s", prefix, after, 7);
            REQUIRE(page.size() <= 7);
            if (page.empty()) break;
            paged.insert(paged.end(), page.begin(), page.end());
            after = page.back();
        }
        CHECK(paged == wanted);
        for (std::string after;;) {
            const auto page = topics_in(*index, prefix, after, 11);
            if (page.empty()) break;
            for (const auto& [topic, count] : page) topics.push_back(topic);
            after = topics.back();
        }
        CHECK(topics == wanted);
    }
    // A start before the prefix changes nothing; one behind it gives nothing.
    CHECK(keys_in(*index, "s", "b", "a", 1000) == keys_in(*index, "s", "b"));
    CHECK(keys_in(*index, "s", "a", "b").empty());
    CHECK(keys_in(*index, "s", "", "", 0).empty());
}

TEST_CASE("key_index: the file, its journal and its shared memory are for their owner alone") {
    const TempFolder folder;
    const mode_t mask = ::umask(0);
    const auto index = KeyIndex::make(folder.database(), kStore);
    fill(*index);
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        struct stat info {};
        REQUIRE(::stat(entry.path().c_str(), &info) == 0);
        CHECK((info.st_mode & 0777U) == 0600);
        ++files;
    }
    ::umask(mask);
    CHECK(files == 3);
}

TEST_CASE("key_index: what cannot be read is made anew, with a notice") {
    const TempFolder folder;
    const std::string path = folder.database();
    const auto damaged = [&](const std::function<void()>& damage, const char* why) {
        CAPTURE(why);
        {
            const auto index = KeyIndex::make(path, kStore);
            REQUIRE(index->reset().ok());
            fill(*index);
        }
        damage();
        const auto index = KeyIndex::make(path, kStore);
        const auto watermark = index->watermark();
        REQUIRE_MESSAGE(watermark.ok(), (watermark.ok() ? "" : watermark.error().message));
        CHECK(*watermark == Seq{0});
        const std::vector<std::string> notices = index->take_notices();
        REQUIRE(notices.size() == 1);
        CHECK_MESSAGE(notices[0].find(why) != std::string::npos, notices[0]);
        CHECK(keys_in(*index, "orders").empty());
        fill(*index);
        CHECK(keys_in(*index, "orders").size() == 2);
        CHECK(index->take_notices().empty());
    };
    damaged([&] { std::ofstream(path) << std::string(20'000, 'x'); }, "not a database");
    damaged([&] { std::ofstream(path) << "short"; }, "not a database");
    damaged([&] { run_sql(path, "UPDATE meta SET value=99 WHERE name='schema'"); }, "schema '99'");
    damaged([&] { run_sql(path, "UPDATE meta SET value='00' WHERE name='store_uuid'"); },
            "another store");
    damaged([&] { run_sql(path, "DELETE FROM meta WHERE name='watermark'"); }, "no watermark");
    damaged([&] { run_sql(path, "DROP TABLE block"); }, "tables");
    damaged([&] { run_sql(path, "CREATE TRIGGER x AFTER INSERT ON topic BEGIN SELECT 1; END"); },
            "tables");
    damaged([&] { run_sql(path, "CREATE TABLE extra(x)"); }, "tables");
}

TEST_CASE("key_index: a deleted file is an empty index, also where its journal stayed") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        fill(*index);
        // As after a kill: the journal holds everything.
        std::filesystem::copy(folder.database() + "-wal", folder.path() + "/kept");
    }
    std::filesystem::remove(folder.database());
    std::filesystem::rename(folder.path() + "/kept", folder.database() + "-wal");
    const auto index = KeyIndex::make(folder.database(), kStore);
    CHECK(*index->watermark() == Seq{0});
    CHECK(keys_in(*index, "orders").empty());
    CHECK(topics_in(*index).empty());
}

TEST_CASE("key_index: after a kill the newest transactions are there") {
    const TempFolder folder;
    const std::string copy = folder.path() + "/copy.db";
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        fill(*index);
        std::filesystem::copy(folder.database(), copy);
        std::filesystem::copy(folder.database() + "-wal", copy + "-wal");
    }
    const auto index = KeyIndex::make(copy, kStore);
    CHECK(*index->watermark() == Seq{7});
    CHECK(keys_in(*index, "orders").size() == 2);
    CHECK(index->take_notices().empty());
}

TEST_CASE("key_index: damage that is met in use is told, and the watermark is 0 from then on") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        KeyIndexDelta change = delta(0, 5, {});
        for (int i = 100'000; i < 120'000; ++i) change.keys.add("s", std::to_string(i));
        change.keys.sort();
        REQUIRE(index->apply(change).ok());
    }
    {
        // Leaves the schema on page 1 and meta as they are, and breaks most of the rest.
        std::fstream file(folder.database(), std::ios::in | std::ios::out | std::ios::binary);
        const auto size = std::filesystem::file_size(folder.database());
        for (std::uint64_t page = 10; page + 1 < size / 4096; ++page) {
            file.seekp(static_cast<std::streamoff>(page * 4096));
            file << std::string(4096, '\xee');
        }
    }
    const auto index = KeyIndex::make(folder.database(), kStore);
    CHECK(*index->watermark() == Seq{5});
    const auto keys = index->keys("s", "", "", SIZE_MAX);
    REQUIRE_FALSE(keys.ok());
    CHECK(keys.error().code == Code::corrupt);
    CHECK(index->take_notices().size() == 1);
    CHECK(*index->watermark() == Seq{0});
    fill(*index);
    CHECK(keys_in(*index, "orders").size() == 2);
}

TEST_CASE("key_index: reset empties it") {
    const TempFolder folder;
    for (const std::string& path : {folder.database(), std::string(":memory:")}) {
        const auto index = KeyIndex::make(path, kStore);
        fill(*index);
        REQUIRE(index->reset().ok());
        CHECK(*index->watermark() == Seq{0});
        CHECK(keys_in(*index, "orders").empty());
        CHECK(topics_in(*index).empty());
        fill(*index);
    }
}

TEST_CASE("key_index: somebody's lock is told and does no harm") {
    const TempFolder folder;
    const auto index = KeyIndex::make(folder.database(), kStore);
    fill(*index);
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(folder.database().c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    const Status status = index->apply(delta(7, 8, {{"a", "b"}}));
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::locked);
    CHECK(keys_in(*index, "orders").size() == 2);  // readers are not held up
    REQUIRE(sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
    REQUIRE(sqlite3_close(db) == SQLITE_OK);
    CHECK(index->apply(delta(7, 8, {{"a", "b"}})).ok());
    CHECK(*index->watermark() == Seq{8});
}

TEST_CASE("key_index: a folder that is not there is an error, not an empty index") {
    const auto index = KeyIndex::make("/nonexistent-klog-folder/keys.db", kStore);
    const auto watermark = index->watermark();
    REQUIRE_FALSE(watermark.ok());
    CHECK(watermark.error().code == Code::io);
}

TEST_CASE("key_index: a topic costs at most 100 bytes beyond its name") {
    const TempFolder folder;
    constexpr std::uint64_t kTopics = 50'000;
    std::uint64_t names = 0;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        KeyIndexDelta change;
        for (std::uint64_t i = 0; i < kTopics; ++i) {
            const std::string name = "orders/" + std::to_string(1'000'000 + i * 3) + "/completed";
            names += 2 * name.size();  // as a topic and as a key
            change.topics.emplace_back(
                name, TopicCount{1, Seq{1'000'000'000 + i}, Seq{2'000'000'000 + i}});
            change.keys.add("orders", name);
        }
        change.keys.sort();
        change.upto = Seq{1};
        REQUIRE(index->apply(change).ok());
    }
    CHECK(std::filesystem::file_size(folder.database()) < names + kTopics * 100);
}

TEST_CASE("key_index: a listing is of one moment while changes and merges go on") {
    const TempFolder folder;
    for (const std::string& path : {folder.database(), std::string(":memory:")}) {
        const auto index = KeyIndex::make(path, kStore);
        constexpr std::uint64_t kDeltas = 300;
        std::atomic<bool> done{false};
        std::vector<std::thread> readers;
        std::atomic<std::uint64_t> looks{0};
        for (int i = 0; i < 2; ++i) {
            readers.emplace_back([&] {
                std::uint64_t newest = 0;
                while (!done.load() || newest < kDeltas) {
                    const Seq known = index->known_watermark();
                    const auto listed = index->keys("s", "", "", SIZE_MAX);
                    REQUIRE(listed.ok());
                    // Three keys came with each change, all different.
                    CHECK(listed->rows.size() == 3 * listed->upto.value);
                    CHECK(std::is_sorted(listed->rows.begin(), listed->rows.end()));
                    CHECK(listed->upto >= known);
                    CHECK(listed->upto.value >= newest);
                    newest = listed->upto.value;
                    const auto topics = index->topics("", "", 10);
                    REQUIRE(topics.ok());
                    const std::uint64_t records =
                        topics->rows.empty() ? 0 : topics->rows[0].second.records;
                    CHECK(records == topics->upto.value);
                    ++looks;
                }
            });
        }
        for (std::uint64_t n = 0; n < kDeltas; ++n) {
            std::vector<std::pair<std::string, std::string>> keys;
            for (std::uint64_t i = 0; i < 3; ++i) {
                keys.emplace_back("s", std::to_string((n * 3 + i) * 7919 % 100'003));
            }
            REQUIRE(
                index->apply(delta(n, n + 1, keys, {{"s/t", {1, Seq{n + 1}, Seq{n + 1}}}})).ok());
            REQUIRE(index->merge_step(1 + n % 20).ok());
        }
        done.store(true);
        for (std::thread& reader : readers) reader.join();
        CHECK(looks.load() >= 2);
        CHECK(index->stats().keys == 3 * kDeltas);
        CHECK(index->take_notices().empty());
    }
}

TEST_CASE("key_index: a listing that meets a damaged block has the index made anew") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        fill(*index);
    }
    for (const char* damage :
         {"UPDATE block SET list=replace(list, '2', '3') WHERE first='1'",
          "UPDATE block SET keys=7 WHERE first='1'", "UPDATE block SET first='0' WHERE first='1'",
          "UPDATE block SET crc=crc+1 WHERE first='1'",
          "UPDATE block SET list=x'00' WHERE first='1'"}) {
        CAPTURE(damage);
        run_sql(folder.database(), damage);
        const auto index = KeyIndex::make(folder.database(), kStore);
        CHECK(*index->watermark() == Seq{7});  // nothing that is read at the start is wrong
        const auto listed = index->keys("orders", "", "", 10);
        REQUIRE_FALSE(listed.ok());
        CHECK(listed.error().code == Code::corrupt);
        CHECK(index->known_watermark() == Seq{});
        CHECK(index->take_notices().size() == 1);
        fill(*index);
        CHECK(keys_in(*index, "orders").size() == 2);
    }
}

TEST_CASE("key_index: a merge that meets damage has the index made anew") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        for (std::uint64_t n = 0; n < 8; ++n) {
            REQUIRE(index->apply(delta(n, n + 1, {{"s", std::to_string(n)}})).ok());
        }
    }
    run_sql(folder.database(), "UPDATE block SET list='[\"9\"]' WHERE first='5'");
    const auto index = KeyIndex::make(folder.database(), kStore);
    const auto moved = index->merge_step(100);
    REQUIRE_FALSE(moved.ok());
    CHECK(moved.error().code == Code::corrupt);
    CHECK(*index->watermark() == Seq{});
    CHECK(index->take_notices().size() == 1);
    CHECK(keys_in(*index, "s").empty());
}

TEST_CASE("key_index: an index of an older schema is made anew, and the notice says so") {
    const TempFolder folder;
    run_sql(folder.database(),
            "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE key(space_id INTEGER NOT NULL, key TEXT NOT NULL,"
            " PRIMARY KEY(space_id, key)) WITHOUT ROWID;"
            "INSERT INTO meta VALUES('schema',1),('watermark',9);"
            "PRAGMA application_id=1802268519;PRAGMA user_version=1;");
    const auto index = KeyIndex::make(folder.database(), kStore);
    CHECK(*index->watermark() == Seq{});
    const std::vector<std::string> notices = index->take_notices();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("has schema 1 where this klog knows 2") != std::string::npos);
}

}  // namespace klog
