// The bytes of a run, as specified in schemas/run.md. Pure: bytes in, fields out.
//
// A run is a header, then three tables (heads, ids, sessions). A table is a sequence of blocks of
// sorted entries of one size, the first hash of each block (the fence), and a filter over its
// hashes. Everything is covered by a CRC32C; a block's is seeded with the store, the run's number
// and the block's place, so that a block that was written elsewhere is not taken for this one.
#ifndef KLOG_INDEX_RUN_FORMAT_H
#define KLOG_INDEX_RUN_FORMAT_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/siphash.h"
#include "index/runs.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

inline constexpr std::uint32_t kRunFormat = 1;
inline constexpr std::size_t kRunHeaderBytes = 4096;
inline constexpr std::size_t kRunBlockBytes = 4096;
inline constexpr std::size_t kRunBlockCrcBytes = 4;
inline constexpr std::size_t kRunFenceBytes = 16;        // per block
inline constexpr std::size_t kRunFilterBlockBytes = 64;  // one cache line
inline constexpr std::size_t kRunFilterBitsPerKey = 10;
inline constexpr std::size_t kRunTables = 3;

enum class RunTable : std::uint8_t { heads = 0, ids = 1, sessions = 2 };

// Bytes of one entry, its hash included.
inline constexpr std::array<std::size_t, kRunTables> kRunEntryBytes{32, 56, 48};
inline constexpr std::size_t kRunEntryBytesMax = 56;

[[nodiscard]] constexpr std::size_t run_entry_bytes(RunTable table) {
    return kRunEntryBytes[static_cast<std::size_t>(table)];
}
[[nodiscard]] constexpr std::size_t run_entries_per_block(RunTable table) {
    return (kRunBlockBytes - kRunBlockCrcBytes) / run_entry_bytes(table);
}

// Zeros that fill a table up to a multiple of a block, so that each block lies in one page. They
// stand behind the filter and under its checksum.
[[nodiscard]] constexpr std::uint64_t run_padding(std::uint64_t offset) {
    return (kRunBlockBytes - offset % kRunBlockBytes) % kRunBlockBytes;
}

// Where a table lies. The sections stand one behind the other: blocks, fence, filter, padding.
struct RunSection {
    std::uint64_t count = 0;
    std::uint64_t blocks_offset = 0;
    std::uint64_t fence_offset = 0;
    std::uint64_t filter_offset = 0;
    std::uint64_t filter_bytes = 0;
    std::uint32_t fence_crc = 0;
    std::uint32_t filter_crc = 0;

    // Precondition: decoded by decode_run_header, or counts of that size.
    [[nodiscard]] std::uint64_t blocks(RunTable table) const {
        const std::uint64_t per_block = run_entries_per_block(table);
        return count / per_block + (count % per_block != 0 ? 1 : 0);
    }
};

struct RunHeader {
    std::uint32_t format = kRunFormat;
    std::uint32_t min_reader = kRunFormat;
    std::uint64_t incompatible_bits = 0;
    std::uint64_t compatible_bits = 0;
    std::string writer;  // such as "klog 0.1.0"; at most kRunWriterBytes
    std::array<std::uint8_t, 16> store_uuid{};
    std::uint64_t number = 0;
    Seq covered_after;
    Seq covered_upto;
    Time last_time;
    std::uint64_t wal_id = 0;
    std::uint64_t wal_offset = 0;
    std::uint64_t settings_seq = 0;
    std::uint64_t file_bytes = 0;
    std::array<RunSection, kRunTables> sections{};
};

inline constexpr std::size_t kRunWriterBytes = 64;
inline constexpr std::string_view kRunWriter = "klog 0.1.0";

// kRunHeaderBytes bytes.
[[nodiscard]] std::string encode_run_header(const RunHeader& header);
// Also checks that the sections lie where they must and fill file_bytes exactly, so that whoever
// knows the file to be of that size may allocate by them. Errors: corrupt, format_unknown (names
// the writer). `path` is for messages.
[[nodiscard]] Result<RunHeader> decode_run_header(std::string_view bytes, const std::string& path);

// Seeds the checksum of a block; of a fence and a filter, with numbers that no block has.
inline constexpr std::uint64_t kRunFenceBlock = UINT64_MAX;
inline constexpr std::uint64_t kRunFilterBlock = UINT64_MAX - 1;
[[nodiscard]] std::uint32_t run_file_seed(const std::array<std::uint8_t, 16>& store_uuid,
                                          std::uint64_t number);
[[nodiscard]] std::uint32_t run_section_seed(std::uint32_t file_seed, RunTable table,
                                             std::uint64_t block);

// Encoded entries. `out` and `at` hold run_entry_bytes(kTable) bytes.
void store_run_hash(Hash128 hash, char* out);
[[nodiscard]] Hash128 load_run_hash(const char* at);

template <class Entry>
struct RunEntry;
template <>
struct RunEntry<HeadEntry> {
    static constexpr RunTable kTable = RunTable::heads;
    // Precondition: version < 2^62, whose place the state takes.
    static void store(Hash128 hash, const HeadEntry& entry, char* out);
    [[nodiscard]] static HeadEntry load(const char* at);
};
template <>
struct RunEntry<IdEntry> {
    static constexpr RunTable kTable = RunTable::ids;
    static void store(Hash128 hash, const IdEntry& entry, char* out);
    [[nodiscard]] static IdEntry load(const char* at);
};
template <>
struct RunEntry<SessionEntry> {
    static constexpr RunTable kTable = RunTable::sessions;
    static void store(Hash128 hash, const SessionEntry& entry, char* out);
    [[nodiscard]] static SessionEntry load(const char* at);
};

// A blocked Bloom filter: the bits of a hash lie in one cache line. About 1.2 % of absent hashes
// pass; no hash that was added is ever missed.
// Bytes of a filter for `keys` hashes; 0 for none.
[[nodiscard]] std::uint64_t run_filter_bytes(std::uint64_t keys);
// Precondition of both: filter.size() is a multiple of kRunFilterBlockBytes.
void run_filter_add(std::string& filter, Hash128 hash);
// False where the filter is empty.
[[nodiscard]] bool run_filter_may_hold(std::string_view filter, Hash128 hash);

// 20 digits and ".run"; and the number of such a name, 0 for any other name.
[[nodiscard]] std::string run_file_name(std::uint64_t number);
[[nodiscard]] std::uint64_t run_number_of(std::string_view name);

}  // namespace klog

#endif  // KLOG_INDEX_RUN_FORMAT_H
