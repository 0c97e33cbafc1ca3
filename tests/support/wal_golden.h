// The golden files of WAL format 1: what they hold, field by field. Every later version must read
// them as it is told here.
#ifndef KLOG_TESTS_SUPPORT_WAL_GOLDEN_H
#define KLOG_TESTS_SUPPORT_WAL_GOLDEN_H

#include <map>
#include <string>
#include <vector>

#include "base/coding.h"
#include "segment/clean_marker.h"
#include "segment/record_codec.h"
#include "segment/wal_format.h"

namespace klog::testing {

inline constexpr Time kGoldenTime{1'700'000'000'000'000};

inline WalFileHeader golden_header(std::uint64_t wal_id) {
    WalFileHeader header;
    header.writer = "klog 0.1.0";
    for (std::uint8_t i = 0; i < 16; ++i) {
        header.store_uuid[i] = static_cast<std::uint8_t>(0xa0 + i);
        header.hash_key[i] = static_cast<std::uint8_t>(0x10 + i);
    }
    header.wal_id = wal_id;
    header.incarnation = wal_id;
    header.salt = 0x1122334455667700ULL + wal_id;
    header.synced_upto_initial = kWalFileHeaderBytes;
    header.created = {kGoldenTime.micros + static_cast<std::int64_t>(wal_id)};
    return header;
}

inline RecordView golden_record(std::uint64_t seq, std::string_view topic, std::string_view value) {
    RecordView record;
    record.seq = {seq};
    record.time = {kGoldenTime.micros + static_cast<std::int64_t>(seq) * 10};
    record.topic = topic;
    record.value = value;
    return record;
}

// Grows one file.
class GoldenFile {
public:
    explicit GoldenFile(const WalFileHeader& header)
        : header_(header), bytes_(encode_file_header(header)) {
        chain_ = file_header_checksum(bytes_);
    }
    void add(FrameHeader frame, const std::string& payload) {
        frame.header_bytes = kFrameHeaderBytes;
        frame.payload_bytes = static_cast<std::uint32_t>(payload.size());
        frame.payload_crc = payload_checksum(payload, header_.salt);
        frame.prev_crc = chain_;
        frame.wal_id = header_.wal_id;
        frame.offset = bytes_.size();
        frame.incarnation = header_.incarnation;
        frame.base_time = kGoldenTime;
        std::string bytes(kFrameHeaderBytes, '\0');
        encode_frame_header(frame, header_.salt, bytes.data());
        bytes += payload;
        bytes.resize(static_cast<std::size_t>(frame.total_bytes()));
        bytes_ += bytes;
        chain_ = frame.header_crc;
    }
    [[nodiscard]] std::uint64_t end() const { return bytes_.size(); }
    [[nodiscard]] std::uint32_t chain() const { return chain_; }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
    WalFileHeader header_;
    std::string bytes_;
    std::uint32_t chain_;
};

inline FrameHeader golden_frame(LogId log, std::uint64_t first_seq, std::uint32_t count,
                                std::uint64_t synced_upto,
                                std::uint8_t flags = FrameHeader::kTxnFirst |
                                                     FrameHeader::kTxnLast) {
    FrameHeader frame;
    frame.log_id = log;
    frame.first_seq = {first_seq};
    frame.count = count;
    frame.synced_upto = synced_upto;
    frame.flags = flags;
    return frame;
}

// Every shape that this version writes.
inline std::string golden_payload() {
    std::string payload;
    RecordEncoder encoder(payload, Seq{1}, kGoldenTime);
    const std::string headers = encode_headers({{"trace", "abc"}, {"empty", ""}});
    encoder.add(golden_record(1, "shop/orders", R"({"n":1})"));
    RecordView keyed = golden_record(2, "shop/orders", R"({"n":2})");
    keyed.has_key = true;
    keyed.key = "o-1";
    keyed.version = {1};
    keyed.id = "request-7";
    keyed.headers = headers;
    keyed.has_event_time = true;
    keyed.event_time = {kGoldenTime.micros - 3'600'000'000};
    encoder.add(keyed);
    RecordView gone = golden_record(3, "shop/orders", "");
    gone.has_key = true;
    gone.key = "o-1";
    gone.version = {2};
    gone.kind = Kind::tombstone;
    encoder.add(gone);
    RecordView bytes = golden_record(4, "raw", std::string_view("\0\xff\x80", 3));
    bytes.encoding = Encoding::bytes;
    bytes.has_key = true;  // the empty key is a key
    bytes.version = {200};
    encoder.add(bytes);
    RecordView session = golden_record(5, "raw", "5");
    session.session.bytes.fill(0x5a);
    session.session_line = 1000;
    encoder.add(session);
    return payload;
}

// What this version reads and does not write: the reserved kinds, schema_seq, settings_seq, an
// extra field of no importance, an event time behind the record's.
inline std::string golden_reserved_payload() {
    std::string payload;
    for (std::uint8_t kind = 2; kind <= 6; ++kind) {
        std::string body;
        put_u8(body, kind);
        put_fixed(body, static_cast<std::uint16_t>(0x1b9));
        put_varint(body, kind - 2U);  // seq
        put_varint(body, 0);          // time
        put_varint(body, 7);          // version
        put_bytes(body, "$klog/reserved");
        put_bytes(body, "key");
        put_varint(body, 70'000);  // schema_seq
        put_varint(body, 3);       // settings_seq
        put_varint(body, 2);       // event_time: one microsecond later
        std::string tlv;
        put_varint(tlv, 40U << 1U);
        put_bytes(tlv, "later");
        put_bytes(body, tlv);
        body += "{}";
        put_bytes(payload, body);
    }
    return payload;
}

// By file name.
inline std::map<std::string, std::string> golden_files() {
    GoldenFile first(golden_header(1));
    first.add(golden_frame(LogId::default_log, 1, 5, first.end()), golden_payload());
    std::string settings;
    RecordEncoder encoder(settings, Seq{1}, kGoldenTime);
    RecordView setting = golden_record(1, "$klog/test", R"({"on":true})");
    setting.kind = Kind::settings;
    setting.has_key = true;
    setting.key = "a";
    setting.version = {1};
    encoder.add(setting);
    first.add(golden_frame(LogId::system, 1, 1, first.end()), settings);

    WalFileHeader header = golden_header(2);
    header.previous_wal_id = 1;
    header.previous_end = first.end();
    header.previous_chain = first.chain();
    header.settings_checkpoint = {1, 0};
    GoldenFile second(header);
    // A batch of two frames in one group, then the reserved shapes, then an idle mark.
    const std::uint64_t begin = second.end();
    for (const std::uint8_t flag : {FrameHeader::kTxnFirst, FrameHeader::kTxnLast}) {
        const std::uint64_t seq = flag == FrameHeader::kTxnFirst ? 6 : 7;
        std::string payload;
        RecordEncoder batch(payload, Seq{seq}, kGoldenTime);
        batch.add(golden_record(seq, "batch", std::to_string(seq)));
        FrameHeader frame = golden_frame(LogId::default_log, seq, 1, begin, flag);
        frame.txn_first_seq = 6;
        frame.txn_count = 2;
        second.add(frame, payload);
    }
    second.add(golden_frame(LogId::default_log, 8, 5, second.end()), golden_reserved_payload());
    FrameHeader mark = golden_frame(LogId::system, 0, 0, second.end());
    mark.type = FrameType::mark;
    second.add(mark, "");

    CleanMarker marker;
    marker.store_uuid = header.store_uuid;
    marker.incarnation = 2;
    marker.wal_id = 2;
    marker.end = second.end();
    marker.chain = second.chain();
    marker.next_seqs = {2, 13};
    return {{"00000000000000000001.wal", first.bytes()},
            {"00000000000000000002.wal", second.bytes()},
            {"clean", encode_clean_marker(marker)}};
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_WAL_GOLDEN_H
