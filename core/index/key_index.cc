#include "index/key_index.h"

#include <fmt/format.h>

#include <limits>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "index/key_index_db.h"

namespace klog {
namespace {

using key_index_db::Connection;
using key_index_db::Statement;

// man/klog-index.5 documents these tables: a change there and here is a new schema.
constexpr std::uint64_t kSchema = 1;
constexpr const char* kTables =
    "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE space(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE key(space_id INTEGER NOT NULL, key TEXT NOT NULL,"
    " PRIMARY KEY(space_id, key)) WITHOUT ROWID;"
    "CREATE TABLE topic(topic TEXT PRIMARY KEY NOT NULL, records INTEGER NOT NULL,"
    " first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL) WITHOUT ROWID;";
constexpr const char* kMarks = "PRAGMA application_id=1802268519;PRAGMA user_version=1;";  // "klog"
// Reads like kTables in a database of ours.
constexpr const char* kReadSchema =
    "SELECT coalesce(group_concat(sql, ';'), '') || ';' FROM"
    " (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    " ORDER BY rowid)";

// What is prepared once. Members are null until the database is open.
struct Statements {
    Statement begin, commit, rollback;
    Statement get_meta, set_watermark;
    Statement find_space, add_space, add_key, add_topic, find_topic;
    Statement keys_from, keys_after, topics_from, topics_after;
};

std::string hex(const std::array<std::uint8_t, 16>& bytes) {
    std::string out;
    for (const std::uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
    return out;
}

// The first string, byte by byte, behind all that start with prefix; nullopt: there is none. It
// need not be UTF-8: SQLite compares bytes.
std::optional<std::string> prefix_end(std::string_view prefix) {
    std::string end(prefix);
    while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xffU) end.pop_back();
    if (end.empty()) return std::nullopt;
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1U);
    return end;
}

std::uint64_t sql_limit(std::size_t limit) {
    return std::min<std::uint64_t>(limit, std::numeric_limits<std::int64_t>::max());
}

// Leaves the statement ready for its next use, also when a reader stops early.
class Use {
public:
    explicit Use(Statement& statement) : statement_(statement) {}
    ~Use() { statement_.reset(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Statement* operator->() { return &statement_; }

private:
    Statement& statement_;
};

Status run(Statement& statement) {
    KLOG_TRY_ASSIGN(const bool row, statement.step());
    if (row) statement.reset();
    return {};
}

// One open database whose tables are known to be ours.
struct Database {
    std::string path;
    Connection connection;  // before the statements, which must go first
    Statements statements;
    Seq watermark;

    Status create_tables(const std::string& uuid);
    Status check_tables(const std::string& uuid);
    Status prepare();
    Status apply(const KeyIndexDelta& delta);
    Status apply_in_transaction(const KeyIndexDelta& delta);
    Result<std::uint64_t> space_id(std::string_view space, bool create);
};

Status Database::create_tables(const std::string& uuid) {
    sqlite3* db = connection.get();
    const std::string sql = fmt::format(
        "BEGIN IMMEDIATE;{}{}"
        "INSERT INTO meta VALUES('schema',{}),('store_uuid','{}'),('watermark',0);COMMIT;",
        kTables, kMarks, kSchema, uuid);
    return key_index_db::execute(db, sql.c_str(), path);
}

// Errors: corrupt where the tables are not ours.
Status Database::check_tables(const std::string& uuid) {
    KLOG_TRY_ASSIGN(Statement read, Statement::prepare(connection.get(), kReadSchema, path));
    KLOG_TRY_ASSIGN(const bool row, read.step());
    const std::string schema = row ? read.text(0) : std::string();
    read.reset();
    if (schema == ";") {
        KLOG_TRY(create_tables(uuid));
    } else if (schema != kTables) {
        return Error{Code::corrupt, fmt::format("key index {}: its tables are not klog's", path),
                     ""};
    }
    KLOG_TRY(prepare());
    const auto meta = [&](std::string_view name) -> Result<std::string> {
        Use get(statements.get_meta);
        get->bind(1, name);
        KLOG_TRY_ASSIGN(const bool found, get->step());
        return found ? get->text(0) : std::string();
    };
    KLOG_TRY_ASSIGN(const std::string version, meta("schema"));
    if (version != std::to_string(kSchema)) {
        return Error{Code::corrupt,
                     fmt::format("key index {}: has schema '{}' where this klog knows {}", path,
                                 version, kSchema),
                     ""};
    }
    KLOG_TRY_ASSIGN(const std::string owner, meta("store_uuid"));
    if (owner != uuid) {
        return Error{Code::corrupt, fmt::format("key index {}: belongs to another store", path),
                     ""};
    }
    Use get(statements.get_meta);
    get->bind(1, std::string_view("watermark"));
    KLOG_TRY_ASSIGN(const bool found, get->step());
    if (!found) {
        return Error{Code::corrupt, fmt::format("key index {}: has no watermark", path), ""};
    }
    watermark = Seq{get->integer(0)};
    return {};
}

Status Database::prepare() {
    const std::pair<Statement*, const char*> all[] = {
        {&statements.begin, "BEGIN IMMEDIATE"},
        {&statements.commit, "COMMIT"},
        {&statements.rollback, "ROLLBACK"},
        {&statements.get_meta, "SELECT value FROM meta WHERE name=?1"},
        {&statements.set_watermark, "UPDATE meta SET value=?1 WHERE name='watermark'"},
        {&statements.find_space, "SELECT id FROM space WHERE name=?1"},
        {&statements.add_space, "INSERT INTO space(name) VALUES(?1)"},
        {&statements.add_key, "INSERT OR IGNORE INTO key(space_id, key) VALUES(?1, ?2)"},
        {&statements.add_topic,
         "INSERT INTO topic(topic, records, first_seq, last_seq) VALUES(?1, ?2, ?3, ?4)"
         " ON CONFLICT(topic) DO UPDATE SET records=records+excluded.records,"
         " first_seq=min(first_seq, excluded.first_seq),"
         " last_seq=max(last_seq, excluded.last_seq)"},
        {&statements.find_topic, "SELECT records, first_seq, last_seq FROM topic WHERE topic=?1"},
        {&statements.keys_from,
         "SELECT key FROM key WHERE space_id=?1 AND key>=?2 AND key<?3 ORDER BY key LIMIT ?4"},
        {&statements.keys_after,
         "SELECT key FROM key WHERE space_id=?1 AND key>?2 AND key<?3 ORDER BY key LIMIT ?4"},
        {&statements.topics_from,
         "SELECT topic, records, first_seq, last_seq FROM topic"
         " WHERE topic>=?1 AND topic<?2 ORDER BY topic LIMIT ?3"},
        {&statements.topics_after,
         "SELECT topic, records, first_seq, last_seq FROM topic"
         " WHERE topic>?1 AND topic<?2 ORDER BY topic LIMIT ?3"},
    };
    for (const auto& [statement, sql] : all) {
        KLOG_TRY_ASSIGN(*statement, Statement::prepare(connection.get(), sql, path));
    }
    return {};
}

// 0: there is no such space.
Result<std::uint64_t> Database::space_id(std::string_view space, bool create) {
    Use find(statements.find_space);
    find->bind(1, space);
    KLOG_TRY_ASSIGN(const bool found, find->step());
    if (found) return find->integer(0);
    if (!create) return std::uint64_t{0};
    statements.add_space.bind(1, space);
    KLOG_TRY(run(statements.add_space));
    return static_cast<std::uint64_t>(sqlite3_last_insert_rowid(connection.get()));
}

Status Database::apply_in_transaction(const KeyIndexDelta& delta) {
    std::string_view space;
    std::uint64_t id = 0;
    for (const auto& [key_space, key] : delta.keys) {
        if (id == 0 || key_space != space) {
            KLOG_TRY_ASSIGN(id, space_id(key_space, true));
            space = key_space;
        }
        statements.add_key.bind(1, id);
        statements.add_key.bind(2, key);
        KLOG_TRY(run(statements.add_key));
    }
    for (const auto& [topic, count] : delta.topics) {
        statements.add_topic.bind(1, topic);
        statements.add_topic.bind(2, count.records);
        statements.add_topic.bind(3, count.first_seq.value);
        statements.add_topic.bind(4, count.last_seq.value);
        KLOG_TRY(run(statements.add_topic));
    }
    statements.set_watermark.bind(1, delta.upto.value);
    return run(statements.set_watermark);
}

Status Database::apply(const KeyIndexDelta& delta) {
    KLOG_TRY(run(statements.begin));
    Status status = apply_in_transaction(delta);
    if (status.ok()) status = run(statements.commit);
    if (!status.ok()) {
        // SQLite rolls back by itself after some errors, a full disk among them.
        if (sqlite3_get_autocommit(connection.get()) == 0) KLOG_TRY(run(statements.rollback));
        return status;
    }
    watermark = delta.upto;
    return {};
}

class KeyIndexImpl final : public KeyIndex {
public:
    KeyIndexImpl(std::string path, const std::array<std::uint8_t, 16>& store_uuid)
        : path_(std::move(path)), uuid_(hex(store_uuid)) {}

    [[nodiscard]] Result<Seq> watermark() override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        return database_->watermark;
    }

    Status apply(const KeyIndexDelta& delta) override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        if (delta.after != database_->watermark) {
            return Error{Code::bug,
                         fmt::format("key index {}: stands at {}, where a change begins behind {}",
                                     path_, database_->watermark.value, delta.after.value),
                         ""};
        }
        Status status = database_->apply(delta);
        if (!status.ok()) return failed(std::move(status).error());
        return {};
    }

    [[nodiscard]] Result<std::vector<std::string>> keys(std::string_view space,
                                                        std::string_view prefix,
                                                        std::string_view after,
                                                        std::size_t limit) override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        auto found = find_keys(space, prefix, after, limit);
        if (!found.ok()) return failed(std::move(found).error());
        return found;
    }

    [[nodiscard]] Result<std::vector<std::pair<std::string, TopicCount>>> topics(
        std::string_view prefix, std::string_view after, std::size_t limit) override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        auto found = find_topics(prefix, after, limit);
        if (!found.ok()) return failed(std::move(found).error());
        return found;
    }

    [[nodiscard]] Result<TopicCount> topic(std::string_view topic) override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        auto found = find_topic(topic);
        if (!found.ok()) return failed(std::move(found).error());
        return found;
    }

    Status reset() override {
        const MutexLock lock(mutex_);
        database_.reset();
        KLOG_TRY(key_index_db::remove_files(path_));
        return ensure_open();
    }

    [[nodiscard]] std::vector<std::string> take_notices() override {
        const MutexLock lock(mutex_);
        return std::exchange(notices_, {});
    }

private:
    Status ensure_open() KLOG_REQUIRES(mutex_);
    Status open_once() KLOG_REQUIRES(mutex_);
    // Deletes a database that turned out to be broken; the error goes on to the caller, for whom
    // the watermark is 0 from now on. After an error of the disk it is opened anew, so that the
    // watermark is what the disk says.
    Error failed(Error error) KLOG_REQUIRES(mutex_);
    Result<std::vector<std::string>> find_keys(std::string_view space, std::string_view prefix,
                                               std::string_view after, std::size_t limit)
        KLOG_REQUIRES(mutex_);
    Result<std::vector<std::pair<std::string, TopicCount>>> find_topics(std::string_view prefix,
                                                                        std::string_view after,
                                                                        std::size_t limit)
        KLOG_REQUIRES(mutex_);
    Result<TopicCount> find_topic(std::string_view topic) KLOG_REQUIRES(mutex_);

    const std::string path_;
    const std::string uuid_;
    Mutex mutex_;
    std::unique_ptr<Database> database_ KLOG_GUARDED_BY(mutex_);  // null: not open
    std::vector<std::string> notices_ KLOG_GUARDED_BY(mutex_);
};

Status KeyIndexImpl::open_once() {
    auto database = std::make_unique<Database>();
    database->path = path_;
    KLOG_TRY_ASSIGN(database->connection, key_index_db::open(path_));
    KLOG_TRY(database->check_tables(uuid_));
    database_ = std::move(database);
    return {};
}

Status KeyIndexImpl::ensure_open() {
    if (database_ != nullptr) return {};
    Status status = open_once();
    if (status.ok() || status.error().code != Code::corrupt) return status;
    notices_.push_back(fmt::format("{}; it is made anew from the log", status.error().message));
    KLOG_TRY(key_index_db::remove_files(path_));
    return open_once();
}

Error KeyIndexImpl::failed(Error error) {
    // What is in a database in memory would go with the connection.
    if (error.code == Code::io && path_ != key_index_db::kInMemory) database_.reset();
    if (error.code != Code::corrupt) return error;
    notices_.push_back(fmt::format("{}; it is made anew from the log", error.message));
    database_.reset();
    // Where the file cannot be deleted it is found broken again at the next use.
    if (Status removed = key_index_db::remove_files(path_); !removed.ok()) {
        notices_.push_back(removed.error().message);
    }
    return error;
}

// Binds prefix, after and limit to a range scan, and picks the statement for it.
Statement& bind_range(Statement& from, Statement& after_one, int at, std::string_view prefix,
                      std::string_view after, const std::optional<std::string>& end,
                      std::size_t limit) {
    const bool is_after = !after.empty() && after >= prefix;
    Statement& statement = is_after ? after_one : from;
    statement.bind(at, is_after ? after : prefix);
    if (end) {
        statement.bind(at + 1, *end);
    } else {
        statement.bind_end(at + 1);
    }
    statement.bind(at + 2, sql_limit(limit));
    return statement;
}

Result<std::vector<std::string>> KeyIndexImpl::find_keys(std::string_view space,
                                                         std::string_view prefix,
                                                         std::string_view after,
                                                         std::size_t limit) {
    std::vector<std::string> out;
    KLOG_TRY_ASSIGN(const std::uint64_t id, database_->space_id(space, false));
    if (id == 0) return out;
    Statements& statements = database_->statements;
    const std::optional<std::string> end = prefix_end(prefix);
    Use scan(bind_range(statements.keys_from, statements.keys_after, 2, prefix, after, end, limit));
    scan->bind(1, id);
    for (;;) {
        KLOG_TRY_ASSIGN(const bool row, scan->step());
        if (!row) return out;
        out.push_back(scan->text(0));
    }
}

Result<std::vector<std::pair<std::string, TopicCount>>> KeyIndexImpl::find_topics(
    std::string_view prefix, std::string_view after, std::size_t limit) {
    std::vector<std::pair<std::string, TopicCount>> out;
    Statements& statements = database_->statements;
    const std::optional<std::string> end = prefix_end(prefix);
    Use scan(
        bind_range(statements.topics_from, statements.topics_after, 1, prefix, after, end, limit));
    for (;;) {
        KLOG_TRY_ASSIGN(const bool row, scan->step());
        if (!row) return out;
        out.emplace_back(scan->text(0), TopicCount{scan->integer(1), Seq{scan->integer(2)},
                                                   Seq{scan->integer(3)}});
    }
}

Result<TopicCount> KeyIndexImpl::find_topic(std::string_view topic) {
    Use find(database_->statements.find_topic);
    find->bind(1, topic);
    KLOG_TRY_ASSIGN(const bool row, find->step());
    if (!row) return TopicCount{};
    return TopicCount{find->integer(0), Seq{find->integer(1)}, Seq{find->integer(2)}};
}

}  // namespace

std::unique_ptr<KeyIndex> KeyIndex::make(std::string path,
                                         std::array<std::uint8_t, 16> store_uuid) {
    return std::make_unique<KeyIndexImpl>(std::move(path), store_uuid);
}

}  // namespace klog
