// What is known of a sealed segment without reading its records. Plain values.
#ifndef KLOG_SEGMENT_SEGMENT_INFO_H
#define KLOG_SEGMENT_SEGMENT_INFO_H

#include <cstdint>

#include "base/siphash.h"
#include "klog/types.h"
#include "segment/wal_format.h"

namespace klog {

// Seqs from first to last, both included. first 0: empty.
struct SeqRange {
    Seq first;
    Seq last;
    [[nodiscard]] bool empty() const { return first.value == 0; }
    [[nodiscard]] bool contains(Seq seq) const { return !empty() && first <= seq && seq <= last; }
    friend bool operator==(const SeqRange&, const SeqRange&) = default;
};

// The statistics section of a footer.
struct SegmentStats {
    StoreUuid store_uuid{};
    HashKey hash_key{};  // of the hashes in the key and id sections
    LogId log_id = LogId::default_log;
    std::uint64_t segment_id = 0;  // from 1; the file's name
    std::uint32_t generation = 0;  // 0: sealed from the WAL; a merge is one above its inputs
    // What the segment answers for: a seq in here that it does not hold has been removed by
    // policy. Neighbours in a log's set cover (0, head of the last one] without a hole.
    SeqRange covered;
    SeqRange held;  // the first and last record that are there
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;  // of all blocks, unpacked
    // Of the records that are held: times never fall along the seqs of a log.
    Time first_time;
    Time last_time;
};

// A block of records, packed and checked on its own.
struct BlockInfo {
    // Bits of `flags`.
    static constexpr std::uint8_t kReservedTopics = 1;  // holds records under $: settings
    static constexpr std::uint8_t kPlainTopics = 2;     // holds others

    SeqRange held;
    std::uint32_t count = 0;
    Time first_time;
    Time last_time;
    std::uint64_t offset = 0;        // in the file
    std::uint32_t stored_bytes = 0;  // as they lie there
    std::uint32_t payload_bytes = 0;
    std::uint32_t crc = 0;   // of the stored bytes
    std::uint8_t codec = 0;  // 0: stored plainly; 1: zstd; 2: zstd with the segment's dictionary
    std::uint8_t flags = 0;
};

// A segment as the set of segments names it.
struct SegmentEntry {
    std::uint64_t segment_id = 0;
    LogId log_id = LogId::default_log;
    std::uint32_t generation = 0;
    SeqRange covered;
    SeqRange held;
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
    Time first_time;
    Time last_time;
    std::uint64_t file_bytes = 0;
    std::uint32_t root_bytes = 0;  // directory, statistics and trailer: the last bytes of the file
    // Keyed hash of these root bytes. They hold the checksum of every section, and those the
    // checksum of every block, so this names the whole content.
    Hash128 root_hash;
    std::uint32_t key_id = 0;  // reserved
    friend bool operator==(const SegmentEntry&, const SegmentEntry&) = default;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_INFO_H
