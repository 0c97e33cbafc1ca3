// Options of a store. Each says its unit, default and limits; Store::open checks them
// (Code::config where one is out of range).
#ifndef KLOG_OPTIONS_H
#define KLOG_OPTIONS_H

#include <cstdint>
#include <string>

#include "klog/types.h"

namespace klog {

struct StoreOptions {
    // The data directory; made if it is missing.
    std::string dir;

    // The longest value accepted. Unit: bytes. Default: 1 MiB. Limits: 1 to 64 MiB.
    std::uint64_t value_bytes_max = Limits::kValueBytesDefault;

    // Size of the first WAL file, and of each later one. A file may outgrow it for one group.
    // Unit: bytes. Defaults: 1 MiB, 64 MiB. Limits: 64 KiB to 1 GiB.
    std::uint64_t wal_first_file_bytes = 1ULL << 20U;
    std::uint64_t wal_file_bytes = 64ULL << 20U;

    // A group is closed to further records past this size. Unit: bytes. Default: 4 MiB.
    std::uint64_t group_bytes_max = 4ULL << 20U;

    // What may wait behind a full group; past it append() answers backpressure.
    // Unit: bytes. Default: 32 MiB.
    std::uint64_t queue_bytes_max = 32ULL << 20U;

    // Newest records kept in memory for tails. Unit: bytes. Default: 4 MiB.
    std::uint64_t tail_cache_bytes = 4ULL << 20U;

    // Heads and ids that are not in a run yet. A run is written when one closes or this is
    // reached. Unit: bytes. Default: 8 MiB. Limits: 64 KiB to 1 GiB.
    std::uint64_t memtable_bytes_max = 8ULL << 20U;

    // Closed WAL files are sealed once they hold this much together, or there are 16 of them: a
    // start leaves one behind that may hold little. Unit: bytes. Default: 8 MiB. Limits: 4 KiB to 1
    // TiB.
    std::uint64_t seal_bytes_min = 8ULL << 20U;

    // Closed WAL files that are not sealed yet; past it append() waits, and answers backpressure
    // where sealing fails. While somebody writes, sealing takes all of its thread's time from half
    // of it on, less before. Unit: bytes. Default: 1 GiB. Limits: 64 KiB to 1 TiB.
    std::uint64_t unsealed_bytes_max = 1ULL << 30U;

    // Blocks and pages of sealed segments that were unpacked, kept for the next reader.
    // Unit: bytes. Default: 8 MiB. Limits: 64 KiB to 64 GiB.
    std::uint64_t segment_cache_bytes = 8ULL << 20U;

    // How large a segment grows by merging: records before they are packed. Unit: bytes.
    // Default: 256 MiB. Limits: 64 KiB to 1 GiB.
    std::uint64_t merged_bytes_max = 256ULL << 20U;

    // What reads of the newest record of each key hold together while they look; past it they are
    // refused with backpressure. One takes 3/8 of it for entities, of 24 bytes each, and looks
    // through its range once more for each time that they fill it; and a quarter for marks, a bit a
    // seq or up to 144 bytes where they stand apart. Unit: bytes. Default: 256 MiB. Limits: 128 KiB
    // to 64 GiB.
    std::uint64_t newest_bytes_max = 256ULL << 20U;

    // How long the highest line of a producing session is remembered. Unit: seconds.
    // Default: 7 days.
    std::uint64_t session_seconds = 7ULL * 24 * 3600;

    // After this long without a write an empty frame lets the synced watermark catch up.
    // Unit: milliseconds. Default: 500. 0: never.
    std::uint64_t idle_mark_ms = 500;

    // Where more records than this are in no run when a store is opened, their heads and ids are
    // made anew behind the open, by the maintenance thread: reads by seq are served meanwhile,
    // writes and questions for keys or topics answer rebuilding. The same for a key index that is
    // as far behind. Unit: records. Default: no limit, the open waits for it.
    std::uint64_t rebuild_later_records = ~0ULL;

    // Opens what is there and writes nothing: no file in `dir` is made, changed or removed. Appends
    // answer not_allowed. What is missing or damaged is a hole (RecoveryReport::holes) in place of
    // an error of the open. Default: false.
    bool read_only = false;

    // Where a read-only store may keep a copy of its key index, which it fills there. It must exist
    // and be nobody else's. Default: empty, which keeps that index in memory.
    std::string scratch_dir;

    // Heads that a read-only store may make anew in memory, where runs are missing or behind: about
    // 100 bytes a key. Past it questions for single keys answer io. Unit: bytes. Default: 1
    // GiB. Limits: 64 KiB to 64 GiB.
    std::uint64_t read_only_heads_bytes_max = 1ULL << 30U;

    // Which program writes, for messages such as "written by klog 0.3".
    std::string writer_version = "0.1.0";
};

}  // namespace klog

#endif  // KLOG_OPTIONS_H
