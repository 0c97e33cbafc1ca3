#include "index/run_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kMagic = "KLOGRUN\x1a";
constexpr std::size_t kHeaderCrcAt = kRunHeaderBytes - sizeof(std::uint32_t);
constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 60U;
constexpr unsigned kStateShift = 62;
constexpr std::uint64_t kVersionMask = (std::uint64_t{1} << kStateShift) - 1;
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
        const auto table = static_cast<RunTable>(i);
        const RunSection& section = header.sections[i];
        // With this and kFileBytesMax nothing below can overflow.
        if (section.count > header.file_bytes / kRunEntryBytes[i]) return false;
        const std::uint64_t blocks = section.blocks(table);
        if (section.blocks_offset != at) return false;
        at += blocks * kRunBlockBytes;
        if (section.fence_offset != at) return false;
        at += blocks * kRunFenceBytes;
        if (section.filter_offset != at) return false;
        if (section.filter_bytes > header.file_bytes) return false;
        if (section.filter_bytes % kRunFilterBlockBytes != 0) return false;
        if ((section.filter_bytes == 0) != (section.count == 0)) return false;
        at += section.filter_bytes;
        at += run_padding(at);
        if (at > header.file_bytes) return false;
    }
    return at == header.file_bytes;
}

}  // namespace

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
    for (std::size_t i = 0; i < kRunTables; ++i) {
        const RunSection& section = header.sections[i];
        put_fixed(out, section.count);
        put_fixed(out, section.blocks_offset);
        put_fixed(out, section.fence_offset);
        put_fixed(out, section.filter_offset);
        put_fixed(out, section.filter_bytes);
        put_fixed(out, section.fence_crc);
        put_fixed(out, section.filter_crc);
    }
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
    for (std::uint8_t& byte : header.store_uuid) byte = in.u8();
    header.number = in.fixed<std::uint64_t>();
    header.covered_after.value = in.fixed<std::uint64_t>();
    header.covered_upto.value = in.fixed<std::uint64_t>();
    header.last_time.micros = in.fixed<std::int64_t>();
    header.wal_id = in.fixed<std::uint64_t>();
    header.wal_offset = in.fixed<std::uint64_t>();
    header.settings_seq = in.fixed<std::uint64_t>();
    header.file_bytes = in.fixed<std::uint64_t>();
    for (std::size_t i = 0; i < kRunTables; ++i) {
        RunSection& section = header.sections[i];
        section.count = in.fixed<std::uint64_t>();
        section.blocks_offset = in.fixed<std::uint64_t>();
        section.fence_offset = in.fixed<std::uint64_t>();
        section.filter_offset = in.fixed<std::uint64_t>();
        section.filter_bytes = in.fixed<std::uint64_t>();
        section.fence_crc = in.fixed<std::uint32_t>();
        section.filter_crc = in.fixed<std::uint32_t>();
    }
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

std::uint32_t run_section_seed(std::uint32_t file_seed, RunTable table, std::uint64_t block) {
    char bytes[sizeof(std::uint64_t) + 1];
    bytes[0] = static_cast<char>(table);
    store_fixed(bytes + 1, block);
    return crc32c(std::string_view(bytes, sizeof bytes), file_seed);
}

void store_run_hash(Hash128 hash, char* out) {
    store_fixed(out, hash.hi);
    store_fixed(out + 8, hash.lo);
}

Hash128 load_run_hash(const char* at) {
    return Hash128{load_fixed<std::uint64_t>(at), load_fixed<std::uint64_t>(at + 8)};
}

void RunEntry<HeadEntry>::store(Hash128 hash, const HeadEntry& entry, char* out) {
    KLOG_ASSERT(entry.version.value <= kVersionMask);
    store_run_hash(hash, out);
    store_fixed(out + 16,
                entry.version.value | (static_cast<std::uint64_t>(entry.state) << kStateShift));
    store_fixed(out + 24, entry.last_seq.value);
}

HeadEntry RunEntry<HeadEntry>::load(const char* at) {
    const auto packed = load_fixed<std::uint64_t>(at + 16);
    return HeadEntry{static_cast<EntityState>(packed >> kStateShift),
                     Version{packed & kVersionMask}, Seq{load_fixed<std::uint64_t>(at + 24)}};
}

void RunEntry<IdEntry>::store(Hash128 hash, const IdEntry& entry, char* out) {
    store_run_hash(hash, out);
    store_run_hash(entry.digest, out + 16);
    store_fixed(out + 32, entry.seq.value);
    store_fixed(out + 40, entry.version.value);
    store_fixed(out + 48, entry.time.micros);
}

IdEntry RunEntry<IdEntry>::load(const char* at) {
    return IdEntry{load_run_hash(at + 16), Seq{load_fixed<std::uint64_t>(at + 32)},
                   Version{load_fixed<std::uint64_t>(at + 40)},
                   Time{load_fixed<std::int64_t>(at + 48)}};
}

void RunEntry<SessionEntry>::store(Hash128 hash, const SessionEntry& entry, char* out) {
    store_run_hash(hash, out);
    store_fixed(out + 16, entry.highest_line);
    store_fixed(out + 24, entry.seq.value);
    store_fixed(out + 32, entry.version.value);
    store_fixed(out + 40, entry.time.micros);
}

SessionEntry RunEntry<SessionEntry>::load(const char* at) {
    return SessionEntry{load_fixed<std::uint64_t>(at + 16), Seq{load_fixed<std::uint64_t>(at + 24)},
                        Version{load_fixed<std::uint64_t>(at + 32)},
                        Time{load_fixed<std::int64_t>(at + 40)}};
}

std::uint64_t run_filter_bytes(std::uint64_t keys) {
    constexpr std::uint64_t kBlockBits = kRunFilterBlockBytes * 8;
    return (keys * kRunFilterBitsPerKey + kBlockBits - 1) / kBlockBits * kRunFilterBlockBytes;
}

namespace {
// The high half of lo * blocks spreads lo evenly over the blocks; the probes take bits of hi, so
// that block and probes are independent.
std::size_t filter_block_at(std::size_t filter_bytes, Hash128 hash) {
    __extension__ using Wide = unsigned __int128;
    const std::uint64_t blocks = filter_bytes / kRunFilterBlockBytes;
    return static_cast<std::size_t>((static_cast<Wide>(hash.lo) * blocks) >> 64U) *
           kRunFilterBlockBytes;
}
}  // namespace

void run_filter_add(std::string& filter, Hash128 hash) {
    const std::size_t block = filter_block_at(filter.size(), hash);
    std::uint64_t bits = hash.hi;
    for (unsigned i = 0; i < kFilterProbes; ++i, bits >>= kFilterProbeBits) {
        char& byte = filter[block + ((bits >> 3U) & (kRunFilterBlockBytes - 1))];
        byte = static_cast<char>(static_cast<unsigned char>(byte) | (1U << (bits & 7U)));
    }
}

bool run_filter_may_hold(std::string_view filter, Hash128 hash) {
    if (filter.empty()) return false;
    const std::size_t block = filter_block_at(filter.size(), hash);
    std::uint64_t bits = hash.hi;
    for (unsigned i = 0; i < kFilterProbes; ++i, bits >>= kFilterProbeBits) {
        const auto byte =
            static_cast<unsigned char>(filter[block + ((bits >> 3U) & (kRunFilterBlockBytes - 1))]);
        if ((byte & (1U << (bits & 7U))) == 0) return false;
    }
    return true;
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
