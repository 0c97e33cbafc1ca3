// What the key index needs of SQLite: a connection that is set up for a file which anybody may
// have touched, statements, and errors in klog's codes. The only files that see sqlite3.h are
// this one's source and key_index's.
#ifndef KLOG_INDEX_KEY_INDEX_DB_H
#define KLOG_INDEX_KEY_INDEX_DB_H

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "klog/result.h"

namespace klog::key_index_db {

inline constexpr std::string_view kInMemory = ":memory:";

struct CloseConnection {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Connection = std::unique_ptr<sqlite3, CloseConnection>;

// The error of the last call on db. Code::corrupt where the file is no sound database, disk_full,
// locked (another process holds it), not_allowed, io for the rest.
[[nodiscard]] Error error_of(sqlite3* db, int rc, std::string_view path);

// Opens or creates the file, for its owner alone, and sets the connection up: write-ahead
// journal, little memory, nothing in the schema is trusted. Errors: as error_of.
[[nodiscard]] Result<Connection> open(const std::string& path);

// Deletes the database with its journal and shared memory. No error where there is none.
// Precondition: no connection to it is open in this process.
Status remove_files(const std::string& path);

Status execute(sqlite3* db, const char* sql, std::string_view path);

// A prepared statement. Bound text must outlive the step; parameters count from 1.
class Statement {
public:
    Statement() = default;
    // A statement that does not compile is Code::corrupt: its tables are not ours.
    [[nodiscard]] static Result<Statement> prepare(sqlite3* db, const char* sql,
                                                   std::string_view path);

    void bind(int at, std::uint64_t value);
    void bind(int at, std::string_view text);
    // Sorts behind any text.
    void bind_end(int at);

    // True: a row. False: done; then and after an error the statement is ready for its next use.
    [[nodiscard]] Result<bool> step();
    void reset();
    [[nodiscard]] std::uint64_t integer(int column);
    [[nodiscard]] std::string text(int column);

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
    };
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    std::string path_;
};

}  // namespace klog::key_index_db

#endif  // KLOG_INDEX_KEY_INDEX_DB_H
