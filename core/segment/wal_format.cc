#include "segment/wal_format.h"

#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

namespace {

constexpr std::string_view kFileMagic = "KLOGWAL\n";
constexpr std::uint32_t kFrameMagic = 0x4d52464b;  // "KFRM"
constexpr std::size_t kWriterBytes = 64;           // with the terminating zero
constexpr std::size_t kFileCrcAt = kWalFileHeaderBytes - 4;
constexpr std::uint64_t kIncompatibleKnown = 0;

// Offsets in a frame header, as schemas/wal.md lists them.
constexpr std::size_t kTypeAt = 4;
constexpr std::size_t kFlagsAt = 5;
constexpr std::size_t kHeaderBytesAt = 6;
constexpr std::size_t kPayloadBytesAt = 8;
constexpr std::size_t kHeaderCrcAt = 12;
constexpr std::size_t kPayloadCrcAt = 16;
constexpr std::size_t kPrevCrcAt = 20;
constexpr std::size_t kWalIdAt = 24;
constexpr std::size_t kOffsetAt = 32;
constexpr std::size_t kIncarnationAt = 40;
constexpr std::size_t kEpochAt = 48;
constexpr std::size_t kSyncedUptoAt = 56;
constexpr std::size_t kSaltAt = kFrameSaltAt;
constexpr std::size_t kFirstSeqAt = 72;
constexpr std::size_t kBaseTimeAt = 80;
constexpr std::size_t kTxnFirstSeqAt = 88;
constexpr std::size_t kTxnCountAt = 96;
constexpr std::size_t kLogIdAt = 100;
constexpr std::size_t kCountAt = 104;
constexpr std::size_t kKeyIdAt = 108;
constexpr std::size_t kNonceAt = 112;
constexpr std::size_t kCodecAt = 124;

constexpr std::uint64_t kTlvCritical = 1;  // lowest bit of a tag
constexpr std::uint8_t kFlagsKnown = FrameHeader::kTxnFirst | FrameHeader::kTxnLast;

template <class T>
void store(char* at, T v) {
    std::memcpy(at, &v, sizeof v);
}

std::uint32_t salted_seed(std::uint64_t salt) {
    char bytes[sizeof salt];
    store(bytes, salt);
    return crc32c({bytes, sizeof bytes});
}

// The header's own checksum stands inside it: what lies before and behind is covered.
std::uint32_t header_checksum(const char* at, std::uint64_t salt) {
    const std::uint32_t front = crc32c({at, kHeaderCrcAt}, salted_seed(salt));
    return crc32c({at + kPayloadCrcAt, kFrameHeaderBytes - kPayloadCrcAt}, front);
}

Error broken_header(const std::string& path, const char* what) {
    return {Code::corrupt, path + ": the file header is damaged: " + what,
            "klog does not drop a file of the log; restore it from a copy"};
}

}  // namespace

std::uint64_t FrameHeader::total_bytes() const {
    const std::uint64_t bytes = std::uint64_t{header_bytes} + payload_bytes;
    return (bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

std::string encode_file_header(const WalFileHeader& header) {
    std::string out(kFileMagic);
    put_fixed(out, header.format);
    put_fixed(out, header.min_reader);
    put_fixed(out, header.incompatible_bits);
    put_fixed(out, header.compatible_bits);
    std::string writer = header.writer.substr(0, kWriterBytes - 1);
    writer.resize(kWriterBytes);
    out += writer;
    out.append(header.store_uuid.begin(), header.store_uuid.end());
    put_fixed(out, header.wal_id);
    put_fixed(out, header.incarnation);
    put_fixed(out, header.epoch);
    put_fixed(out, header.salt);
    out.append(header.hash_key.begin(), header.hash_key.end());
    put_fixed(out, header.previous_wal_id);
    put_fixed(out, header.previous_end);
    put_fixed(out, header.previous_chain);
    put_fixed(out, std::uint32_t{0});
    put_fixed(out, header.synced_upto_initial);
    for (const std::uint64_t checkpoint : header.settings_checkpoint) put_fixed(out, checkpoint);
    put_fixed(out, header.created.micros);
    out.resize(kFileCrcAt);
    put_fixed(out, crc32c(out));
    return out;
}

std::uint32_t file_header_checksum(std::string_view bytes) {
    return load_fixed<std::uint32_t>(bytes.data() + kFileCrcAt);
}

Result<WalFileHeader> decode_file_header(std::string_view bytes, const std::string& path) {
    if (bytes.size() < kWalFileHeaderBytes) return broken_header(path, "the file is too short");
    ByteReader in(bytes.substr(0, kWalFileHeaderBytes));
    if (in.raw(kFileMagic.size()) != kFileMagic) {
        return broken_header(path, "it does not begin as a WAL file does");
    }
    if (crc32c(bytes.substr(0, kFileCrcAt)) != file_header_checksum(bytes)) {
        return broken_header(path, "its checksum does not fit");
    }
    WalFileHeader header;
    header.format = in.fixed<std::uint32_t>();
    header.min_reader = in.fixed<std::uint32_t>();
    header.incompatible_bits = in.fixed<std::uint64_t>();
    header.compatible_bits = in.fixed<std::uint64_t>();
    const std::string_view writer = in.raw(kWriterBytes);
    header.writer = writer.substr(0, writer.find('\0'));
    const std::uint64_t unknown = header.incompatible_bits & ~kIncompatibleKnown;
    if (header.min_reader > kWalFormat || unknown != 0) {
        return Error{Code::format_unknown,
                     path + " was written by \"" + header.writer + "\" in format " +
                         std::to_string(header.format) + ", which this version cannot read (it " +
                         "needs a reader of format " + std::to_string(header.min_reader) +
                         ", unknown feature bits " + std::to_string(unknown) + ")",
                     "open the directory with that version of klog or a later one"};
    }
    const auto copy = [&in](auto& array) {
        const std::string_view raw = in.raw(array.size());
        std::copy(raw.begin(), raw.end(), array.begin());
    };
    copy(header.store_uuid);
    header.wal_id = in.fixed<std::uint64_t>();
    header.incarnation = in.fixed<std::uint64_t>();
    header.epoch = in.fixed<std::uint64_t>();
    header.salt = in.fixed<std::uint64_t>();
    copy(header.hash_key);
    header.previous_wal_id = in.fixed<std::uint64_t>();
    header.previous_end = in.fixed<std::uint64_t>();
    header.previous_chain = in.fixed<std::uint32_t>();
    in.fixed<std::uint32_t>();
    header.synced_upto_initial = in.fixed<std::uint64_t>();
    for (std::uint64_t& checkpoint : header.settings_checkpoint) {
        checkpoint = in.fixed<std::uint64_t>();
    }
    header.created = {in.fixed<std::int64_t>()};
    return header;
}

void encode_frame_header(FrameHeader& header, std::uint64_t salt, char* at) {
    std::memset(at, 0, kFrameHeaderBytes);
    store(at, kFrameMagic);
    store(at + kTypeAt, header.type);
    store(at + kFlagsAt, header.flags);
    store(at + kHeaderBytesAt, header.header_bytes);
    store(at + kPayloadBytesAt, header.payload_bytes);
    store(at + kPayloadCrcAt, header.payload_crc);
    store(at + kPrevCrcAt, header.prev_crc);
    store(at + kWalIdAt, header.wal_id);
    store(at + kOffsetAt, header.offset);
    store(at + kIncarnationAt, header.incarnation);
    store(at + kEpochAt, header.epoch);
    store(at + kSyncedUptoAt, header.synced_upto);
    store(at + kSaltAt, salt);
    store(at + kFirstSeqAt, header.first_seq.value);
    store(at + kBaseTimeAt, header.base_time.micros);
    store(at + kTxnFirstSeqAt, header.txn_first_seq);
    store(at + kTxnCountAt, header.txn_count);
    store(at + kLogIdAt, header.log_id);
    store(at + kCountAt, header.count);
    store(at + kKeyIdAt, header.key_id);
    std::memcpy(at + kNonceAt, header.nonce.data(), header.nonce.size());
    store(at + kCodecAt, header.codec);
    header.header_crc = header_checksum(at, salt);
    store(at + kHeaderCrcAt, header.header_crc);
}

std::optional<FrameHeader> decode_frame_header(std::string_view bytes, std::uint64_t salt,
                                               std::uint64_t wal_id, std::uint64_t offset) {
    if (bytes.size() < kFrameHeaderBytes) return std::nullopt;
    const char* at = bytes.data();
    // Cheap comparisons first: recovery asks this at every eighth byte of a file.
    if (load_fixed<std::uint32_t>(at) != kFrameMagic ||
        load_fixed<std::uint64_t>(at + kSaltAt) != salt ||
        load_fixed<std::uint64_t>(at + kWalIdAt) != wal_id ||
        load_fixed<std::uint64_t>(at + kOffsetAt) != offset) {
        return std::nullopt;
    }
    FrameHeader header;
    header.header_crc = load_fixed<std::uint32_t>(at + kHeaderCrcAt);
    if (header.header_crc != header_checksum(at, salt)) return std::nullopt;
    header.type = load_fixed<FrameType>(at + kTypeAt);
    header.flags = load_fixed<std::uint8_t>(at + kFlagsAt);
    header.header_bytes = load_fixed<std::uint16_t>(at + kHeaderBytesAt);
    header.payload_bytes = load_fixed<std::uint32_t>(at + kPayloadBytesAt);
    header.payload_crc = load_fixed<std::uint32_t>(at + kPayloadCrcAt);
    header.prev_crc = load_fixed<std::uint32_t>(at + kPrevCrcAt);
    header.wal_id = wal_id;
    header.offset = offset;
    header.incarnation = load_fixed<std::uint64_t>(at + kIncarnationAt);
    header.epoch = load_fixed<std::uint64_t>(at + kEpochAt);
    header.synced_upto = load_fixed<std::uint64_t>(at + kSyncedUptoAt);
    header.first_seq = {load_fixed<std::uint64_t>(at + kFirstSeqAt)};
    header.base_time = {load_fixed<std::int64_t>(at + kBaseTimeAt)};
    header.txn_first_seq = load_fixed<std::uint64_t>(at + kTxnFirstSeqAt);
    header.txn_count = load_fixed<std::uint32_t>(at + kTxnCountAt);
    header.log_id = load_fixed<LogId>(at + kLogIdAt);
    header.count = load_fixed<std::uint32_t>(at + kCountAt);
    header.key_id = load_fixed<std::uint32_t>(at + kKeyIdAt);
    std::memcpy(header.nonce.data(), at + kNonceAt, header.nonce.size());
    header.codec = load_fixed<std::uint8_t>(at + kCodecAt);
    const bool sane = header.header_bytes >= kFrameHeaderBytes &&
                      header.header_bytes % kFrameAlignment == 0 &&
                      header.payload_bytes <= kFrameBytesMax && header.synced_upto <= offset &&
                      header.synced_upto >= kWalFileHeaderBytes;
    if (!sane) return std::nullopt;
    return header;
}

std::uint32_t payload_checksum(std::string_view payload, std::uint64_t salt) {
    return crc32c(payload, salted_seed(salt));
}

Status check_frame_known(const FrameHeader& header, std::string_view bytes,
                         const std::string& path) {
    const std::string place = path + ": the frame at offset " + std::to_string(header.offset);
    const auto unknown = [&place](const char* what, std::uint64_t number) {
        return Error{Code::format_unknown,
                     place + " has " + what + " " + std::to_string(number) +
                         ", which this version does not know",
                     "open the directory with the version that wrote it, or a later one"};
    };
    if (header.type != FrameType::records && header.type != FrameType::mark) {
        return unknown("the type", static_cast<std::uint64_t>(header.type));
    }
    if ((header.flags & ~kFlagsKnown) != 0) return unknown("the flags", header.flags);
    if (header.codec != 0) return unknown("the codec", header.codec);
    if (header.log_id != LogId::system && header.log_id != LogId::default_log) {
        return unknown("the log", static_cast<std::uint64_t>(header.log_id));
    }
    ByteReader in(bytes.substr(kFrameHeaderBytes, header.header_bytes - kFrameHeaderBytes));
    while (in.left() > 0) {
        const std::uint64_t tag = in.varint();
        if (in.ok() && tag == 0) break;  // the rest is padding
        in.bytes();
        if (!in.ok()) return Error{Code::corrupt, place + " has a malformed extra field", ""};
        if ((tag & kTlvCritical) != 0) return unknown("the critical extra field", tag >> 1U);
    }
    return {};
}

}  // namespace klog
