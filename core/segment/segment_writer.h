// Writes one sealed segment: blocks of records, packed, then the footer. Format:
// schemas/segment.md.
//
// Memory: what is gathered for the footer, about 12 bytes a record with a key or an id and a
// topic's text and postings once; the records from which the dictionary is trained, twice
// (training_bytes).
//
// Threads: one at a time.
#ifndef KLOG_SEGMENT_SEGMENT_WRITER_H
#define KLOG_SEGMENT_SEGMENT_WRITER_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"
#include "segment/segment_info.h"

namespace klog {

// zstd's levels; core/README.md has the measurement. Sealing follows the writers, merging has time.
inline constexpr int kSealLevel = 1;
inline constexpr int kMergeLevel = 9;

struct SegmentWriterOptions {
    int level = kSealLevel;
    // A block is closed past this size, unpacked.
    std::uint32_t block_bytes = 16 * 1024;
    std::uint32_t dictionary_bytes_max = 32 * 1024;  // 0: none
    // The dictionary is made from the first payloads of a segment, which are kept until then.
    std::uint32_t training_bytes = 1U << 20U;
};
inline constexpr SegmentWriterOptions kSealOptions{};
inline constexpr SegmentWriterOptions kMergeOptions{kMergeLevel, 16 * 1024, 112 * 1024, 8U << 20U};

// Where a segment comes from.
struct SegmentLineage {
    std::vector<std::uint64_t> inputs;  // segment_ids that were merged; empty: from the WAL
    std::uint64_t wal_first = 0;        // or the WAL files that were sealed
    std::uint64_t wal_last = 0;
    std::uint64_t purge_seq = 0;   // reserved
    std::uint64_t policy_seq = 0;  // reserved
};

struct SegmentIdentity {
    StoreUuid store_uuid{};
    HashKey hash_key{};
    LogId log_id = LogId::default_log;
    std::uint64_t segment_id = 0;
    std::uint32_t generation = 0;
};

class SegmentWriter {
public:
    virtual ~SegmentWriter() = default;  // without finish(): the file stays, and means nothing

    // Makes the file at `path`, replacing a left-over. Errors: disk_full, io.
    [[nodiscard]] static Result<std::unique_ptr<SegmentWriter>> create(
        Env& env, const std::string& path, const SegmentIdentity& identity,
        const SegmentWriterOptions& options);

    // Seqs rise, times do not fall. Views are not kept. Errors: disk_full, io, too_many (a footer
    // past its limits).
    virtual Status add(const RecordView& record) = 0;

    // The unpacked bytes so far: for whoever decides how large a segment becomes.
    [[nodiscard]] virtual std::uint64_t payload_bytes() const = 0;

    // Writes the footer and syncs the file (not its folder). `covered` holds every seq that was
    // added. Nothing can be added afterwards.
    [[nodiscard]] virtual Result<SegmentEntry> finish(const SeqRange& covered,
                                                      const SegmentLineage& lineage) = 0;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_WRITER_H
