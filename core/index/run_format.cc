#include "index/run_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kMagic = "KLOGRUN\x1a";
constexpr std::size_t kHeaderCrcAt = kRunHeaderBytes - sizeof(std::uint32_t);
constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 60U;
constexpr std::uint32_t kOldestFormatRead = 2;
constexpr unsigned kStateBits = 2;
constexpr std::uint64_t kStateMask = (std::uint64_t{1} << kStateBits) - 1;
constexpr std::uint64_t kVersionMax = UINT64_MAX >> kStateBits;
constexpr unsigned kFilterProbes = 6;
constexpr unsigned kFilterProbeBits = 9;  // 2^9 bits are one block of the filter
constexpr std::size_t kNumberDigits = 20;
constexpr std::string_view kSuffix = ".run";

Error corrupt(const std::string& path, std::string_view what) {
    return Error{Code::corrupt, fmt::format("run {}: {}", path, what),
                 "a run is rebuilt from the log"};
}

template <class T>
void store_fixed(char* out, T v) {
    std::memcpy(out, &v, sizeof v);
}

// Sections lie one behind the other and nothing else is in the file.
bool layout_holds(const RunHeader& header) {
    if (header.file_bytes > kFileBytesMax) return false;
    std::uint64_t at = kRunHeaderBytes;
    for (std::size_t i = 0; i < kRunTables; ++i) {
        const RunSection& section = header.sections[i];
        // With these and kFileBytesMax nothing below can overflow.
        if (section.count > kRunEntriesMax) return false;
        if (section.buckets > header.file_bytes) return false;
        if (section.filter_bytes > header.file_bytes) return false;
        for (std::size_t n = 0; n < kRunNumbersMax; ++n) {
            if (section.least[n] > section.greatest[n]) return false;
        }
        const std::size_t entry_bytes = run_layout(static_cast<RunTable>(i), section).entry_bytes;
        if (section.entries_offset != at) return false;
        at += section.count * entry_bytes + section.buckets * kRunBucketCrcBytes;
        if (section.starts_offset != at) return false;
        at += section.buckets * kRunStartBytes;
        if (section.filter_offset != at) return false;
        if (section.filter_bytes % kRunFilterBlockBytes != 0) return false;
        if ((section.filter_bytes == 0) != (section.count == 0)) return false;
        if ((section.buckets == 0) != (section.count == 0)) return false;
        at += section.filter_bytes;
        if (at > header.file_bytes) return false;
    }
    return at == header.file_bytes;
}

void put_section(std::string& out, const RunSection& section) {
    put_fixed(out, section.count);
    put_fixed(out, section.buckets);
    put_fixed(out, section.entries_offset);
    put_fixed(out, section.starts_offset);
    put_fixed(out, section.filter_offset);
    put_fixed(out, section.filter_bytes);
    put_fixed(out, section.starts_crc);
    put_fixed(out, section.filter_crc);
    for (const std::uint64_t number : section.least) put_fixed(out, number);
    for (const std::uint64_t number : section.greatest) put_fixed(out, number);
}

RunSection read_section(ByteReader& in) {
    RunSection section;
    section.count = in.fixed<std::uint64_t>();
    section.buckets = in.fixed<std::uint64_t>();
    section.entries_offset = in.fixed<std::uint64_t>();
    section.starts_offset = in.fixed<std::uint64_t>();
    section.filter_offset = in.fixed<std::uint64_t>();
    section.filter_bytes = in.fixed<std::uint64_t>();
    section.starts_crc = in.fixed<std::uint32_t>();
    section.filter_crc = in.fixed<std::uint32_t>();
    for (std::uint64_t& number : section.least) number = in.fixed<std::uint64_t>();
    for (std::uint64_t& number : section.greatest) number = in.fixed<std::uint64_t>();
    return section;
}

}  // namespace

void run_note_numbers(RunSection& section, const RunFields& fields, bool first) {
    for (std::size_t i = 0; i < kRunNumbersMax; ++i) {
        const std::uint64_t number = fields.numbers[i];
        section.least[i] = first ? number : std::min(section.least[i], number);
        section.greatest[i] = first ? number : std::max(section.greatest[i], number);
    }
}

RunLayout run_layout(RunTable table, const RunSection& section) {
    RunLayout layout;
    layout.fixed_bytes = kRunFixedBytes[static_cast<std::size_t>(table)];
    layout.numbers = kRunNumbers[static_cast<std::size_t>(table)];
    layout.entry_bytes = layout.fixed_bytes;
    for (std::size_t i = 0; i < layout.numbers; ++i) {
        layout.least[i] = section.least[i];
        const auto bits =
            static_cast<std::size_t>(std::bit_width(section.greatest[i] - section.least[i]));
        layout.widths[i] = (bits + 7) / 8;
        layout.masks[i] =
            bits == 0 ? 0 : UINT64_MAX >> (64U - 8U * static_cast<unsigned>(layout.widths[i]));
        layout.entry_bytes += layout.widths[i];
    }
    return layout;
}

std::string encode_run_header(const RunHeader& header) {
    std::string out;
    out.reserve(kRunHeaderBytes);
    out.append(kMagic);
    put_fixed(out, header.format);
    put_fixed(out, header.min_reader);
    put_fixed(out, header.incompatible_bits);
    put_fixed(out, header.compatible_bits);
    std::string writer = header.writer;
    writer.resize(kRunWriterBytes, '\0');
    out.append(writer);
    for (const std::uint8_t byte : header.store_uuid) put_u8(out, byte);
    put_fixed(out, header.number);
    put_fixed(out, header.covered_after.value);
    put_fixed(out, header.covered_upto.value);
    put_fixed(out, header.last_time.micros);
    put_fixed(out, header.wal_id);
    put_fixed(out, header.wal_offset);
    put_fixed(out, header.settings_seq);
    put_fixed(out, header.file_bytes);
    for (const RunSection& section : header.sections) put_section(out, section);
    KLOG_ASSERT(out.size() <= kHeaderCrcAt);
    out.resize(kHeaderCrcAt, '\0');
    put_fixed(out, crc32c(out));
    return out;
}

Result<RunHeader> decode_run_header(std::string_view bytes, const std::string& path) {
    if (bytes.size() < kRunHeaderBytes) return corrupt(path, "shorter than its header");
    bytes = bytes.substr(0, kRunHeaderBytes);
    if (bytes.substr(0, kMagic.size()) != kMagic) return corrupt(path, "not a run (offset 0)");
    if (crc32c(bytes.substr(0, kHeaderCrcAt)) !=
        load_fixed<std::uint32_t>(bytes.data() + kHeaderCrcAt)) {
        return corrupt(path, "the header fails its checksum (offset 0)");
    }
    ByteReader in(bytes.substr(kMagic.size()));
    RunHeader header;
    header.format = in.fixed<std::uint32_t>();
    header.min_reader = in.fixed<std::uint32_t>();
    header.incompatible_bits = in.fixed<std::uint64_t>();
    header.compatible_bits = in.fixed<std::uint64_t>();
    const std::string_view writer = in.raw(kRunWriterBytes);
    header.writer = writer.substr(0, writer.find('\0'));
    if (header.min_reader > kRunFormat || header.incompatible_bits != 0) {
        return Error{Code::format_unknown,
                     fmt::format("run {}: written by {}, in a form that {} does not know", path,
                                 header.writer, kRunWriter),
                     "a run is rebuilt from the log"};
    }
    if (header.format < kOldestFormatRead) {
        return Error{Code::format_unknown,
                     fmt::format("run {}: written by {} in format {}, which is not read any more",
                                 path, header.writer, header.format),
                     "a run is rebuilt from the log"};
    }
    for (std::uint8_t& byte : header.store_uuid) byte = in.u8();
    header.number = in.fixed<std::uint64_t>();
    header.covered_after.value = in.fixed<std::uint64_t>();
    header.covered_upto.value = in.fixed<std::uint64_t>();
    header.last_time.micros = in.fixed<std::int64_t>();
    header.wal_id = in.fixed<std::uint64_t>();
    header.wal_offset = in.fixed<std::uint64_t>();
    header.settings_seq = in.fixed<std::uint64_t>();
    header.file_bytes = in.fixed<std::uint64_t>();
    for (RunSection& section : header.sections) section = read_section(in);
    if (!layout_holds(header)) return corrupt(path, "its sections do not fit its size");
    if (header.covered_after > header.covered_upto) {
        return corrupt(path, "the range that it covers is reversed");
    }
    return header;
}

std::uint32_t run_file_seed(const std::array<std::uint8_t, 16>& store_uuid, std::uint64_t number) {
    std::string bytes;
    for (const std::uint8_t byte : store_uuid) put_u8(bytes, byte);
    put_fixed(bytes, number);
    return crc32c(bytes);
}

std::uint32_t run_section_seed(std::uint32_t file_seed, RunTable table, std::uint64_t bucket) {
    char bytes[sizeof(std::uint64_t) + 1];
    bytes[0] = static_cast<char>(table);
    store_fixed(bytes + 1, bucket);
    return crc32c(std::string_view(bytes, sizeof bytes), file_seed);
}

RunFields RunEntry<HeadEntry>::fields(const HeadEntry& entry) {
    KLOG_ASSERT(entry.version.value <= kVersionMax);
    RunFields out;
    out.numbers[0] = entry.version.value << kStateBits | static_cast<std::uint64_t>(entry.state);
    out.numbers[1] = entry.last_seq.value;
    return out;
}

HeadEntry RunEntry<HeadEntry>::entry(const RunFields& fields) {
    return HeadEntry{static_cast<EntityState>(fields.numbers[0] & kStateMask),
                     Version{fields.numbers[0] >> kStateBits}, Seq{fields.numbers[1]}};
}

RunFields RunEntry<IdEntry>::fields(const IdEntry& entry) {
    return RunFields{
        entry.digest,
        {entry.seq.value, entry.version.value, static_cast<std::uint64_t>(entry.time.micros), 0}};
}

IdEntry RunEntry<IdEntry>::entry(const RunFields& fields) {
    return IdEntry{fields.digest, Seq{fields.numbers[0]}, Version{fields.numbers[1]},
                   Time{static_cast<std::int64_t>(fields.numbers[2])}};
}

RunFields RunEntry<SessionEntry>::fields(const SessionEntry& entry) {
    return RunFields{{},
                     {entry.highest_line, entry.seq.value, entry.version.value,
                      static_cast<std::uint64_t>(entry.time.micros)}};
}

SessionEntry RunEntry<SessionEntry>::entry(const RunFields& fields) {
    return SessionEntry{fields.numbers[0], Seq{fields.numbers[1]}, Version{fields.numbers[2]},
                        Time{static_cast<std::int64_t>(fields.numbers[3])}};
}

std::uint64_t run_filter_bytes(std::uint64_t keys) {
    constexpr std::uint64_t kBlockBits = kRunFilterBlockBytes * 8;
    return (keys * kRunFilterBitsPerKey + kBlockBits - 1) / kBlockBits * kRunFilterBlockBytes;
}

void run_filter_add(std::string& filter, Hash128 hash) {
    const std::size_t block = run_filter_block_at(filter.size(), hash);
    std::uint64_t bits = hash.lo;
    for (unsigned i = 0; i < kFilterProbes; ++i, bits >>= kFilterProbeBits) {
        char& byte = filter[block + ((bits >> 3U) & (kRunFilterBlockBytes - 1))];
        byte = static_cast<char>(static_cast<unsigned char>(byte) | (1U << (bits & 7U)));
    }
}

bool run_filter_may_hold(std::string_view filter, Hash128 hash) {
    if (filter.empty()) return false;
    const std::size_t block = run_filter_block_at(filter.size(), hash);
    std::uint64_t bits = hash.lo;
    // All of them, since a branch at each is guessed wrong half of the time.
    unsigned all = 1;
    for (unsigned i = 0; i < kFilterProbes; ++i, bits >>= kFilterProbeBits) {
        const auto byte =
            static_cast<unsigned char>(filter[block + ((bits >> 3U) & (kRunFilterBlockBytes - 1))]);
        all &= static_cast<unsigned>(byte) >> (bits & 7U);
    }
    return (all & 1U) != 0;
}

std::string run_file_name(std::uint64_t number) { return fmt::format("{:020}{}", number, kSuffix); }

std::uint64_t run_number_of(std::string_view name) {
    if (name.size() != kNumberDigits + kSuffix.size() || !name.ends_with(kSuffix)) return 0;
    std::uint64_t number = 0;
    for (const char c : name.substr(0, kNumberDigits)) {
        if (c < '0' || c > '9') return 0;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (number > (UINT64_MAX - digit) / 10) return 0;
        number = number * 10 + digit;
    }
    return number;
}

}  // namespace klog
