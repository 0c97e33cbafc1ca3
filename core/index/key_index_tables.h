// The tables of a key index, and what one transaction does to them. man/klog-index.5 documents
// them; core/README.md says why keys stand in blocks and runs.
//
// Threads: one at a time.
#ifndef KLOG_INDEX_KEY_INDEX_TABLES_H
#define KLOG_INDEX_KEY_INDEX_TABLES_H

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/key_index.h"
#include "index/key_index_block.h"
#include "index/key_index_db.h"

namespace klog::key_index_db {

inline constexpr std::uint64_t kSchema = 2;

// What is prepared once. Members are null until the database is open.
struct Statements {
    Statement begin_reading, begin, commit, rollback;
    Statement get_meta, set_watermark;
    Statement find_space, add_space;
    Statement list_runs, add_run, change_run, delete_run;
    Statement add_block, change_block, delete_block;
    Statement add_topic, find_topic, topics_from, topics_after;
    // One for each run that is read at the same time; they stay where they are.
    std::deque<Statement> blocks_of_run, blocks_from;
};

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

// Takes one step of a statement that gives no rows, or none that matter.
Status run(Statement& statement);

struct Run {
    std::uint64_t id = 0;
    std::uint64_t level = 0;  // how often its keys were merged
    std::uint64_t keys = 0;
    std::uint64_t into = 0;  // the run that it is being merged into; 0: none
};

// A row of the table block.
struct BlockRow {
    std::uint64_t id = 0;
    std::uint64_t space_id = 0;
    KeyBlock block;
};

struct Database {
    std::string path;
    Connection connection;  // before the statements, which must go first
    Statements statements;
    std::vector<Run> runs;  // as committed, by id; of a writer only
    Seq watermark;          // as committed; of a writer only

    // Makes the tables where there are none. Errors: corrupt where they are not ours.
    Status open_writer(const std::string& at, const std::string& uuid);
    // Looks at tables that a writer has made. Nothing can be written through it.
    Status open_reader(const std::string& at);

    // All or nothing. Whoever changes runs or the watermark sets the members after it went well.
    template <class Work>
    Status transact(Work&& work);
    // One moment of the database, however many statements look at it.
    template <class Work>
    Status look(Work&& work);

    Status apply(const KeyIndexDelta& delta);
    // 0: there is no such space.
    Result<std::uint64_t> space_id(std::string_view space, bool create);
    [[nodiscard]] std::uint64_t next_run() const { return runs.empty() ? 1 : runs.back().id + 1; }
    Status add_run(const Run& run);
    Status add_block(std::uint64_t run, std::uint64_t space_id, const KeyBlock& block);
    Result<std::vector<Run>> read_runs();
    Result<Seq> read_watermark();
    // Prepares until `pool` has `count` of them.
    Status fill_pool(std::deque<Statement>& pool, std::size_t count, const char* sql);
    // Takes the row that a statement of a pool stands at.
    Status read_block(Statement& statement, BlockRow& row, KeyBlockKeys& keys) const;
    [[nodiscard]] Error damaged_block(std::uint64_t id) const;

private:
    Status set_up_tables(const std::string& uuid);
    Status create_tables(const std::string& uuid);
    Status check_meta(const std::string& uuid);
    Status prepare();
    Status apply_in_transaction(const KeyIndexDelta& delta, const Run& added);
    Status apply_keys(const KeyList& keys, std::uint64_t run);
    Result<std::string> meta(std::string_view name);
    Status roll_back();
};

// Of the statements in blocks_of_run and blocks_from: the columns that read_block() takes.
inline constexpr const char* kBlocksOfRun =
    "SELECT id, space_id, first, last, keys, crc, list FROM block WHERE run=?1"
    " ORDER BY space_id, last";
inline constexpr const char* kBlocksFrom =
    "SELECT id, space_id, first, last, keys, crc, list FROM block"
    " WHERE run=?1 AND space_id=?2 AND last>=?3 ORDER BY last";

template <class Work>
Status Database::transact(Work&& work) {
    KLOG_TRY(key_index_db::run(statements.begin));
    Status status = work();
    if (status.ok()) status = key_index_db::run(statements.commit);
    if (!status.ok()) KLOG_TRY(roll_back());
    return status;
}

template <class Work>
Status Database::look(Work&& work) {
    KLOG_TRY(key_index_db::run(statements.begin_reading));
    Status status = work();
    Status ended = key_index_db::run(statements.rollback);
    return status.ok() ? std::move(ended) : std::move(status);
}

}  // namespace klog::key_index_db

#endif  // KLOG_INDEX_KEY_INDEX_TABLES_H
