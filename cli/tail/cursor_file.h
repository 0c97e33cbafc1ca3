// --cursor-file: a bare number in a file, kept up to date while a tail runs.
#ifndef KLOG_CLI_TAIL_CURSOR_FILE_H
#define KLOG_CLI_TAIL_CURSOR_FILE_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "klog/result.h"

namespace klog::cli {

// Holds a lock on the file for as long as it lives. A new cursor goes to a temporary file beside
// it, is synced, and takes the file's place by a rename, so that a crash leaves the old cursor or
// the new one. The lock moves along: the new file is locked before it gets its name.
class CursorFile {
public:
    // A cursor is on disk at most this long after set().
    static constexpr std::chrono::milliseconds kPause{250};

    CursorFile() = default;
    ~CursorFile();
    CursorFile(const CursorFile&) = delete;
    CursorFile& operator=(const CursorFile&) = delete;

    // Creates the file if it is missing. Errors: locked (another tail has it), bad_record (it holds
    // something else than a cursor), io.
    Status open(const std::string& path);
    // What the file held; nothing where it was missing or empty.
    [[nodiscard]] std::optional<std::uint64_t> cursor() const { return cursor_; }

    // Writes at once; durable when it returns. Then starts the thread that set() needs. Errors: io.
    Status begin(std::uint64_t cursor);
    // Notes a cursor, which a thread of this object writes soon. Errors: io, of an earlier write.
    Status set(std::uint64_t cursor);
    // Writes what was noted last, if it is not written yet; nothing may be set afterwards.
    Status close();

private:
    Status lock_current();
    Status read_cursor();
    Status write(std::uint64_t cursor);
    Status failed(const std::string& what) const;
    void keep(const std::stop_token& stop);

    std::string path_;
    int fd_ = -1;  // the locked file
    std::optional<std::uint64_t> cursor_;

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::uint64_t wanted_ = 0;      // guarded by mutex_
    std::uint64_t written_ = 0;     // guarded by mutex_
    std::optional<Error> problem_;  // guarded by mutex_
    std::jthread thread_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_TAIL_CURSOR_FILE_H
