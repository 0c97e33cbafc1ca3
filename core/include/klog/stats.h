// Figures of a log and of a store, as they are at one moment.
#ifndef KLOG_STATS_H
#define KLOG_STATS_H

#include <cstdint>

#include "klog/types.h"

namespace klog {

struct LogStats {
    Seq head;
    Time last_time;
    std::uint64_t records_written = 0;  // since the store was opened
    std::uint64_t refused = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t groups = 0;
    std::uint64_t queue_bytes = 0;
    std::uint64_t memtable_bytes = 0;
    std::uint64_t runs = 0;
    std::uint64_t readers = 0;
    std::uint64_t consumers = 0;
    std::uint64_t positions_records = 0;  // what they were moved with, since the store was opened
    Seq key_index_seq;                    // the key index in SQLite holds everything up to here
    // Of what it does not hold: records that are read again from the log before anything is listed,
    // and what memory holds of the rest. Where memory holds more than four times
    // StoreOptions::memtable_bytes_max, writers wait.
    std::uint64_t key_index_behind_records = 0;
    std::uint64_t key_index_pending_bytes = 0;
    std::uint64_t key_index_keys = 0;
    std::uint64_t key_index_runs = 0;
    std::uint64_t key_index_merges = 0;       // since the store was opened
    std::uint64_t key_index_merged_keys = 0;  // since the store was opened
};

// Indexes that are being made anew from the log.
struct RebuildStats {
    bool running = false;  // heads and ids; writes and questions for keys answer rebuilding
    std::uint64_t records_done = 0;
    std::uint64_t records_wanted = 0;
    std::uint64_t finished = 0;  // since the store was opened
};

struct StoreStats {
    std::uint64_t syncs = 0;
    std::uint64_t wal_bytes_written = 0;
    std::uint64_t wal_files = 0;
    std::uint64_t wal_bytes_on_disk = 0;
    std::uint64_t sync_micros_total = 0;
    std::uint64_t segments = 0;        // sealed, of all logs
    std::uint64_t segment_bytes = 0;   // on disk
    std::uint64_t unsealed_bytes = 0;  // in closed WAL files
    std::uint64_t cache_bytes = 0;     // of unpacked blocks and pages
    std::uint64_t cache_hits = 0;
    std::uint64_t cache_misses = 0;
    std::uint64_t cache_puts = 0;  // unpacked for the cache, also ahead of a reader
    bool writable = true;          // false: no room, or read-only; reads go on
    bool failed = false;           // a sync failed; nothing is written any more
    bool read_only = false;
    std::uint64_t holes = 0;  // of a read-only store: see Hole
    RebuildStats rebuild;     // of all logs together
};

}  // namespace klog

#endif  // KLOG_STATS_H
