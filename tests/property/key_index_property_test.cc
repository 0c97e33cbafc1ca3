// The key index against a set: whatever is applied, merged, listed, killed and opened again, in
// whatever order, it lists what was applied up to its watermark, in order, each key once.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "index/key_index.h"
#include "support/temp_folder.h"

namespace {

namespace fs = std::filesystem;
using klog::KeyIndex;
using klog::KeyIndexDelta;
using klog::Seq;
using klog::TopicCount;

constexpr std::array<std::uint8_t, 16> kStore{7};
const std::vector<std::string> kSpaces = {"a", "orders", "Ünï\"", "z"};
using Keys = std::map<std::string, std::set<std::string>>;  // by space

class Run {
public:
    Run(std::uint64_t seed, fs::path folder) : random_(seed), folder_(std::move(folder)) {
        fs::create_directories(folder_);
        open();
    }

    void step() {
        switch (below(8)) {
            case 0:
            case 1:
            case 2:
                apply();
                break;
            case 3:
            case 4:
                merge();
                break;
            case 5:
                list();
                break;
            case 6:
                kill(false);
                break;
            default:
                if (below(4) == 0) kill(true);
                break;
        }
    }
    void check_whole() {
        for (const std::string& space : kSpaces) check_space(space);
        for (std::uint64_t moved = 1; moved > 0;) moved = merge();
        for (const std::string& space : kSpaces) check_space(space);
        check_with_sqlite();
        CHECK(index_->take_notices().empty());
    }
    [[nodiscard]] std::uint64_t operations() const { return operations_; }
    [[nodiscard]] std::uint64_t merges() const { return merges_; }

private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    [[nodiscard]] std::string path() const { return (folder_ / "keys.db").string(); }
    void open() { index_ = KeyIndex::make(path(), kStore); }

    std::string random_key() {
        std::string key = std::to_string(random_() % 200'000);
        switch (below(12)) {
            case 0:
                return "\"" + key + "\\";
            case 1:
                return key + "é\xf0\x9f\x98\x80";
            case 2:
                return below(20) == 0 ? key + std::string(below(1020), '"') : "%" + key;
            case 3:
                return below(20) == 0 ? std::string(1 + below(1024), 'k') + key.substr(0, 1) : key;
            default:
                return key;
        }
    }

    void apply() {
        KeyIndexDelta delta;
        const std::uint64_t most = below(20) == 0 ? 40'000 : below(5) == 0 ? 3'000 : 30;
        Keys& now = history_[upto_ + 1];
        for (std::uint64_t left = below(most); left > 0; --left) {
            const std::string& space = kSpaces[std::min<std::uint64_t>(below(8), 3)];
            std::string key = random_key();
            delta.keys.add(space, key);
            now[space].insert(std::move(key));
            ++operations_;
        }
        delta.keys.sort();
        delta.topics.emplace_back("t/" + std::to_string(below(3)), TopicCount{1, Seq{1}, Seq{1}});
        delta.after = Seq{upto_};
        delta.upto = Seq{upto_ + 1};
        const klog::Status applied = index_->apply(delta);
        REQUIRE_MESSAGE(applied.ok(), (applied.ok() ? "" : applied.error().message));
        add_to_model(now);
        ++upto_;
    }

    void add_to_model(const Keys& keys) {
        for (const auto& [space, names] : keys) model_[space].insert(names.begin(), names.end());
    }

    std::uint64_t merge() {
        const auto moved = index_->merge_step(1 + below(below(2) == 0 ? 10 : 20'000));
        REQUIRE_MESSAGE(moved.ok(), (moved.ok() ? "" : moved.error().message));
        if (*moved > 0) ++merges_;
        return *moved;
    }

    void list() {
        const std::string& space = kSpaces[below(kSpaces.size())];
        const std::string key = random_key();
        const std::string prefix = below(2) == 0 ? "" : key.substr(0, below(4));
        const std::string after = below(3) == 0 ? "" : random_key();
        const std::size_t limit = below(2'000);
        std::vector<std::string> wanted;
        const std::set<std::string>& all = model_[space];
        for (auto at = all.lower_bound(std::max(prefix, after));
             at != all.end() && wanted.size() < limit && at->starts_with(prefix); ++at) {
            if (after.empty() || *at > after) wanted.push_back(*at);
        }
        const auto listed = index_->keys(space, prefix, after, limit);
        REQUIRE_MESSAGE(listed.ok(), (listed.ok() ? "" : listed.error().message));
        CHECK(listed->upto == Seq{upto_});
        REQUIRE(listed->rows == wanted);
        operations_ += wanted.size();
    }

    void check_space(const std::string& space) {
        std::vector<std::string> all;
        for (std::string after;;) {
            const auto page = index_->keys(space, "", after, 10'000);
            REQUIRE(page.ok());
            all.insert(all.end(), page->rows.begin(), page->rows.end());
            if (page->rows.size() < 10'000) break;
            after = all.back();
        }
        const std::set<std::string>& wanted = model_[space];
        REQUIRE(all.size() == wanted.size());
        REQUIRE(std::equal(all.begin(), all.end(), wanted.begin()));
        operations_ += all.size();
    }

    // Of the journal: what a checkpoint took over was synced before. How many frames that were
    // stands in the shared memory (SQLite's file format, "The WAL-Index File Format").
    [[nodiscard]] std::uint64_t synced_bytes() const {
        std::ifstream shared(folder_ / "keys.db-shm", std::ios::binary);
        std::uint32_t frames = 0;
        shared.seekg(96);
        shared.read(static_cast<char*>(static_cast<void*>(&frames)), sizeof frames);
        return 32 + std::uint64_t{frames} * (24 + 4096);
    }

    // What a kill leaves is what the files hold; a power failure may cut the journal short, and
    // then what is left is what was there at some earlier moment.
    void kill(bool power_failure) {
        const fs::path next = folder_.parent_path() / ("life-" + std::to_string(++lives_));
        fs::create_directories(next);
        for (const char* name : {"keys.db", "keys.db-wal"}) {
            if (fs::exists(folder_ / name)) fs::copy(folder_ / name, next / name);
        }
        const fs::path journal = next / "keys.db-wal";
        if (power_failure && fs::exists(journal)) {
            const std::uint64_t synced = synced_bytes();
            const std::uint64_t size = fs::file_size(journal);
            if (size > synced) fs::resize_file(journal, synced + below(size - synced + 1));
        }
        index_.reset();
        fs::remove_all(folder_);
        folder_ = next;
        open();
        const auto watermark = index_->watermark();
        REQUIRE(watermark.ok());
        REQUIRE(watermark->value <= upto_);
        if (!power_failure) REQUIRE(watermark->value == upto_);
        CHECK(index_->take_notices().empty());
        if (watermark->value == upto_) return;
        upto_ = watermark->value;
        history_.erase(history_.upper_bound(upto_), history_.end());
        model_.clear();
        for (const auto& [upto, keys] : history_) add_to_model(keys);
    }

    // As man/klog-index.5 shows it.
    void check_with_sqlite() {
        index_.reset();
        sqlite3* db = nullptr;
        REQUIRE(sqlite3_open(path().c_str(), &db) == SQLITE_OK);
        for (const std::string& space : kSpaces) {
            std::set<std::string> found;
            sqlite3_stmt* statement = nullptr;
            REQUIRE(sqlite3_prepare_v2(db, "SELECT key FROM keys WHERE space=?1", -1, &statement,
                                       nullptr) == SQLITE_OK);
            sqlite3_bind_text(statement, 1, space.c_str(), -1, SQLITE_TRANSIENT);
            while (sqlite3_step(statement) == SQLITE_ROW) {
                const auto* text = sqlite3_column_text(statement, 0);
                const auto bytes = static_cast<std::size_t>(sqlite3_column_bytes(statement, 0));
                found.emplace(static_cast<const char*>(static_cast<const void*>(text)), bytes);
            }
            REQUIRE(sqlite3_finalize(statement) == SQLITE_OK);
            REQUIRE(found == model_[space]);
        }
        REQUIRE(sqlite3_close(db) == SQLITE_OK);
        open();
    }

    std::mt19937_64 random_;
    fs::path folder_;
    std::unique_ptr<KeyIndex> index_;
    Keys model_;
    std::map<std::uint64_t, Keys> history_;  // what each change brought, by its seq
    std::uint64_t upto_ = 0;
    std::uint64_t lives_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t merges_ = 0;
};

}  // namespace

TEST_CASE("key_index: a million operations with kills and merges, against a set") {
    const klog::test::TempFolder folder;
    std::uint64_t operations = 0;
    std::uint64_t merges = 0;
    for (std::uint64_t seed = 1; operations < 1'000'000; ++seed) {
        CAPTURE(seed);
        Run run(seed, folder.path() / std::to_string(seed) / "life-0");
        for (int i = 0; i < 400; ++i) run.step();
        run.check_whole();
        operations += run.operations();
        merges += run.merges();
        fs::remove_all(folder.path() / std::to_string(seed));
    }
    CHECK(merges > 100);
}

TEST_CASE("key_index: runs stay few, and after merging the file holds little beyond the keys") {
    const klog::test::TempFolder folder;
    const std::string path = (folder.path() / "keys.db").string();
    std::uint64_t text = 0;
    constexpr std::uint64_t kDeltas = 120;
    constexpr std::uint64_t kKeys = 5'000;
    {
        const auto index = KeyIndex::make(path, kStore);
        std::mt19937_64 random(5);
        for (std::uint64_t n = 0; n < kDeltas; ++n) {
            KeyIndexDelta delta;
            for (std::uint64_t i = 0; i < kKeys; ++i) {
                const std::string key = "order-" + std::to_string(random() % 1'000'000'000'000);
                text += key.size();
                delta.keys.add("orders", key);
            }
            delta.keys.sort();
            delta.after = Seq{n};
            delta.upto = Seq{n + 1};
            REQUIRE(index->apply(delta).ok());
            for (int step = 0; step < 4; ++step) REQUIRE(index->merge_step(10'000).ok());
            CHECK(index->stats().runs <= 40);
        }
        CHECK(index->stats().keys == kDeltas * kKeys);
        CHECK(index->stats().merges >= kDeltas / 8);
    }
    CHECK(fs::file_size(path) <= text + kDeltas * kKeys * 10);
}
