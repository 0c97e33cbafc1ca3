// The frame of a sealed segment: header, root, directory, page tables. Specified in
// schemas/segment.md. Pure: bytes in, fields out.
#ifndef KLOG_SEGMENT_SEGMENT_FORMAT_H
#define KLOG_SEGMENT_SEGMENT_FORMAT_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"
#include "segment/segment_info.h"
#include "topic/topic_count.h"

namespace klog {

inline constexpr std::uint32_t kSegmentFormat = 1;
inline constexpr std::string_view kSegmentWriter = "klog 0.1.0";
inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kSegmentTrailerBytes = 128;
inline constexpr std::size_t kSegmentStatisticsBytes = 144;
inline constexpr std::size_t kSegmentRootBytesMax = 64U * 1024;

// Limits of what a reader takes into memory at once, unpacked.
inline constexpr std::size_t kSegmentPageBytesMax = 8U << 20U;
inline constexpr std::size_t kSegmentTableBytesMax = 8U << 20U;
inline constexpr std::size_t kSegmentDictionaryBytesMax = 1U << 20U;
inline constexpr std::size_t kSegmentLineageBytesMax = 1U << 20U;
inline constexpr std::size_t kSegmentPartitionsBytes = 24;
inline constexpr std::uint32_t kSegmentBlocksMax = 1U << 22U;
// Each page of the block index holds so many, but for the last one.
inline constexpr std::uint32_t kSegmentIndexPageBlocks = 128;

enum class SegmentCodec : std::uint8_t { plain = 0, zstd = 1, zstd_dictionary = 2 };

// Stored: never renumber. A paged section is followed by its table.
enum class SectionType : std::uint16_t {
    statistics = 1,
    blocks = 2,
    dictionary = 3,
    partitions = 4,
    index_pages = 5,
    index_table = 6,
    topic_pages = 7,
    topic_table = 8,
    key_pages = 9,
    key_table = 10,
    filter_pages = 11,
    filter_table = 12,
    id_pages = 13,
    id_table = 14,
    residue_head_pages = 15,
    residue_head_table = 16,
    residue_id_pages = 17,
    residue_id_table = 18,
    lineage = 19,
};
inline constexpr std::uint16_t kSectionTypes = 20;  // types from 1 to below this are known
[[nodiscard]] std::string_view section_name(SectionType type);
[[nodiscard]] constexpr SectionType table_of(SectionType pages) {
    return static_cast<SectionType>(static_cast<std::uint16_t>(pages) + 1);
}
// A reader that does not know it cannot read the segment rightly.
[[nodiscard]] bool section_is_critical(SectionType type);

struct SectionRef {
    std::uint16_t type = 0;
    bool critical = false;
    std::uint8_t codec = 0;
    std::uint32_t key_id = 0;  // reserved
    std::uint32_t crc = 0;     // of all its bytes as they are stored
    std::uint64_t offset = 0;
    std::uint64_t stored_bytes = 0;
    std::uint64_t unpacked_bytes = 0;
    std::uint64_t entries = 0;
};

struct SegmentRoot {
    std::uint32_t format = kSegmentFormat;
    std::uint32_t min_reader = kSegmentFormat;
    std::uint64_t incompatible_bits = 0;
    std::uint64_t compatible_bits = 0;
    std::string writer = std::string(kSegmentWriter);
    SegmentStats stats;
    TopicCount plain;  // records whose topic does not begin with $
    std::uint32_t blocks = 0;
    std::vector<SectionRef> sections;  // in the order of the file; without the statistics

    // Precondition: decode_root gave it, which sees to it that all known sections are there.
    [[nodiscard]] const SectionRef& section(SectionType type) const;
};

// kSegmentHeaderBytes bytes, told by the statistics.
[[nodiscard]] std::string encode_segment_header(const SegmentStats& stats);

// directory_offset: where the root begins. Adds the entry of the statistics itself.
[[nodiscard]] std::string encode_root(const SegmentRoot& root, std::uint64_t directory_offset);

// Of one partition: all blocks, all hashes.
[[nodiscard]] std::string encode_partitions(std::uint32_t blocks);

// What the set of segments keeps of a root. key: the store's.
[[nodiscard]] Hash128 segment_root_hash(const HashKey& key, std::string_view root);

// How long the root is, from the last kSegmentTrailerBytes bytes of the file. Errors: corrupt.
[[nodiscard]] Result<std::uint32_t> root_bytes_of(std::string_view trailer,
                                                  std::uint64_t file_bytes,
                                                  const std::string& path);
// `bytes`: the root. Sections fill the file without holes, all known ones are there, and no size
// claims more than the bytes can hold. Errors: corrupt, format_unknown (names the writer).
[[nodiscard]] Result<SegmentRoot> decode_root(std::string_view bytes, std::uint64_t file_bytes,
                                              const std::string& path);

// Whether so many stored bytes can become so many: zstd makes at most 128 KiB of 4 bytes.
[[nodiscard]] bool size_is_justified(std::uint64_t unpacked_bytes, std::uint64_t stored_bytes,
                                     std::uint8_t codec);

[[nodiscard]] Error segment_corrupt(const std::string& path, std::uint64_t offset,
                                    std::string_view what);
[[nodiscard]] Error segment_unknown(const std::string& path, std::string_view writer,
                                    std::string_view what);

// One page of a paged section.
struct PageRef {
    std::uint64_t offset = 0;
    std::uint32_t stored_bytes = 0;
    std::uint32_t unpacked_bytes = 0;
    std::uint32_t entries = 0;
    std::uint32_t crc = 0;
    std::uint8_t codec = 0;
};

// The pages of a section, with the least key of each. Keys compare as bytes.
struct PageTable {
    std::vector<PageRef> pages;
    std::string keys;
    std::vector<std::uint32_t> key_ends;

    [[nodiscard]] std::string_view key(std::size_t page) const;
    void add(const PageRef& page, std::string_view key);
    // The last page whose key is <= key; 0 where there is none.
    [[nodiscard]] std::size_t page_of(std::string_view key) const;
};

[[nodiscard]] std::string encode_table(const PageTable& table);
// pages: the section that the table is of. Errors: corrupt.
[[nodiscard]] Result<PageTable> decode_table(std::string_view bytes, const SectionRef& pages,
                                             const std::string& path);

// Big endian, so that bytes compare as numbers do.
void put_big_endian(std::string& out, std::uint64_t v);
// Precondition: bytes.size() >= 8.
[[nodiscard]] std::uint64_t load_big_endian(std::string_view bytes);
[[nodiscard]] std::string big_endian(std::uint64_t v);

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_FORMAT_H
