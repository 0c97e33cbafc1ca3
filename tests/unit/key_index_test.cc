#include "index/key_index.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>

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
                    std::vector<std::pair<std::string, std::string>> keys,
                    std::vector<std::pair<std::string, TopicCount>> topics = {}) {
    return {std::move(keys), std::move(topics), Seq{after}, Seq{upto}};
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
    CHECK(*index->keys("orders", "", "", 100) == std::vector<std::string>{"1", "2", "3"});
    CHECK(*index->keys("users", "", "", 100) == std::vector<std::string>{"ann"});
    CHECK(index->keys("none", "", "", 100)->empty());
    CHECK(*index->topic("orders/1") == TopicCount{5, Seq{1}, Seq{9}});
    CHECK(index->topic("orders")->records == 0);
    CHECK(index->topics("", "", 100)->size() == 2);
    CHECK(index->take_notices().empty());
}

TEST_CASE("key_index: a change that does not begin at the watermark is refused") {
    const auto index = KeyIndex::make(":memory:", kStore);
    fill(*index);
    const Status status = index->apply(delta(6, 9, {{"a", "b"}}));
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::bug);
    CHECK(index->keys("a", "", "", 10)->empty());
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
    for (const std::string& key : keys) change.keys.emplace_back("s", key);
    change.keys.emplace_back("t", "other");
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
        CHECK(*index->keys("s", prefix, "", SIZE_MAX) == wanted);
        std::vector<std::string> paged;
        std::vector<std::string> topics;
        for (std::string after;;) {
            const auto page = index->keys("s", prefix, after, 7);
            REQUIRE(page.ok());
            REQUIRE(page->size() <= 7);
            if (page->empty()) break;
            paged.insert(paged.end(), page->begin(), page->end());
            after = page->back();
        }
        CHECK(paged == wanted);
        for (std::string after;;) {
            const auto page = index->topics(prefix, after, 11);
            REQUIRE(page.ok());
            if (page->empty()) break;
            for (const auto& [topic, count] : *page) topics.push_back(topic);
            after = topics.back();
        }
        CHECK(topics == wanted);
    }
    // A start before the prefix changes nothing; one behind it gives nothing.
    CHECK(index->keys("s", "b", "a", 1000)->size() == index->keys("s", "b", "", 1000)->size());
    CHECK(index->keys("s", "a", "b", 1000)->empty());
    CHECK(index->keys("s", "", "", 0)->empty());
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
        CHECK(index->keys("orders", "", "", 10)->empty());
        fill(*index);
        CHECK(index->keys("orders", "", "", 10)->size() == 2);
        CHECK(index->take_notices().empty());
    };
    damaged([&] { std::ofstream(path) << std::string(20'000, 'x'); }, "not a database");
    damaged([&] { std::ofstream(path) << "short"; }, "not a database");
    damaged([&] { run_sql(path, "UPDATE meta SET value=99 WHERE name='schema'"); }, "schema '99'");
    damaged([&] { run_sql(path, "UPDATE meta SET value='00' WHERE name='store_uuid'"); },
            "another store");
    damaged([&] { run_sql(path, "DELETE FROM meta WHERE name='watermark'"); }, "no watermark");
    damaged([&] { run_sql(path, "DROP TABLE key"); }, "tables");
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
    CHECK(index->keys("orders", "", "", 10)->empty());
    CHECK(index->topics("", "", 10)->empty());
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
    CHECK(index->keys("orders", "", "", 10)->size() == 2);
    CHECK(index->take_notices().empty());
}

TEST_CASE("key_index: damage that is met in use is told, and the watermark is 0 from then on") {
    const TempFolder folder;
    {
        const auto index = KeyIndex::make(folder.database(), kStore);
        KeyIndexDelta change = delta(0, 5, {});
        for (int i = 100'000; i < 120'000; ++i) change.keys.emplace_back("s", std::to_string(i));
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
    CHECK(index->keys("orders", "", "", 10)->size() == 2);
}

TEST_CASE("key_index: reset empties it") {
    const TempFolder folder;
    for (const std::string& path : {folder.database(), std::string(":memory:")}) {
        const auto index = KeyIndex::make(path, kStore);
        fill(*index);
        REQUIRE(index->reset().ok());
        CHECK(*index->watermark() == Seq{0});
        CHECK(index->keys("orders", "", "", 10)->empty());
        CHECK(index->topics("", "", 10)->empty());
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
    CHECK(index->keys("orders", "", "", 10)->size() == 2);  // readers are not held up
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
            change.keys.emplace_back("orders", name);
        }
        change.upto = Seq{1};
        REQUIRE(index->apply(change).ok());
    }
    CHECK(std::filesystem::file_size(folder.database()) < names + kTopics * 100);
}

}  // namespace klog
