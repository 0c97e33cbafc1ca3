// Env is the one seam between klog and the operating system: files, clock, randomness.
// Nothing in core/ calls them in any other way, which is what lets one seeded process simulate
// crashes, torn writes and a failing disk.
//
// Errors: Code::disk_full where there is no room (ENOSPC, EDQUOT), Code::not_found where a name
// does not exist, Code::locked for a held lock, Code::not_allowed for EACCES/EPERM/EROFS,
// Code::io for the rest. Messages name the path.
//
// Threads: an Env may be used by any number of threads. A File may be read by any number of
// threads beside one writer.
#ifndef KLOG_ENV_H
#define KLOG_ENV_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

class File {
public:
    virtual ~File() = default;

    // Reads up to buffer.size() bytes at offset; fewer only at the end of the file.
    [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset,
                                                      std::span<char> buffer) const = 0;

    // A hint: read_at will want these bytes soon. Does not wait for the disk, and cannot fail.
    virtual void will_read(std::uint64_t offset, std::uint64_t bytes) const {
        static_cast<void>(offset);
        static_cast<void>(bytes);
    }

    // Writes all of data at offset, or fails; after a failure any part of it may have been
    // written. Nothing is durable before sync_data().
    virtual Status write_at(std::uint64_t offset, std::string_view data) = 0;

    // fdatasync. After a failure the state of everything written since the last success is
    // unknown for good: a second call may lie (see klog-durability.7).
    virtual Status sync_data() = 0;

    // Takes room on the disk for the bytes from `from`, where the file ends, up to `to`: they read
    // as zeros. Costs next to nothing, but the first sync of what is written there later has to
    // note that it was written. A file system that cannot do it gets zeros written. After a failure
    // any part of it may have been done. Durable with sync_data().
    virtual Status reserve(std::uint64_t from, std::uint64_t to) = 0;

    virtual Status truncate(std::uint64_t size) = 0;
    [[nodiscard]] virtual Result<std::uint64_t> size() const = 0;
};

// Held until destroyed. A lock ends with its process.
class FileLock {
public:
    virtual ~FileLock() = default;
};

enum class OpenMode : std::uint8_t {
    read,        // must exist
    read_write,  // must exist
    create_new,  // must not exist (Code::locked if it does); read and write
};

class Env {
public:
    virtual ~Env() = default;

    virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
    // Replaces an existing target atomically. Durable once sync_dir() of the parent returned.
    virtual Status rename(const std::string& from, const std::string& to) = 0;
    virtual Status remove(const std::string& path) = 0;
    [[nodiscard]] virtual Result<bool> exists(const std::string& path) = 0;
    // Names without their folder, sorted, without "." and "..".
    [[nodiscard]] virtual Result<std::vector<std::string>> list_dir(const std::string& path) = 0;
    // With parents, mode 0700; no error where it exists. Parents that were made are synced.
    virtual Status create_dirs(const std::string& path) = 0;
    // fsync of a folder: makes names that were created, renamed or removed in it durable.
    virtual Status sync_dir(const std::string& path) = 0;
    // How much the disk under this folder can still take; others write, too. The largest number
    // where nobody can say. Unit: bytes.
    [[nodiscard]] virtual std::uint64_t free_bytes(const std::string& folder) = 0;
    // Creates the file if needed. Code::locked where another holder lives (also in this process).
    virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
    // The same lock without creating, changing or writing anything, also on a file system that is
    // read-only. Where there is no such file its folder is locked instead, which keeps lock() from
    // creating the file. Code::not_found where the folder does not exist either.
    virtual Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) = 0;

    // Where SQLite may put a database that belongs at `path`: the same path on a real file
    // system, ":memory:" where there is none.
    [[nodiscard]] virtual std::string database_path(const std::string& path) = 0;

    // Wall clock, UTC. May jump.
    [[nodiscard]] virtual Time now() = 0;
    // Never decreases within a process. Unit: microseconds.
    [[nodiscard]] virtual std::uint64_t monotonic_micros() = 0;
    // Cryptographically random on a real system, seeded in a simulation.
    virtual void random(std::span<std::uint8_t> out) = 0;
};

struct PosixEnvOptions {
    // false: sync_data and sync_dir succeed without syncing. For ephemeral stores only.
    bool sync = true;
};

// The operating system. Lives as long as the process.
[[nodiscard]] std::unique_ptr<Env> make_posix_env(const PosixEnvOptions& options = {});

}  // namespace klog

#endif  // KLOG_ENV_H
