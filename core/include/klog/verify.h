// Checks a data directory file by file: headers, checksums, the chain from frame to frame and from
// file to file, and whether an index knows more than the log holds.
//
// Reads only, and takes no lock, so it runs beside the daemon that writes the directory: of the
// file that grows it checks what is known to be synced.
#ifndef KLOG_VERIFY_H
#define KLOG_VERIFY_H

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"

namespace klog {

enum class FileKind : std::uint8_t {
    wal,           // a part of the log
    manifest,      // the set of segments: which of them make up the sealed part of the log
    segment,       // a sealed part of the log
    clean_marker,  // says where the log ended at the last orderly stop
    run,           // heads and ids; disposable
    wal_index,     // of one closed WAL file; disposable
    key_index,     // the SQLite database, and its journal; disposable
    spare,         // room for a later WAL file; what it holds means nothing
    process,       // lock, pid and socket of a daemon
    left_over,     // a temporary file that nobody finished; removed when its name is needed
    unknown,       // not klog's
};

enum class FileFinding : std::uint8_t {
    sound,
    growing,      // a daemon writes it: what is synced is sound, the rest was left out
    torn_tail,    // what is synced is sound; behind it a crash left what nobody was told of
    damaged,      // see `error`
    vanished,     // it was listed and is gone: a daemon renames and removes files as it works
    not_checked,  // it holds nothing that could be checked
};

// As users see them: "wal_index", "torn_tail".
[[nodiscard]] std::string_view file_kind_name(FileKind kind);
[[nodiscard]] std::string_view file_finding_name(FileFinding finding);

// What was found in one file.
struct VerifiedFile {
    std::string name;  // relative to the data directory
    FileKind kind = FileKind::unknown;
    FileFinding finding = FileFinding::not_checked;
    std::uint64_t bytes = 0;    // that were checked
    std::uint64_t frames = 0;   // of a WAL file
    std::uint64_t records = 0;  // of a WAL file, in these frames; of a segment
    // Of a WAL file that was not closed in order: bytes behind the watermark that the next start
    // keeps, and that it drops, as far as they can be told: of a frame of which the salt is lost
    // nothing shows. An acknowledged record may be among those it keeps only.
    std::uint64_t bytes_kept = 0;
    std::uint64_t bytes_dropped = 0;
    // Damage: where it begins, where that is known; what it means and what to do. The code is
    // corrupt, format_unknown (a later version wrote it) or io (it cannot be read).
    std::optional<std::uint64_t> offset;
    std::optional<Error> error;
    std::string note;  // one sentence, where there is something to say
};

struct VerifyProgress {
    std::string_view name;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;  // an estimate: files grow and go
};

struct VerifyOptions {
    std::string dir;  // the data directory
    // A daemon has the directory open, so an end that is not whole is growing and not torn.
    bool live = false;
    // Also unpacks the segments and compares their footers with their records, looks whether the
    // versions of each entity have no gaps over the whole log, and whether the heads that the runs
    // hold are those of the log. Takes up to 400 MB for 10 million entities; those beyond are left
    // out, which VerifyReport::notices says.
    bool deep = false;
    // Both are called on the calling thread; either may be empty. A file is told of once; of a run
    // whose checksums are sound a deep look may tell later that it contradicts the log.
    std::function<void(const VerifiedFile&)> on_file;
    std::function<void(const VerifyProgress&)> on_progress;
};

struct VerifyReport {
    std::uint64_t files = 0;    // that were checked
    std::uint64_t damaged = 0;  // findings
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
    std::vector<std::string> notices;  // what a deep look had to leave out, and why
};

// Reads every file of the directory, about a megabyte at a time (one frame where that is longer).
// Damage is a finding, not an error of the call. Errors: no_input (no data directory lies there),
// io, not_allowed (a folder cannot be listed).
[[nodiscard]] Result<VerifyReport> verify_store(Env& env, const VerifyOptions& options);

}  // namespace klog

#endif  // KLOG_VERIFY_H
