#include "segment/segment_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kMagic = "KLOGSEG\n";
constexpr std::size_t kDirectoryEntryBytes = 48;
constexpr std::size_t kWriterBytes = 64;  // with the terminating zero
constexpr std::size_t kHeaderCrcAt = kSegmentHeaderBytes - 4;
constexpr std::size_t kTrailerReservedBytes = 12;
constexpr std::size_t kTrailerMagicAt = kSegmentTrailerBytes - 8;
constexpr std::size_t kTrailerCrcAt = kTrailerMagicAt - 4;
constexpr std::uint64_t kIncompatibleKnown = 0;
constexpr std::uint16_t kFlagCritical = 1;
constexpr std::size_t kTableEntryBytesMin = 9;  // key length, three varints, codec, crc
// What zstd makes of its smallest block, and that block.
constexpr std::uint64_t kZstdBlockBytes = 128U * 1024;
constexpr std::uint64_t kZstdBlockStoredBytesMin = 4;

void put_array(std::string& out, const std::array<std::uint8_t, 16>& bytes) {
    out.append(bytes.begin(), bytes.end());
}

void take_array(ByteReader& in, std::array<std::uint8_t, 16>& bytes) {
    const std::string_view raw = in.raw(bytes.size());
    std::copy(raw.begin(), raw.end(), bytes.begin());
}

std::string encode_statistics(const SegmentRoot& root) {
    const SegmentStats& stats = root.stats;
    std::string out;
    put_array(out, stats.store_uuid);
    put_array(out, stats.hash_key);
    put_fixed(out, static_cast<std::uint32_t>(stats.log_id));
    put_fixed(out, stats.generation);
    put_fixed(out, stats.segment_id);
    put_fixed(out, stats.covered.first.value);
    put_fixed(out, stats.covered.last.value);
    put_fixed(out, stats.held.first.value);
    put_fixed(out, stats.held.last.value);
    put_fixed(out, stats.records);
    put_fixed(out, stats.payload_bytes);
    put_fixed(out, stats.first_time.micros);
    put_fixed(out, stats.last_time.micros);
    put_fixed(out, std::uint64_t{root.blocks});
    put_fixed(out, root.plain.records);
    put_fixed(out, root.plain.first_seq.value);
    put_fixed(out, root.plain.last_seq.value);
    KLOG_ASSERT(out.size() == kSegmentStatisticsBytes);
    return out;
}

// nullptr: they can be so.
const char* impossible_counts(const SegmentRoot& root, std::uint64_t blocks_stored_bytes) {
    const SegmentStats& s = root.stats;
    const TopicCount& plain = root.plain;
    if (s.covered.first.value == 0 || s.covered.last < s.covered.first) {
        return "the range that it covers is none";
    }
    if (root.blocks > kSegmentBlocksMax || root.blocks > blocks_stored_bytes ||
        root.blocks > s.records) {
        return "it counts more blocks than it can hold";
    }
    if ((s.records == 0) != s.held.empty() || (s.records == 0) != (root.blocks == 0)) {
        return "its counts contradict each other";
    }
    if (s.records == 0) {
        return plain == TopicCount{} ? nullptr : "its counts contradict each other";
    }
    if (s.held.last < s.held.first || s.held.first < s.covered.first ||
        s.covered.last < s.held.last) {
        return "the range that it holds is not within the one that it covers";
    }
    if (s.records - 1 > s.held.last.value - s.held.first.value) {
        return "it counts more records than seqs";
    }
    if (s.last_time < s.first_time) return "its time goes back";
    if (plain.records > s.records || (plain.records == 0) != (plain.first_seq.value == 0) ||
        plain.last_seq < plain.first_seq ||
        (plain.records > 0 && (plain.first_seq < s.held.first || s.held.last < plain.last_seq))) {
        return "its counts contradict each other";
    }
    return nullptr;
}

Status decode_statistics(std::string_view bytes, std::uint64_t blocks_stored_bytes,
                         SegmentRoot& root, const std::string& path, std::uint64_t offset) {
    ByteReader in(bytes);
    SegmentStats& stats = root.stats;
    take_array(in, stats.store_uuid);
    take_array(in, stats.hash_key);
    const auto log = in.fixed<std::uint32_t>();
    if (log > static_cast<std::uint32_t>(LogId::default_log)) {
        return segment_unknown(path, root.writer, fmt::format("the log {}", log));
    }
    stats.log_id = static_cast<LogId>(log);
    stats.generation = in.fixed<std::uint32_t>();
    stats.segment_id = in.fixed<std::uint64_t>();
    stats.covered.first.value = in.fixed<std::uint64_t>();
    stats.covered.last.value = in.fixed<std::uint64_t>();
    stats.held.first.value = in.fixed<std::uint64_t>();
    stats.held.last.value = in.fixed<std::uint64_t>();
    stats.records = in.fixed<std::uint64_t>();
    stats.payload_bytes = in.fixed<std::uint64_t>();
    stats.first_time.micros = in.fixed<std::int64_t>();
    stats.last_time.micros = in.fixed<std::int64_t>();
    const auto blocks = in.fixed<std::uint64_t>();
    root.plain.records = in.fixed<std::uint64_t>();
    root.plain.first_seq.value = in.fixed<std::uint64_t>();
    root.plain.last_seq.value = in.fixed<std::uint64_t>();
    root.blocks = static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks, UINT32_MAX));
    if (!in.ok()) return segment_corrupt(path, offset, "the statistics are cut short");
    const char* const what = impossible_counts(root, blocks_stored_bytes);
    if (what != nullptr) return segment_corrupt(path, offset, what);
    return {};
}

void put_entry(std::string& out, const SectionRef& section) {
    put_fixed(out, section.type);
    put_fixed(out, section.critical ? kFlagCritical : std::uint16_t{0});
    put_u8(out, section.codec);
    out.append(3, '\0');
    put_fixed(out, section.key_id);
    put_fixed(out, section.crc);
    put_fixed(out, section.offset);
    put_fixed(out, section.stored_bytes);
    put_fixed(out, section.unpacked_bytes);
    put_fixed(out, section.entries);
}

SectionRef take_entry(ByteReader& in) {
    SectionRef section;
    section.type = in.fixed<std::uint16_t>();
    section.critical = (in.fixed<std::uint16_t>() & kFlagCritical) != 0;
    section.codec = in.u8();
    in.raw(3);
    section.key_id = in.fixed<std::uint32_t>();
    section.crc = in.fixed<std::uint32_t>();
    section.offset = in.fixed<std::uint64_t>();
    section.stored_bytes = in.fixed<std::uint64_t>();
    section.unpacked_bytes = in.fixed<std::uint64_t>();
    section.entries = in.fixed<std::uint64_t>();
    return section;
}

std::uint64_t unpacked_bytes_max(SectionType type) {
    switch (type) {
        case SectionType::statistics:
            return kSegmentRootBytesMax;
        case SectionType::dictionary:
            return kSegmentDictionaryBytesMax;
        case SectionType::lineage:
            return kSegmentLineageBytesMax;
        case SectionType::partitions:
            return kSegmentPartitionsBytes;
        case SectionType::index_table:
        case SectionType::topic_table:
        case SectionType::key_table:
        case SectionType::filter_table:
        case SectionType::id_table:
        case SectionType::residue_head_table:
        case SectionType::residue_id_table:
            return kSegmentTableBytesMax;
        default:  // read page by page, block by block
            return UINT64_MAX;
    }
}

Status check_section(const SectionRef& section, const SegmentRoot& root, const std::string& path) {
    const auto type = static_cast<SectionType>(section.type);
    const std::string name(section_name(type));
    if (section.codec > static_cast<std::uint8_t>(SegmentCodec::zstd)) {
        return segment_unknown(path, root.writer,
                               fmt::format("the codec {} of its {}", section.codec, name));
    }
    if (section.key_id != 0) {
        return segment_unknown(path, root.writer, fmt::format("encrypted {}", name));
    }
    if (section.unpacked_bytes > unpacked_bytes_max(type)) {
        return segment_corrupt(path, section.offset, fmt::format("its {} are too large", name));
    }
    if (unpacked_bytes_max(type) != UINT64_MAX &&
        !size_is_justified(section.unpacked_bytes, section.stored_bytes, section.codec)) {
        return segment_corrupt(path, section.offset,
                               fmt::format("its {} claim more than their bytes hold", name));
    }
    if (type == SectionType::partitions && section.entries != 1) {
        return segment_unknown(path, root.writer,
                               fmt::format("{} partitions by key", section.entries));
    }
    const bool residue =
        type == SectionType::residue_head_pages || type == SectionType::residue_id_pages;
    if (residue && section.entries != 0) {
        return segment_unknown(path, root.writer, "a residue of what was removed");
    }
    return {};
}

// Everything but the statistics, which begin behind the directory.
Status decode_directory(std::string_view directory, SegmentRoot& root, SectionRef& statistics,
                        std::uint64_t directory_offset, const std::string& path) {
    std::array<bool, kSectionTypes> seen{};
    std::uint64_t at = kSegmentHeaderBytes;
    ByteReader in(directory);
    while (in.left() > 0) {
        const SectionRef section = take_entry(in);
        const bool known = section.type > 0 && section.type < kSectionTypes;
        if (!known && section.critical) {
            return segment_unknown(path, root.writer,
                                   fmt::format("the critical section {}", section.type));
        }
        if (known && seen[section.type]) {
            return segment_corrupt(path, directory_offset, "a section is listed twice");
        }
        if (known) {
            seen[section.type] = true;
            KLOG_TRY(check_section(section, root, path));
        }
        if (section.type == static_cast<std::uint16_t>(SectionType::statistics)) {
            statistics = section;
            continue;
        }
        if (section.offset != at || section.stored_bytes > directory_offset - at) {
            return segment_corrupt(path, directory_offset, "its sections do not fit the file");
        }
        at += section.stored_bytes;
        root.sections.push_back(section);
    }
    if (at != directory_offset) {
        return segment_corrupt(path, directory_offset, "its sections do not fill the file");
    }
    for (std::uint16_t type = 1; type < kSectionTypes; ++type) {
        if (seen[type]) continue;
        return segment_corrupt(
            path, directory_offset,
            fmt::format("its {} are missing", section_name(static_cast<SectionType>(type))));
    }
    return {};
}

}  // namespace

std::string_view section_name(SectionType type) {
    switch (type) {
        case SectionType::statistics:
            return "statistics";
        case SectionType::blocks:
            return "blocks";
        case SectionType::dictionary:
            return "dictionary";
        case SectionType::partitions:
            return "partitions";
        case SectionType::index_pages:
            return "pages of the block index";
        case SectionType::index_table:
            return "table of the block index";
        case SectionType::topic_pages:
            return "pages of topics";
        case SectionType::topic_table:
            return "table of topics";
        case SectionType::key_pages:
            return "pages of keys";
        case SectionType::key_table:
            return "table of keys";
        case SectionType::filter_pages:
            return "pages of the filter";
        case SectionType::filter_table:
            return "table of the filter";
        case SectionType::id_pages:
            return "pages of ids";
        case SectionType::id_table:
            return "table of ids";
        case SectionType::residue_head_pages:
            return "pages of residue heads";
        case SectionType::residue_head_table:
            return "table of residue heads";
        case SectionType::residue_id_pages:
            return "pages of residue ids";
        case SectionType::residue_id_table:
            return "table of residue ids";
        case SectionType::lineage:
            return "lineage";
    }
    return "unknown section";
}

bool section_is_critical(SectionType type) {
    switch (type) {
        // Whoever does not know these finds everything all the same, only more slowly.
        case SectionType::topic_pages:
        case SectionType::topic_table:
        case SectionType::key_pages:
        case SectionType::key_table:
        case SectionType::filter_pages:
        case SectionType::filter_table:
        case SectionType::id_pages:
        case SectionType::id_table:
        case SectionType::lineage:
            return false;
        default:
            return true;
    }
}

const SectionRef& SegmentRoot::section(SectionType type) const {
    const auto found =
        std::find_if(sections.begin(), sections.end(), [type](const SectionRef& section) {
            return section.type == static_cast<std::uint16_t>(type);
        });
    KLOG_ASSERT(found != sections.end());
    return *found;
}

Error segment_corrupt(const std::string& path, std::uint64_t offset, std::string_view what) {
    return {Code::corrupt, fmt::format("segment {}: {} (offset {})", path, what, offset),
            "klog verify shows what else is damaged; restore the file from a copy"};
}

Error segment_unknown(const std::string& path, std::string_view writer, std::string_view what) {
    return {Code::format_unknown,
            fmt::format("segment {} was written by \"{}\" and has {}, which this version cannot "
                        "read",
                        path, writer, what),
            "open the directory with that version of klog or a later one"};
}

bool size_is_justified(std::uint64_t unpacked_bytes, std::uint64_t stored_bytes,
                       std::uint8_t codec) {
    if (codec == static_cast<std::uint8_t>(SegmentCodec::plain)) {
        return unpacked_bytes == stored_bytes;
    }
    return unpacked_bytes / kZstdBlockBytes <= stored_bytes / kZstdBlockStoredBytesMin;
}

std::string encode_segment_header(const SegmentStats& stats) {
    std::string out(kMagic);
    put_fixed(out, kSegmentFormat);
    put_fixed(out, kSegmentFormat);
    put_array(out, stats.store_uuid);
    put_fixed(out, static_cast<std::uint32_t>(stats.log_id));
    put_fixed(out, stats.generation);
    put_fixed(out, stats.segment_id);
    out.resize(kHeaderCrcAt);
    put_fixed(out, crc32c(out));
    return out;
}

std::string encode_root(const SegmentRoot& root, std::uint64_t directory_offset) {
    const std::string statistics = encode_statistics(root);
    SectionRef own;
    own.type = static_cast<std::uint16_t>(SectionType::statistics);
    own.critical = true;
    own.crc = crc32c(statistics);
    const std::size_t directory_bytes = (root.sections.size() + 1) * kDirectoryEntryBytes;
    own.offset = directory_offset + directory_bytes;
    own.stored_bytes = statistics.size();
    own.unpacked_bytes = statistics.size();
    own.entries = 1;
    std::string out;
    put_entry(out, own);
    for (const SectionRef& section : root.sections) put_entry(out, section);
    out += statistics;
    put_fixed(out, directory_offset);
    put_fixed(out, static_cast<std::uint32_t>(directory_bytes));
    put_fixed(out, std::uint32_t{0});
    put_fixed(out, root.incompatible_bits);
    put_fixed(out, root.compatible_bits);
    std::string writer = root.writer.substr(0, kWriterBytes - 1);
    writer.resize(kWriterBytes);
    out += writer;
    out.append(kTrailerReservedBytes, '\0');
    put_fixed(out, root.format);
    put_fixed(out, root.min_reader);
    put_fixed(out, crc32c(out));
    out += kMagic;
    return out;
}

std::string encode_partitions(std::uint32_t blocks) {
    std::string out;
    put_fixed(out, std::uint32_t{0});
    put_fixed(out, blocks);
    put_fixed(out, std::uint64_t{0});
    put_fixed(out, UINT64_MAX);
    KLOG_ASSERT(out.size() == kSegmentPartitionsBytes);
    return out;
}

Hash128 segment_root_hash(const HashKey& key, std::string_view root) {
    SipHash hash(key);
    hash.update(root);
    return hash.finish();
}

Result<std::uint32_t> root_bytes_of(std::string_view trailer, std::uint64_t file_bytes,
                                    const std::string& path) {
    KLOG_ASSERT(trailer.size() == kSegmentTrailerBytes && file_bytes >= trailer.size());
    const std::uint64_t trailer_at = file_bytes - kSegmentTrailerBytes;
    if (trailer.substr(kTrailerMagicAt) != kMagic) {
        return segment_corrupt(path, trailer_at, "it does not end as a segment does");
    }
    ByteReader in(trailer);
    const auto directory_offset = in.fixed<std::uint64_t>();
    if (directory_offset < kSegmentHeaderBytes || directory_offset > trailer_at ||
        file_bytes - directory_offset > kSegmentRootBytesMax) {
        return segment_corrupt(path, trailer_at, "its trailer points nowhere");
    }
    return static_cast<std::uint32_t>(file_bytes - directory_offset);
}

Result<SegmentRoot> decode_root(std::string_view bytes, std::uint64_t file_bytes,
                                const std::string& path) {
    if (bytes.size() < kSegmentTrailerBytes || file_bytes < bytes.size()) {
        return segment_corrupt(path, file_bytes, "it is too short for its root");
    }
    const std::string_view trailer = bytes.substr(bytes.size() - kSegmentTrailerBytes);
    KLOG_TRY_ASSIGN(const std::uint32_t root_bytes, root_bytes_of(trailer, file_bytes, path));
    const std::uint64_t directory_offset = file_bytes - root_bytes;
    if (root_bytes != bytes.size()) {
        return segment_corrupt(path, directory_offset, "its root has another size");
    }
    const std::string_view checked = bytes.substr(0, bytes.size() - sizeof(std::uint32_t) - 8);
    if (crc32c(checked) != load_fixed<std::uint32_t>(trailer.data() + kTrailerCrcAt)) {
        return segment_corrupt(path, directory_offset, "its root fails its checksum");
    }
    ByteReader in(trailer);
    in.fixed<std::uint64_t>();
    const auto directory_bytes = in.fixed<std::uint32_t>();
    in.fixed<std::uint32_t>();
    SegmentRoot root;
    root.incompatible_bits = in.fixed<std::uint64_t>();
    root.compatible_bits = in.fixed<std::uint64_t>();
    const std::string_view writer = in.raw(kWriterBytes);
    root.writer = writer.substr(0, writer.find('\0'));
    in.raw(kTrailerReservedBytes);
    root.format = in.fixed<std::uint32_t>();
    root.min_reader = in.fixed<std::uint32_t>();
    const std::uint64_t unknown = root.incompatible_bits & ~kIncompatibleKnown;
    if (root.min_reader > kSegmentFormat || unknown != 0) {
        return segment_unknown(path, root.writer,
                               fmt::format("format {}, for readers of format {} and up, and the "
                                           "unknown feature bits {}",
                                           root.format, root.min_reader, unknown));
    }
    if (directory_bytes % kDirectoryEntryBytes != 0 ||
        directory_bytes > bytes.size() - kSegmentTrailerBytes) {
        return segment_corrupt(path, directory_offset, "its directory has no size");
    }
    SectionRef statistics;
    KLOG_TRY(decode_directory(bytes.substr(0, directory_bytes), root, statistics, directory_offset,
                              path));
    const std::string_view rest =
        bytes.substr(directory_bytes, bytes.size() - kSegmentTrailerBytes - directory_bytes);
    if (statistics.offset != directory_offset + directory_bytes ||
        statistics.stored_bytes != rest.size() || statistics.codec != 0 ||
        statistics.crc != crc32c(rest)) {
        return segment_corrupt(path, statistics.offset, "its statistics are not where they belong");
    }
    KLOG_TRY(decode_statistics(rest, root.section(SectionType::blocks).stored_bytes, root, path,
                               statistics.offset));
    if (root.section(SectionType::blocks).entries != root.blocks ||
        root.section(SectionType::index_pages).entries != root.blocks) {
        return segment_corrupt(path, directory_offset, "its counts of blocks differ");
    }
    return root;
}

std::string_view PageTable::key(std::size_t page) const {
    const std::size_t begin = page == 0 ? 0 : key_ends[page - 1];
    return std::string_view(keys).substr(begin, key_ends[page] - begin);
}

void PageTable::add(const PageRef& page, std::string_view key) {
    pages.push_back(page);
    keys += key;
    key_ends.push_back(static_cast<std::uint32_t>(keys.size()));
}

std::size_t PageTable::page_of(std::string_view wanted) const {
    std::size_t low = 0;
    std::size_t high = pages.size();
    while (low + 1 < high) {
        const std::size_t middle = (low + high) / 2;
        (key(middle) <= wanted ? low : high) = middle;
    }
    return low;
}

std::string encode_table(const PageTable& table) {
    std::string out;
    put_varint(out, table.pages.size());
    for (std::size_t i = 0; i < table.pages.size(); ++i) {
        const PageRef& page = table.pages[i];
        put_bytes(out, table.key(i));
        put_varint(out, page.stored_bytes);
        put_varint(out, page.unpacked_bytes);
        put_varint(out, page.entries);
        put_u8(out, page.codec);
        put_fixed(out, page.crc);
    }
    return out;
}

Result<PageTable> decode_table(std::string_view bytes, const SectionRef& pages,
                               const std::string& path) {
    const auto broken = [&](const char* what) {
        return segment_corrupt(path, pages.offset + pages.stored_bytes, what);
    };
    ByteReader in(bytes);
    const std::uint64_t count = in.varint();
    if (!in.ok() || count > in.left() / kTableEntryBytesMin) {
        return broken("a page table claims more pages than it holds");
    }
    PageTable table;
    table.pages.reserve(static_cast<std::size_t>(count));
    table.key_ends.reserve(static_cast<std::size_t>(count));
    std::uint64_t at = 0;
    std::uint64_t entries = 0;
    std::string_view last;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::string_view key = in.bytes();
        const std::uint64_t stored = in.varint();
        const std::uint64_t unpacked = in.varint();
        const std::uint64_t held = in.varint();
        PageRef page;
        page.codec = in.u8();
        page.crc = in.fixed<std::uint32_t>();
        if (!in.ok()) return broken("a page table is cut short");
        // An entry takes a byte at least, so that whoever reserves by `entries` is safe.
        if (stored > pages.stored_bytes - at || unpacked > kSegmentPageBytesMax || held == 0 ||
            held > unpacked || page.codec > static_cast<std::uint8_t>(SegmentCodec::zstd) ||
            !size_is_justified(unpacked, stored, page.codec)) {
            return broken("a page table claims what cannot be");
        }
        if (i > 0 && !key.empty() && key <= last) return broken("a page table is out of order");
        last = key;
        page.offset = pages.offset + at;
        page.stored_bytes = static_cast<std::uint32_t>(stored);
        page.unpacked_bytes = static_cast<std::uint32_t>(unpacked);
        page.entries = static_cast<std::uint32_t>(held);
        at += stored;
        entries += held;
        table.add(page, key);
    }
    if (in.left() > 0 || at != pages.stored_bytes || entries != pages.entries) {
        return broken("a page table does not fit its pages");
    }
    return table;
}

void put_big_endian(std::string& out, std::uint64_t v) {
    for (unsigned shift = 64; shift > 0; shift -= 8) {
        out.push_back(static_cast<char>(v >> (shift - 8)));
    }
}

std::uint64_t load_big_endian(std::string_view bytes) {
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < 8; ++i) v = v << 8U | static_cast<unsigned char>(bytes[i]);
    return v;
}

std::string big_endian(std::uint64_t v) {
    std::string out;
    put_big_endian(out, v);
    return out;
}

}  // namespace klog
