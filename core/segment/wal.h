// The write-ahead log of a data directory: a chain of files under wal/, shared by all logs.
//
// The Wal knows frames and files, not versions or keys. It decides what a crash left (see
// wal_recovery.h), where a frame lies, when it is synced, and when a file is full.
//
// Names: wal/<20 digits of wal_id>.wal, wal/spare-<n> (of no meaning), wal/clean.
//
// Threads: commit(), mark_idle() and close() come from one thread at a time (the caller
// serialises them). drop_sealed() may run beside them, on one thread. prepare_spares(), files() and
// open_file() may be called from any thread.
#ifndef KLOG_SEGMENT_WAL_H
#define KLOG_SEGMENT_WAL_H

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "klog/env.h"
#include "klog/log.h"
#include "segment/segment_set.h"
#include "segment/wal_format.h"

namespace klog {

struct WalPosition {
    std::uint64_t wal_id = 0;
    std::uint64_t offset = 0;
    friend constexpr auto operator<=>(const WalPosition&, const WalPosition&) = default;
};

struct WalOptions {
    std::string dir;  // the data directory; files lie under dir/wal
    std::uint64_t first_file_bytes = 1ULL << 20U;
    std::uint64_t file_bytes = 64ULL << 20U;
    std::string writer = "klog";
    // Nothing is written; what is missing or damaged is left out. Commits are refused as absent
    // with not_allowed.
    bool read_only = false;
    // Asked before anything is written, if there is a log: with its uuid and its newest file. An
    // error is the end of open(). Null: not asked.
    std::function<Status(const StoreUuid&, std::uint64_t)> check;
};

// What a read-only open left out: a file that cannot be read, from where on, or at all.
struct WalDamage {
    std::uint64_t wal_id = 0;
    std::string why;  // a sentence that names the file
};

// A file as readers see it. end: frames in [kWalFileHeaderBytes, end) are durable.
struct WalFileInfo {
    WalFileHeader header;
    std::string path;
    std::uint64_t end = 0;
    bool closed = false;
    // Of a closed file: header_crc of its last frame, or its header's crc. See SealedUpto.
    std::uint32_t chain = 0;
};

enum class CommitOutcome : std::uint8_t {
    durable,  // synced
    absent,   // nothing of it is left, and nothing of it can come back: disk_full or io before a
              // sync
    unknown,  // a sync failed: final. Every later commit is refused.
};

struct CommitResult {
    CommitOutcome outcome = CommitOutcome::durable;
    std::optional<Error> error;  // unless durable
};

// Reads frames of one file front to back, with large reads, and checks each: header, chain,
// payload. For closed and live files.
class WalFrameReader {
public:
    virtual ~WalFrameReader() = default;
    // nullptr: the end (info.end as it was when the reader was opened) was reached. Errors:
    // corrupt (names file and offset), io.
    [[nodiscard]] virtual Result<std::shared_ptr<const Frame>> next() = 0;
    // Where the frame that next() will give begins.
    [[nodiscard]] virtual std::uint64_t offset() const = 0;
};

class Wal {
public:
    virtual ~Wal() = default;

    struct Opened;
    // Takes what is there through recovery: proves that what it drops was never acknowledged, or
    // refuses (corrupt, with file, offset and what to do). Starts a new incarnation and a new
    // file; after an unclean stop the tail that the watermark does not cover is copied there.
    // disk_full never fails the open of an old store: then writable() is false and commits are
    // refused as absent with disk_full until there is room.
    // Files that `set` calls sealed do not count: they are removed, after a sync of the folder of
    // the set; one that cannot be removed is a notice. The oldest file left must follow on what is
    // sealed, else corrupt, as where the set is another store's, or older than the clean marker.
    // The caller holds the directory's lock.
    // Read-only: what a crash left is judged the same way, but served as it lies. Files that are
    // missing or damaged are left out (`damages`); corrupt only where `set` does not fit, no_input
    // where there is no log.
    [[nodiscard]] static Result<Opened> open(Env& env, const WalOptions& options,
                                             const SegmentSetState& set);

    [[nodiscard]] virtual const StoreUuid& store_uuid() const = 0;
    [[nodiscard]] virtual const HashKey& hash_key() const = 0;
    [[nodiscard]] virtual std::uint64_t incarnation() const = 0;

    // Writes frames one behind the other and syncs once. Each frame's bytes hold
    // kFrameHeaderBytes of room and then the payload; its header says type, flags, log_id, seqs,
    // count, times. The Wal fills in the rest of the headers, in `header` and in `bytes`, and
    // appends padding to bytes. A full file is closed first (all of it synced, a spare taken).
    virtual CommitResult commit(std::span<Frame* const> frames) = 0;

    // Writes an empty frame and syncs, so that the synced watermark covers everything, if it does
    // not already. Same outcomes.
    virtual CommitResult mark_idle() = 0;

    // The clean marker. Afterwards nothing can be written. next_seqs by LogId; manifest_number: of
    // the set of segments, which no later start may find older.
    virtual Status close(const std::array<std::uint64_t, 2>& next_seqs,
                         std::uint64_t manifest_number) = 0;

    // Forgets the closed files up to sealed.wal_id and removes them; some become spares.
    // Precondition: an edit of the set of segments that says so is durable. A reader that has one
    // open goes on; open_file() says not_found. What cannot be removed is tried again at the next
    // call, and at the next open. Errors: io (all the same they are forgotten); bug (file
    // sealed.wal_id is not closed, or ends otherwise: nothing was done).
    virtual Status drop_sealed(const SealedUpto& sealed) = 0;

    // Makes spare files, filled with zeros, until two exist beside the live file; paced. Cheap if
    // they do.
    // disk_full is no failure of the store: tried again at the next call.
    virtual Status prepare_spares() = 0;
    [[nodiscard]] virtual bool spares_wanted() const = 0;

    // Named by the next file's header, and by the marker of an orderly stop.
    virtual void set_settings_checkpoint(LogId log, Seq seq) = 0;

    // Called on the committing thread when a file was closed, with its wal_id. Must be quick.
    virtual void on_file_closed(std::function<void(std::uint64_t)> callback) = 0;

    // Where the next frame goes; all before it is durable.
    [[nodiscard]] virtual WalPosition end() const = 0;
    // All files, oldest first; the last is the live one (or there is none yet: not writable).
    [[nodiscard]] virtual std::vector<WalFileInfo> files() const = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<WalFrameReader>> open_file(
        std::uint64_t wal_id, std::uint64_t from_offset) = 0;

    [[nodiscard]] virtual StoreStats stats() const = 0;
};

// What open() found.
struct Wal::Opened {
    std::unique_ptr<Wal> wal;
    RecoveryReport report;  // without records_replayed
    // From the clean marker, if it is sound and counts: the next seq of each log.
    std::optional<std::array<std::uint64_t, 2>> clean_next_seqs;
    // The newest checkpoint of each log, by LogId, as the newest header or the marker of an orderly
    // stop names it; 0: none.
    std::array<std::uint64_t, 2> settings_checkpoint{};
    bool created = false;  // the store is new
    // Read-only:
    std::vector<WalDamage> damages;  // oldest first
    bool end_lost = false;           // records behind the last one that can be read are missing
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_H
