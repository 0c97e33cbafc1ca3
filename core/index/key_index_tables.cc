#include "index/key_index_tables.h"

#include <fmt/format.h>

namespace klog::key_index_db {
namespace {

// man/klog-index.5 documents these tables: a change there and here is a new schema.
constexpr const char* kTables =
    "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE space(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE run(id INTEGER PRIMARY KEY, level INTEGER NOT NULL, keys INTEGER NOT NULL,"
    " merged_into INTEGER NOT NULL);"
    "CREATE TABLE block(id INTEGER PRIMARY KEY, run INTEGER NOT NULL, space_id INTEGER NOT NULL,"
    " first TEXT NOT NULL, last TEXT NOT NULL, keys INTEGER NOT NULL, crc INTEGER NOT NULL,"
    " list TEXT NOT NULL);"
    "CREATE INDEX block_place ON block(run, space_id, last);"
    "CREATE TABLE topic(topic TEXT PRIMARY KEY NOT NULL, records INTEGER NOT NULL,"
    " first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE VIEW keys AS SELECT space.name AS space, value AS key, first, last FROM space"
    " CROSS JOIN run CROSS JOIN block ON block.run=run.id AND space_id=space.id"
    " CROSS JOIN json_each(list);";
constexpr const char* kMarks = "PRAGMA application_id=1802268519;PRAGMA user_version=2;";  // "klog"
// Reads like kTables in a database of ours.
constexpr const char* kReadSchema =
    "SELECT coalesce(group_concat(sql, ';'), '') || ';' FROM"
    " (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    " ORDER BY rowid)";
constexpr const char* kReadVersion =
    "SELECT user_version FROM pragma_user_version, pragma_application_id"
    " WHERE application_id=1802268519";

}  // namespace

Status run(Statement& statement) {
    KLOG_TRY_ASSIGN(const bool row, statement.step());
    if (row) statement.reset();
    return {};
}

Status Database::open_writer(const std::string& at, const std::string& uuid) {
    path = at;
    KLOG_TRY_ASSIGN(connection, open(path));
    KLOG_TRY(set_up_tables(uuid));
    KLOG_TRY(prepare());
    KLOG_TRY(check_meta(uuid));
    KLOG_TRY_ASSIGN(watermark, read_watermark());
    KLOG_TRY_ASSIGN(runs, read_runs());
    return {};
}

Status Database::open_reader(const std::string& at) {
    path = at;
    KLOG_TRY_ASSIGN(connection, open(path));
    KLOG_TRY(execute(connection.get(), "PRAGMA query_only=ON", path));
    return prepare();
}

Status Database::create_tables(const std::string& uuid) {
    const std::string sql = fmt::format(
        "BEGIN IMMEDIATE;{}{}"
        "INSERT INTO meta VALUES('schema',{}),('store_uuid','{}'),('watermark',0);COMMIT;",
        kTables, kMarks, kSchema, uuid);
    return execute(connection.get(), sql.c_str(), path);
}

Status Database::set_up_tables(const std::string& uuid) {
    KLOG_TRY_ASSIGN(Statement read, Statement::prepare(connection.get(), kReadSchema, path));
    KLOG_TRY_ASSIGN(const bool row, read.step());
    const std::string schema = row ? read.text(0) : std::string();
    read.reset();
    if (schema == ";") return create_tables(uuid);
    if (schema == kTables) return {};
    KLOG_TRY_ASSIGN(Statement version, Statement::prepare(connection.get(), kReadVersion, path));
    KLOG_TRY_ASSIGN(const bool ours, version.step());
    const std::uint64_t number = ours ? version.integer(0) : kSchema;
    if (number == kSchema) {
        return Error{Code::corrupt, fmt::format("key index {}: its tables are not klog's", path),
                     ""};
    }
    return Error{
        Code::corrupt,
        fmt::format("key index {}: has schema {} where this klog knows {}", path, number, kSchema),
        ""};
}

Result<std::string> Database::meta(std::string_view name) {
    Use get(statements.get_meta);
    get->bind(1, name);
    KLOG_TRY_ASSIGN(const bool found, get->step());
    return found ? get->text(0) : std::string();
}

Status Database::check_meta(const std::string& uuid) {
    KLOG_TRY_ASSIGN(const std::string version, meta("schema"));
    if (version != std::to_string(kSchema)) {
        return Error{Code::corrupt,
                     fmt::format("key index {}: has schema '{}' where this klog knows {}", path,
                                 version, kSchema),
                     ""};
    }
    KLOG_TRY_ASSIGN(const std::string owner, meta("store_uuid"));
    if (owner == uuid) return {};
    return Error{Code::corrupt, fmt::format("key index {}: belongs to another store", path), ""};
}

Result<Seq> Database::read_watermark() {
    Use get(statements.get_meta);
    get->bind(1, std::string_view("watermark"));
    KLOG_TRY_ASSIGN(const bool found, get->step());
    if (found) return Seq{get->integer(0)};
    return Error{Code::corrupt, fmt::format("key index {}: has no watermark", path), ""};
}

Result<std::vector<Run>> Database::read_runs() {
    std::vector<Run> found;
    Use list(statements.list_runs);
    for (;;) {
        KLOG_TRY_ASSIGN(const bool row, list->step());
        if (!row) return found;
        found.push_back({list->integer(0), list->integer(1), list->integer(2), list->integer(3)});
    }
}

Status Database::prepare() {
    const std::pair<Statement*, const char*> all[] = {
        {&statements.begin_reading, "BEGIN"},
        {&statements.begin, "BEGIN IMMEDIATE"},
        {&statements.commit, "COMMIT"},
        {&statements.rollback, "ROLLBACK"},
        {&statements.get_meta, "SELECT value FROM meta WHERE name=?1"},
        {&statements.set_watermark, "UPDATE meta SET value=?1 WHERE name='watermark'"},
        {&statements.find_space, "SELECT id FROM space WHERE name=?1"},
        {&statements.add_space, "INSERT INTO space(name) VALUES(?1)"},
        {&statements.list_runs, "SELECT id, level, keys, merged_into FROM run ORDER BY id"},
        {&statements.add_run, "INSERT INTO run VALUES(?1, ?2, ?3, ?4)"},
        {&statements.change_run, "UPDATE run SET keys=?2, merged_into=?3 WHERE id=?1"},
        {&statements.delete_run, "DELETE FROM run WHERE id=?1"},
        {&statements.add_block,
         "INSERT INTO block(run, space_id, first, last, keys, crc, list)"
         " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
        {&statements.change_block,
         "UPDATE block SET first=?2, keys=?3, crc=?4, list=?5 WHERE id=?1"},
        {&statements.delete_block, "DELETE FROM block WHERE id=?1"},
        {&statements.add_topic,
         "INSERT INTO topic(topic, records, first_seq, last_seq) VALUES(?1, ?2, ?3, ?4)"
         " ON CONFLICT(topic) DO UPDATE SET records=records+excluded.records,"
         " first_seq=min(first_seq, excluded.first_seq),"
         " last_seq=max(last_seq, excluded.last_seq)"},
        {&statements.find_topic, "SELECT records, first_seq, last_seq FROM topic WHERE topic=?1"},
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

Status Database::fill_pool(std::deque<Statement>& pool, std::size_t count, const char* sql) {
    while (pool.size() < count) {
        KLOG_TRY_ASSIGN(Statement made, Statement::prepare(connection.get(), sql, path));
        pool.push_back(std::move(made));
    }
    return {};
}

Error Database::damaged_block(std::uint64_t id) const {
    return Error{Code::corrupt, fmt::format("key index {}: block {} is damaged", path, id), ""};
}

Status Database::read_block(Statement& statement, BlockRow& row, KeyBlockKeys& keys) const {
    row.id = statement.integer(0);
    row.space_id = statement.integer(1);
    row.block.first = statement.text(2);
    row.block.last = statement.text(3);
    row.block.count = statement.integer(4);
    row.block.crc = statement.integer(5);
    row.block.text = statement.text(6);
    if (!keys.decode(std::move(row.block))) return damaged_block(row.id);
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
    KLOG_TRY(key_index_db::run(statements.add_space));
    return static_cast<std::uint64_t>(sqlite3_last_insert_rowid(connection.get()));
}

Status Database::add_block(std::uint64_t run, std::uint64_t space_id, const KeyBlock& block) {
    Statement& add = statements.add_block;
    add.bind(1, run);
    add.bind(2, space_id);
    add.bind(3, block.first);
    add.bind(4, block.last);
    add.bind(5, block.count);
    add.bind(6, block.crc);
    add.bind(7, block.text);
    return key_index_db::run(add);
}

Status Database::add_run(const Run& run) {
    statements.add_run.bind(1, run.id);
    statements.add_run.bind(2, run.level);
    statements.add_run.bind(3, run.keys);
    statements.add_run.bind(4, run.into);
    return key_index_db::run(statements.add_run);
}

Status Database::apply_keys(const KeyList& keys, std::uint64_t run) {
    KeyBlockBuilder builder;
    std::string_view space;
    std::uint64_t space_number = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (space_number == 0 || keys.space(i) != space) {
            if (!builder.empty()) KLOG_TRY(add_block(run, space_number, builder.take()));
            space = keys.space(i);
            KLOG_TRY_ASSIGN(space_number, space_id(space, true));
        }
        if (builder.add(keys.key(i))) continue;
        KLOG_TRY(add_block(run, space_number, builder.take()));
        static_cast<void>(builder.add(keys.key(i)));  // an empty one takes any key
    }
    return add_block(run, space_number, builder.take());
}

Status Database::apply_in_transaction(const KeyIndexDelta& delta, const Run& added) {
    if (added.keys > 0) {
        KLOG_TRY(apply_keys(delta.keys, added.id));
        KLOG_TRY(add_run(added));
    }
    for (const auto& [topic, count] : delta.topics) {
        statements.add_topic.bind(1, topic);
        statements.add_topic.bind(2, count.records);
        statements.add_topic.bind(3, count.first_seq.value);
        statements.add_topic.bind(4, count.last_seq.value);
        KLOG_TRY(key_index_db::run(statements.add_topic));
    }
    statements.set_watermark.bind(1, delta.upto.value);
    return key_index_db::run(statements.set_watermark);
}

Status Database::apply(const KeyIndexDelta& delta) {
    const Run added{next_run(), 0, delta.keys.size(), 0};
    KLOG_TRY(transact([&] { return apply_in_transaction(delta, added); }));
    if (added.keys > 0) runs.push_back(added);
    watermark = delta.upto;
    return {};
}

Status Database::roll_back() {
    // SQLite rolls back by itself after some errors, a full disk among them.
    if (sqlite3_get_autocommit(connection.get()) != 0) return {};
    return key_index_db::run(statements.rollback);
}

}  // namespace klog::key_index_db
