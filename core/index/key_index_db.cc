#include "index/key_index_db.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"

namespace klog::key_index_db {
namespace {

constexpr int kBusyMs = 2000;  // as long as somebody's sqlite3 may hold a lock
constexpr mode_t kFileMode = 0600;

// NORMAL with a write-ahead journal: a crash gives the state after some earlier transaction, and
// the watermark with it. The journal's size is what a checkpoint leaves behind.
constexpr const char* kSetUp =
    "PRAGMA encoding='UTF-8';"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "PRAGMA journal_size_limit=4194304;"
    "PRAGMA cache_size=-1024;"
    "PRAGMA mmap_size=0;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA secure_delete=ON;"
    "PRAGMA trusted_schema=OFF;";

Code code_of(int rc) {
    switch (rc & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
            return Code::corrupt;
        case SQLITE_FULL:
            return Code::disk_full;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return Code::locked;
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_AUTH:
            return Code::not_allowed;
        default:
            return Code::io;
    }
}

// SQLite would create the file for everybody to read, and gives journal and shared memory the
// file's own mode.
Status create_private(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
    if (fd >= 0) {
        ::close(fd);
        return {};
    }
    if (errno == EEXIST) return {};
    const int error = errno;
    const Code code = error == ENOSPC || error == EDQUOT                    ? Code::disk_full
                      : error == EACCES || error == EPERM || error == EROFS ? Code::not_allowed
                                                                            : Code::io;
    return Error{code,
                 fmt::format("cannot create the key index {}: {}", path,
                             std::generic_category().message(error)),
                 ""};
}

Status set_up(sqlite3* db, const std::string& path) {
    const std::array<std::pair<int, int>, 5> switches{{{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                                       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                                       {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                                       {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                                       {SQLITE_DBCONFIG_DQS_DML, 0}}};
    for (const auto& [option, value] : switches) {
        if (const int rc = sqlite3_db_config(db, option, value, nullptr); rc != SQLITE_OK) {
            return error_of(db, rc, path);
        }
    }
    if (const int rc = sqlite3_busy_timeout(db, kBusyMs); rc != SQLITE_OK) {
        return error_of(db, rc, path);
    }
    return execute(db, kSetUp, path);
}

}  // namespace

Error error_of(sqlite3* db, int rc, std::string_view path) {
    const char* message = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    return Error{code_of(rc), fmt::format("key index {}: {}", path, message), ""};
}

Result<Connection> open(const std::string& path) {
    if (path != kInMemory) KLOG_TRY(create_private(path));
    sqlite3* raw = nullptr;
    const int rc = sqlite3_open_v2(
        path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
        nullptr);
    Connection db(raw);  // also after an error there is something to close
    if (rc != SQLITE_OK) return error_of(raw, rc, path);
    KLOG_TRY(set_up(raw, path));
    return db;
}

Status remove_files(const std::string& path) {
    if (path == kInMemory) return {};
    sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    KLOG_ASSERT(vfs != nullptr);
    // The database goes first: a journal without its database is void, while a database without
    // its journal might be taken for sound.
    for (const std::string_view suffix : {"", "-wal", "-shm", "-journal"}) {
        const std::string name = path + std::string(suffix);
        const int rc = vfs->xDelete(vfs, name.c_str(), 1);
        if (rc != SQLITE_OK && rc != SQLITE_IOERR_DELETE_NOENT) {
            return Error{
                code_of(rc),
                fmt::format("cannot delete the key index {}: {}", name, sqlite3_errstr(rc)), ""};
        }
    }
    return {};
}

Status execute(sqlite3* db, const char* sql, std::string_view path) {
    const int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return error_of(db, rc, path);
    return {};
}

Result<Statement> Statement::prepare(sqlite3* db, const char* sql, std::string_view path) {
    sqlite3_stmt* raw = nullptr;
    const int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    Statement statement;
    statement.statement_.reset(raw);
    statement.path_ = path;
    if (rc == SQLITE_OK) return statement;
    Error error = error_of(db, rc, path);
    if (rc == SQLITE_ERROR) error.code = Code::corrupt;
    return error;
}

void Statement::bind(int at, std::uint64_t value) {
    // Seqs and counts stay below 2^63.
    const int rc = sqlite3_bind_int64(statement_.get(), at, static_cast<sqlite3_int64>(value));
    KLOG_ASSERT(rc == SQLITE_OK);
}

void Statement::bind(int at, std::string_view text) {
    // A view without memory would be bound as NULL.
    const char* data = text.data() != nullptr ? text.data() : "";
    const int rc =
        sqlite3_bind_text64(statement_.get(), at, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
    KLOG_ASSERT(rc == SQLITE_OK);
}

void Statement::bind_end(int at) {
    const int rc = sqlite3_bind_zeroblob(statement_.get(), at, 0);
    KLOG_ASSERT(rc == SQLITE_OK);
}

Result<bool> Statement::step() {
    const int rc = sqlite3_step(statement_.get());
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) {
        reset();
        return false;
    }
    Error error = error_of(sqlite3_db_handle(statement_.get()), rc, path_);
    // The schema was changed under us, so the tables are not ours any more.
    if ((rc & 0xff) == SQLITE_ERROR) error.code = Code::corrupt;
    reset();
    return error;
}

void Statement::reset() {
    // Its result repeats the last step's error, which step() has returned.
    (void)sqlite3_reset(statement_.get());
}

std::uint64_t Statement::integer(int column) {
    return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::string Statement::text(int column) {
    const auto* data = sqlite3_column_text(statement_.get(), column);
    const int bytes = sqlite3_column_bytes(statement_.get(), column);
    if (data == nullptr || bytes <= 0) return {};
    return std::string(static_cast<const char*>(static_cast<const void*>(data)),
                       static_cast<std::size_t>(bytes));
}

}  // namespace klog::key_index_db
