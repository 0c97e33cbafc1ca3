// The WAL's file and frame headers, as specified in schemas/wal.md. Pure: bytes in, fields out.
#ifndef KLOG_SEGMENT_WAL_FORMAT_H
#define KLOG_SEGMENT_WAL_FORMAT_H

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/siphash.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

inline constexpr std::uint32_t kWalFormat = 1;
inline constexpr std::size_t kWalFileHeaderBytes = 4096;
inline constexpr std::size_t kFrameAlignment = 8;
// A frame is read and checked as a whole: a smaller one is cheaper for whoever wants one record.
inline constexpr std::size_t kFrameBytesWanted = 64U << 10U;
inline constexpr std::size_t kFrameBytesMax = 80U << 20U;

using StoreUuid = std::array<std::uint8_t, 16>;

struct WalFileHeader {
    std::uint32_t format = kWalFormat;
    std::uint32_t min_reader = kWalFormat;
    std::uint64_t incompatible_bits = 0;
    std::uint64_t compatible_bits = 0;
    std::string writer;  // such as "klog 0.1.0"; at most 63 bytes
    StoreUuid store_uuid{};
    std::uint64_t wal_id = 0;  // from 1, dense
    std::uint64_t incarnation = 0;
    std::uint64_t epoch = 0;
    std::uint64_t salt = 0;
    HashKey hash_key{};
    // Where the file before this one ends. previous_wal_id 0: there is none.
    std::uint64_t previous_wal_id = 0;
    std::uint64_t previous_end = 0;
    std::uint32_t previous_chain = 0;
    std::uint64_t synced_upto_initial = 0;
    // Seq of the newest settings checkpoint record of each log (0: none): system, default.
    std::array<std::uint64_t, 2> settings_checkpoint{};
    Time created;
};

// kWalFileHeaderBytes bytes.
[[nodiscard]] std::string encode_file_header(const WalFileHeader& header);
// Errors: corrupt (magic, crc), format_unknown (min_reader or an unknown incompatible bit; names
// the writer). `path` is for messages.
[[nodiscard]] Result<WalFileHeader> decode_file_header(std::string_view bytes,
                                                       const std::string& path);

enum class FrameType : std::uint8_t { records = 1, mark = 2 };  // mark: an empty frame

struct FrameHeader {
    static constexpr std::uint8_t kTxnFirst = 1;
    static constexpr std::uint8_t kTxnLast = 2;
    static constexpr std::uint8_t kCompressed = 4;  // reserved
    static constexpr std::uint8_t kEncrypted = 8;   // reserved

    FrameType type = FrameType::records;
    std::uint8_t flags = kTxnFirst | kTxnLast;
    std::uint16_t header_bytes = 0;
    std::uint32_t payload_bytes = 0;
    std::uint32_t header_crc = 0;   // seeded with the file's salt; covers payload_crc and prev_crc
    std::uint32_t payload_crc = 0;  // seeded with the file's salt
    std::uint32_t prev_crc = 0;     // header_crc of the frame before; the file header's crc first
    std::uint64_t wal_id = 0;
    std::uint64_t offset = 0;  // of this header in its file
    std::uint64_t incarnation = 0;
    std::uint64_t epoch = 0;
    std::uint64_t synced_upto = 0;  // all bytes of the file before this offset were synced
    LogId log_id = LogId::default_log;
    Seq first_seq;
    std::uint32_t count = 0;
    Time base_time;
    std::uint64_t txn_first_seq = 0;
    std::uint32_t txn_count = 0;
    std::uint8_t codec = 0;  // reserved, as are key_id and nonce
    std::uint32_t key_id = 0;
    std::array<std::uint8_t, 12> nonce{};

    [[nodiscard]] std::uint64_t total_bytes() const;  // header + payload, rounded up to 8
};

inline constexpr std::size_t kFrameHeaderBytes = 128;
inline constexpr std::size_t kFrameSaltAt = 64;  // in a frame's header

// The checksum in an encoded file header: where the chain of its frames begins.
// Needs kWalFileHeaderBytes.
[[nodiscard]] std::uint32_t file_header_checksum(std::string_view bytes);

// Fills header_crc (and the rest as given) and writes kFrameHeaderBytes bytes to `at`.
void encode_frame_header(FrameHeader& header, std::uint64_t salt, char* at);
// nullopt: these bytes are no sound header of that file at that offset. Needs at least
// kFrameHeaderBytes; the payload is not looked at.
[[nodiscard]] std::optional<FrameHeader> decode_frame_header(std::string_view bytes,
                                                             std::uint64_t salt,
                                                             std::uint64_t wal_id,
                                                             std::uint64_t offset);
// Of all bytes between the fixed part of the header and the end of the payload.
[[nodiscard]] std::uint32_t payload_checksum(std::string_view payload, std::uint64_t salt);
// What a sound header says and this version cannot read: format_unknown (type, flags, codec, a
// critical extra field), corrupt (extra fields that are malformed). `bytes` is the whole frame
// whose checksums fit; `path` is for messages.
[[nodiscard]] Status check_frame_known(const FrameHeader& header, std::string_view bytes,
                                       const std::string& path);

// One frame in memory or read from disk: header fields, and bytes = header + payload.
struct Frame {
    FrameHeader header;
    std::string bytes;
    [[nodiscard]] std::string_view payload() const {
        return std::string_view(bytes).substr(header.header_bytes, header.payload_bytes);
    }
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_FORMAT_H
