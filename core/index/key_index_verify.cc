#include <fmt/format.h>
#include <sqlite3.h>

#include <charconv>
#include <map>
#include <utility>

#include "index/index_verify.h"
#include "index/key_index_block.h"
#include "index/key_index_db.h"
#include "index/key_index_tables.h"

namespace klog {
namespace {

using key_index_db::Connection;
using key_index_db::Statement;

constexpr int kBusyMs = 2000;
constexpr std::uint64_t kApplicationId = 1802268519;  // "klog", as key_index.cc writes it

// As SQLite's URIs want it: all but letters, digits and a few signs as %XX.
std::string uri_of(const std::string& path, std::string_view query) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~";
    std::string uri = "file:";
    for (const char c : path) {
        if (kPlain.find(c) != std::string_view::npos) {
            uri += c;
        } else {
            uri += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
    }
    return uri.append("?").append(query);
}

// How to open the database without writing anything.
enum class Way {
    alone,   // no journal: nobody has it open, and its file is all there is
    beside,  // with its journal; the shared memory beside it is read only
    joined,  // with its journal, whose shared memory has to be made
};

std::string_view query_of(Way way) {
    switch (way) {
        case Way::alone:
            return "immutable=1";
        case Way::beside:
            return "mode=ro&readonly_shm=1";
        case Way::joined:
            break;
    }
    return "mode=ro";
}

Result<Connection> open_reading(const std::string& path, Way way) {
    sqlite3* raw = nullptr;
    const int rc = sqlite3_open_v2(
        uri_of(path, query_of(way)).c_str(), &raw,
        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
        nullptr);
    Connection db(raw);
    if (rc != SQLITE_OK) return key_index_db::error_of(raw, rc, path);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    if (const int busy = sqlite3_busy_timeout(raw, kBusyMs); busy != SQLITE_OK) {
        return key_index_db::error_of(raw, busy, path);
    }
    KLOG_TRY(key_index_db::execute(
        raw, "PRAGMA cell_size_check=ON;PRAGMA mmap_size=0;PRAGMA cache_size=-1024;", path));
    return db;
}

Result<std::string> one_text(sqlite3* db, const char* sql, const std::string& path) {
    KLOG_TRY_ASSIGN(Statement statement, Statement::prepare(db, sql, path));
    KLOG_TRY_ASSIGN(const bool row, statement.step());
    return row ? statement.text(0) : std::string();
}

std::uint64_t number_in(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    return wrong == std::errc() && end != text.data() ? number : 0;
}

// quick_check names pages; people and dd(1) count bytes.
std::string with_offset(std::string text, std::uint64_t page_bytes) {
    constexpr std::string_view kPage = "age ";  // "page 5", "Page 5"
    const std::size_t at = text.find(kPage);
    const std::uint64_t page =
        at == std::string::npos ? 0 : number_in(std::string_view(text).substr(at + kPage.size()));
    for (char& c : text) {
        if (c == '\n') c = ' ';
    }
    if (page != 0) text += fmt::format(" (offset {})", (page - 1) * page_bytes);
    return text;
}

Error corrupt(const std::string& path, const std::string& what) {
    return Error{Code::corrupt, fmt::format("key index {}: {}", path, what), ""};
}

// The blocks of all runs, in their order.
class BlockCheck {
public:
    BlockCheck(sqlite3* db, const std::string& path, VisitKey visit)
        : db_(db), path_(path), visit_(std::move(visit)) {}

    Status run() {
        KLOG_TRY(read_runs());
        constexpr const char* kBlocks =
            "SELECT block.id, run, space_id, first, last, keys, crc, list, name FROM block"
            " LEFT JOIN space ON space.id=space_id ORDER BY run, space_id, last";
        KLOG_TRY_ASSIGN(Statement block, Statement::prepare(db_, kBlocks, path_));
        for (;;) {
            KLOG_TRY_ASSIGN(const bool row, block.step());
            if (!row) break;
            KLOG_TRY(check(block));
        }
        for (const auto& [run, keys] : missing_) {
            if (keys != 0) {
                return corrupt(path_, fmt::format("run {} lacks {} keys", run, keys));
            }
        }
        return {};
    }

private:
    Status read_runs() {
        KLOG_TRY_ASSIGN(Statement run, Statement::prepare(db_, "SELECT id, keys FROM run", path_));
        for (;;) {
            KLOG_TRY_ASSIGN(const bool row, run.step());
            if (!row) return {};
            missing_[run.integer(0)] = run.integer(1);
        }
    }

    Status check(Statement& statement) {
        const std::string id = std::to_string(statement.integer(0));
        const std::pair place{statement.integer(1), statement.integer(2)};
        KeyBlock block{statement.text(3), statement.text(4), statement.integer(5),
                       statement.integer(6), statement.text(7)};
        const std::string space = statement.text(8);
        const std::uint64_t count = block.count;
        const std::string first = block.first;
        const std::string last = block.last;
        if (!keys_.decode(std::move(block))) return corrupt(path_, "block " + id + " is damaged");
        const auto run = missing_.find(place.first);
        if (run == missing_.end() || space.empty()) {
            return corrupt(path_, "block " + id + " belongs to no run or no space");
        }
        if (place == place_ && first <= last_) {
            return corrupt(path_, "block " + id + " is out of order");
        }
        if (count > run->second) {
            return corrupt(path_, fmt::format("run {} has too many keys", place.first));
        }
        run->second -= count;
        place_ = place;
        last_ = last;
        if (!visit_) return {};
        for (std::size_t i = 0; i < keys_.size(); ++i) visit_(space, keys_[i]);
        return {};
    }

    sqlite3* db_;
    const std::string& path_;
    const VisitKey visit_;
    std::map<std::uint64_t, std::uint64_t> missing_;  // keys of each run that were not seen yet
    std::pair<std::uint64_t, std::uint64_t> place_;   // run and space of the block before
    std::string last_;
    KeyBlockKeys keys_;
};

Status check_marks(sqlite3* db, const std::string& path) {
    KLOG_TRY_ASSIGN(const std::string application, one_text(db, "PRAGMA application_id", path));
    if (number_in(application) != kApplicationId) {
        return corrupt(path, "it is no database of klog's");
    }
    KLOG_TRY_ASSIGN(const std::string schema, one_text(db, "PRAGMA user_version", path));
    if (number_in(schema) == key_index_db::kSchema) return {};
    return Error{Code::format_unknown,
                 fmt::format("key index {}: has schema {} where this klog knows {}", path, schema,
                             key_index_db::kSchema),
                 ""};
}

Result<KeyIndexClaim> check(const std::string& path, Way way, const StartKeys& start) {
    KLOG_TRY_ASSIGN(const Connection db, open_reading(path, way));
    // One moment, also beside a daemon. It ends with the connection.
    KLOG_TRY(key_index_db::execute(db.get(), "BEGIN", path));
    KLOG_TRY_ASSIGN(const std::string found, one_text(db.get(), "PRAGMA quick_check(1)", path));
    if (found != "ok") {
        KLOG_TRY_ASSIGN(const std::string page, one_text(db.get(), "PRAGMA page_size", path));
        return corrupt(path, with_offset(found, number_in(page)));
    }
    KLOG_TRY_ASSIGN(const std::string tables,
                    one_text(db.get(), "SELECT count(*) FROM sqlite_schema", path));
    if (number_in(tables) == 0) return KeyIndexClaim{};  // a daemon has just made it
    KLOG_TRY(check_marks(db.get(), path));
    KLOG_TRY(BlockCheck(db.get(), path, start ? start() : VisitKey{}).run());
    KeyIndexClaim claim;
    KLOG_TRY_ASSIGN(claim.store_uuid,
                    one_text(db.get(), "SELECT value FROM meta WHERE name='store_uuid'", path));
    KLOG_TRY_ASSIGN(const std::string watermark,
                    one_text(db.get(), "SELECT value FROM meta WHERE name='watermark'", path));
    claim.watermark = Seq{number_in(watermark)};
    return claim;
}

}  // namespace

Result<KeyIndexClaim> verify_key_index(Env& env, const std::string& path, const StartKeys& start) {
    KLOG_TRY_ASSIGN(const bool there, env.exists(path));
    if (!there) return Error{Code::not_found, path + " is gone", ""};
    KLOG_TRY_ASSIGN(const bool journal, env.exists(path + "-wal"));
    if (!journal) {
        auto alone = check(path, Way::alone, start);
        if (alone.ok() || alone.error().code != Code::corrupt) return alone;
        // A daemon that opened it meanwhile may have changed pages under this check.
        KLOG_TRY_ASSIGN(const bool opened, env.exists(path + "-wal"));
        if (!opened) return alone;
    }
    KLOG_TRY_ASSIGN(const bool shared, env.exists(path + "-shm"));
    if (shared) {
        auto beside = check(path, Way::beside, start);
        if (beside.ok() || beside.error().code != Code::io) return beside;
        // A crash in the middle of a change left shared memory that has to be made anew.
    }
    return check(path, Way::joined, start);
}

}  // namespace klog
