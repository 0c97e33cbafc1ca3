// A WAL as text, for comparing what was read with what is expected.
#ifndef KLOG_TESTS_SUPPORT_WAL_DUMP_H
#define KLOG_TESTS_SUPPORT_WAL_DUMP_H

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "segment/record_codec.h"
#include "segment/wal.h"

namespace klog::testing {

// Printable ASCII as it is, other bytes as \xNN.
inline std::string dump_text(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '\\') {
            out += c;
        } else {
            out += fmt::format("\\x{:02x}", byte);
        }
    }
    return out;
}

inline std::string dump_record(const RecordView& record) {
    std::string out =
        fmt::format("    seq {} version {} time {} kind {} encoding {} topic {}", record.seq.value,
                    record.version.value, record.time.micros, static_cast<int>(record.kind),
                    static_cast<int>(record.encoding), dump_text(record.topic));
    if (record.has_key) out += fmt::format(" key \"{}\"", dump_text(record.key));
    if (!record.id.empty()) out += fmt::format(" id {}", dump_text(record.id));
    if (record.has_event_time) out += fmt::format(" event_time {}", record.event_time.micros);
    for (const Header& header : decode_headers(record.headers)) {
        out += fmt::format(" header {}={}", dump_text(header.name), dump_text(header.value));
    }
    if (!record.session.empty()) {
        const auto* bytes = reinterpret_cast<const char*>(record.session.bytes.data());
        out += fmt::format(" session {} line {}", dump_text({bytes, 16}), record.session_line);
    }
    return out + fmt::format(" value {}\n", dump_text(record.value));
}

inline std::string dump_frame(const Frame& frame) {
    const FrameHeader& h = frame.header;
    std::string out = fmt::format(
        "  frame {} type {} flags {} bytes {}+{} synced_upto {} log {} first_seq {} count {} "
        "base_time {} txn {}+{}\n",
        h.offset, static_cast<int>(h.type), h.flags, h.header_bytes, h.payload_bytes, h.synced_upto,
        static_cast<unsigned>(h.log_id), h.first_seq.value, h.count, h.base_time.micros,
        h.txn_first_seq, h.txn_count);
    RecordDecoder decoder(frame.payload(), h.first_seq, h.base_time, h.count);
    RecordView record;
    while (true) {
        const auto more = decoder.next(record);
        if (!more.ok()) return out + "    broken: " + more.error().message + "\n";
        if (!more.value()) return out;
        out += dump_record(record);
    }
}

inline std::string dump_header(const WalFileHeader& h) {
    return fmt::format(
        "file {} format {} min_reader {} bits {}/{} writer \"{}\" uuid {} incarnation {} epoch {} "
        "salt {:016x} hash_key {} previous {}@{} chain {:08x} synced_upto_initial {} checkpoints "
        "{} {} created {}\n",
        h.wal_id, h.format, h.min_reader, h.incompatible_bits, h.compatible_bits, h.writer,
        fmt::format("{:02x}", fmt::join(h.store_uuid, "")), h.incarnation, h.epoch, h.salt,
        fmt::format("{:02x}", fmt::join(h.hash_key, "")), h.previous_wal_id, h.previous_end,
        h.previous_chain, h.synced_upto_initial, h.settings_checkpoint[0], h.settings_checkpoint[1],
        h.created.micros);
}

inline std::string dump_log(Wal& wal, std::size_t files_max) {
    std::string out;
    for (const WalFileInfo& file : wal.files()) {
        if (files_max-- == 0) break;
        out += dump_header(file.header);
        auto reader = wal.open_file(file.header.wal_id, kWalFileHeaderBytes);
        while (reader.ok()) {
            const auto frame = reader.value()->next();
            if (!frame.ok()) return out + "broken: " + frame.error().message + "\n";
            if (!frame.value()) break;
            out += dump_frame(*frame.value());
        }
        if (!reader.ok()) return out + "broken: " + reader.error().message + "\n";
        out += fmt::format("  end {}\n", file.end);
    }
    return out;
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_WAL_DUMP_H
