// The bytes of a run, as specified in schemas/run.md. Pure: bytes in, fields out.
//
// A run is a header, then three tables (heads, ids, sessions). A table is its entries, sorted by
// hash and cut into buckets, the number of each bucket's first entry, and a filter over its hashes.
// Which bucket a hash belongs to follows from the hash, since hashes are evenly spread. Everything
// is covered by a CRC32C; a bucket's is seeded with the store, the run's number and the bucket's
// place, so that one that was written elsewhere is not taken for this one.
#ifndef KLOG_INDEX_RUN_FORMAT_H
#define KLOG_INDEX_RUN_FORMAT_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/coding.h"
#include "base/siphash.h"
#include "index/runs.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

inline constexpr std::uint32_t kRunFormat = 2;
inline constexpr std::size_t kRunHeaderBytes = 4096;
inline constexpr std::size_t kRunHashBytes = 16;
inline constexpr std::size_t kRunBucketEntries = 8;  // on average
inline constexpr std::size_t kRunBucketCrcBytes = 4;
inline constexpr std::size_t kRunStartBytes = 4;             // per bucket
inline constexpr std::uint64_t kRunEntriesMax = UINT32_MAX;  // of a table
inline constexpr std::size_t kRunFilterBlockBytes = 64;      // one cache line
inline constexpr std::size_t kRunFilterBitsPerKey = 12;
inline constexpr std::size_t kRunTables = 3;
inline constexpr std::size_t kRunNumbersMax = 4;

enum class RunTable : std::uint8_t { heads = 0, ids = 1, sessions = 2 };

// What an entry has behind its hash, before it is packed: a digest (ids only), then numbers.
struct RunFields {
    Hash128 digest;
    std::array<std::uint64_t, kRunNumbersMax> numbers{};
};
inline constexpr std::array<std::size_t, kRunTables> kRunNumbers{2, 3, 4};
inline constexpr std::array<std::size_t, kRunTables> kRunFixedBytes{
    kRunHashBytes, 2 * kRunHashBytes, kRunHashBytes};
// Whoever stores or loads an entry may touch this many bytes behind it.
inline constexpr std::size_t kRunEntrySlackBytes = 8;

// Where a table lies. The sections stand one behind the other: entries, starts, filter.
struct RunSection {
    std::uint64_t count = 0;
    std::uint64_t buckets = 0;
    std::uint64_t entries_offset = 0;
    std::uint64_t starts_offset = 0;
    std::uint64_t filter_offset = 0;
    std::uint64_t filter_bytes = 0;
    std::uint32_t starts_crc = 0;
    std::uint32_t filter_crc = 0;
    // Of each number: it is stored less the least, in as many bytes as the greatest takes so.
    std::array<std::uint64_t, kRunNumbersMax> least{};
    std::array<std::uint64_t, kRunNumbersMax> greatest{};
};

// Widens `least` and `greatest`; `first` says that nothing was noted before.
void run_note_numbers(RunSection& section, const RunFields& fields, bool first);

// How the entries of a table are packed.
struct RunLayout {
    std::size_t fixed_bytes = kRunHashBytes;
    std::size_t numbers = 0;
    std::size_t entry_bytes = 0;
    std::array<std::uint64_t, kRunNumbersMax> least{};
    std::array<std::size_t, kRunNumbersMax> widths{};  // bytes of each number
    std::array<std::uint64_t, kRunNumbersMax> masks{};
};
[[nodiscard]] RunLayout run_layout(RunTable table, const RunSection& section);

[[nodiscard]] constexpr std::uint64_t run_part_of(std::uint64_t hash, std::uint64_t parts) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(hash) * parts) >> 64U);
}
// The bucket of a hash: buckets ascend as hashes do.
[[nodiscard]] constexpr std::uint64_t run_bucket_of(Hash128 hash, std::uint64_t buckets) {
    return run_part_of(hash.hi, buckets);
}
// Of a table that will hold keys_max entries at the most.
[[nodiscard]] constexpr std::uint64_t run_buckets(std::uint64_t keys_max) {
    return keys_max / kRunBucketEntries + 1;
}

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
// the writer; also of format 1, which is not read any more). `path` is for messages.
[[nodiscard]] Result<RunHeader> decode_run_header(std::string_view bytes, const std::string& path);

// Seeds the checksum of a bucket; of starts and a filter, with numbers that no bucket has.
inline constexpr std::uint64_t kRunStartsBucket = UINT64_MAX;
inline constexpr std::uint64_t kRunFilterBucket = UINT64_MAX - 1;
[[nodiscard]] std::uint32_t run_file_seed(const std::array<std::uint8_t, 16>& store_uuid,
                                          std::uint64_t number);
[[nodiscard]] std::uint32_t run_section_seed(std::uint32_t file_seed, RunTable table,
                                             std::uint64_t bucket);

// `out` and `at` have layout.entry_bytes and kRunEntrySlackBytes behind them.
inline void store_run_entry(const RunLayout& layout, Hash128 hash, const RunFields& fields,
                            char* out) {
    std::memcpy(out, &hash.hi, sizeof hash.hi);
    std::memcpy(out + 8, &hash.lo, sizeof hash.lo);
    if (layout.fixed_bytes > kRunHashBytes) {
        std::memcpy(out + 16, &fields.digest.hi, sizeof hash.hi);
        std::memcpy(out + 24, &fields.digest.lo, sizeof hash.lo);
    }
    out += layout.fixed_bytes;
    for (std::size_t i = 0; i < layout.numbers; ++i) {
        const std::uint64_t number = fields.numbers[i] - layout.least[i];
        KLOG_ASSERT((number & ~layout.masks[i]) == 0);
        std::memcpy(out, &number, sizeof number);  // both architectures are little endian
        out += layout.widths[i];
    }
}
[[nodiscard]] inline Hash128 load_run_hash(const char* at) {
    return Hash128{load_fixed<std::uint64_t>(at), load_fixed<std::uint64_t>(at + 8)};
}
[[nodiscard]] inline RunFields load_run_fields(const RunLayout& layout, const char* at) {
    RunFields fields;
    if (layout.fixed_bytes > kRunHashBytes) fields.digest = load_run_hash(at + kRunHashBytes);
    at += layout.fixed_bytes;
    for (std::size_t i = 0; i < layout.numbers; ++i) {
        fields.numbers[i] = (load_fixed<std::uint64_t>(at) & layout.masks[i]) + layout.least[i];
        at += layout.widths[i];
    }
    return fields;
}

template <class Entry>
struct RunEntry;
template <>
struct RunEntry<HeadEntry> {
    static constexpr RunTable kTable = RunTable::heads;
    // Precondition: version < 2^62; the state stands below it.
    [[nodiscard]] static RunFields fields(const HeadEntry& entry);
    [[nodiscard]] static HeadEntry entry(const RunFields& fields);
};
template <>
struct RunEntry<IdEntry> {
    static constexpr RunTable kTable = RunTable::ids;
    [[nodiscard]] static RunFields fields(const IdEntry& entry);
    [[nodiscard]] static IdEntry entry(const RunFields& fields);
};
template <>
struct RunEntry<SessionEntry> {
    static constexpr RunTable kTable = RunTable::sessions;
    [[nodiscard]] static RunFields fields(const SessionEntry& entry);
    [[nodiscard]] static SessionEntry entry(const RunFields& fields);
};

// A blocked Bloom filter: the bits of a hash lie in one cache line, the lines ascend as hashes do.
// About 0.6 % of absent hashes pass; no hash that was added is ever missed.
// Bytes of a filter for `keys` hashes; 0 for none.
[[nodiscard]] std::uint64_t run_filter_bytes(std::uint64_t keys);
// Where the bits of a hash lie. Precondition: filter_bytes is a multiple of kRunFilterBlockBytes.
[[nodiscard]] inline std::size_t run_filter_block_at(std::size_t filter_bytes, Hash128 hash) {
    return static_cast<std::size_t>(run_part_of(hash.hi, filter_bytes / kRunFilterBlockBytes)) *
           kRunFilterBlockBytes;
}
// Precondition of both: filter.size() is a multiple of kRunFilterBlockBytes.
void run_filter_add(std::string& filter, Hash128 hash);
// False where the filter is empty.
[[nodiscard]] bool run_filter_may_hold(std::string_view filter, Hash128 hash);

// Sorts by hash what has evenly spread hashes, as keyed ones are: into as many bins as there are
// items, then each bin. hash_of gives the Hash128 of an item.
template <class Item, class HashOf>
void sort_by_spread_hash(std::vector<Item>& items, const HashOf& hash_of) {
    const std::size_t bins = items.size();
    std::vector<std::uint32_t> ends(bins + 1);
    const auto bin_of = [&](const Item& item) { return run_part_of(hash_of(item).hi, bins); };
    for (const Item& item : items) ++ends[bin_of(item) + 1];
    for (std::size_t i = 0; i < bins; ++i) ends[i + 1] += ends[i];
    std::vector<Item> sorted(items.size());
    for (Item& item : items) sorted[ends[bin_of(item)]++] = std::move(item);  // begin to end
    std::uint32_t begin = 0;
    for (std::size_t i = 0; i < bins; ++i) {
        const std::uint32_t end = ends[i];
        if (end - begin > 1) {
            std::sort(sorted.begin() + begin, sorted.begin() + end,
                      [&](const Item& a, const Item& b) { return hash_of(a) < hash_of(b); });
        }
        begin = end;
    }
    items = std::move(sorted);
}

// 20 digits and ".run"; and the number of such a name, 0 for any other name.
[[nodiscard]] std::string run_file_name(std::uint64_t number);
[[nodiscard]] std::uint64_t run_number_of(std::string_view name);

}  // namespace klog

#endif  // KLOG_INDEX_RUN_FORMAT_H
