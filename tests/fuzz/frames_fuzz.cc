// Records and headers of the log: hostile bytes end in an error, and what is read is what would be
// written.
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "segment/clean_marker.h"
#include "segment/record_codec.h"
#include "segment/wal_format.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::size_t kFileCrcAt = kWalFileHeaderBytes - sizeof(std::uint32_t);

bool equal(const RecordView& a, const RecordView& b) {
    return a.seq == b.seq && a.version == b.version && a.time == b.time && a.kind == b.kind &&
           a.encoding == b.encoding && a.has_key == b.has_key && a.topic == b.topic &&
           a.key == b.key && a.id == b.id && a.headers == b.headers && a.value == b.value &&
           a.has_event_time == b.has_event_time && a.event_time == b.event_time &&
           a.session == b.session &&
           (a.session.empty() || a.session_line == b.session_line);  // all zero: there is none
}

void records(Input in) {
    const Seq first{in.number(2)};
    const Time base{static_cast<std::int64_t>(in.number(3))};
    const auto count = static_cast<std::uint32_t>(in.byte());
    const std::string_view payload = in.rest();
    RecordDecoder decoder(payload, first, base, count);
    std::vector<RecordView> read;
    RecordView record;
    for (;;) {
        const Result<bool> more = decoder.next(record);
        if (!more.ok()) return;
        if (!*more) break;
        require(decoder.record_offset() < payload.size(), "a record lies within its payload");
        read.push_back(record);
        require(read.size() <= count, "no more records than were said");
    }
    // Writing them anew and reading that gives the same records.
    std::string again;
    RecordEncoder encoder(again, first, base);
    for (const RecordView& one : read) {
        if (one.seq < first || one.time < base) return;
        const std::size_t before = again.size();
        encoder.add(one);
        require(again.size() - before <= encoded_bytes_max(one), "the bound of a record holds");
    }
    RecordDecoder second(again, first, base, encoder.count());
    for (const RecordView& one : read) {
        const Result<bool> more = second.next(record);
        require(more.ok() && *more, "what was written can be read");
        require(equal(one, record), "a record comes back as it was");
    }
}

void frame_header(Input in) {
    const std::uint64_t salt = in.number(2);
    FrameHeader header;
    header.type = static_cast<FrameType>(in.byte());
    header.flags = in.byte();
    header.header_bytes = static_cast<std::uint16_t>(in.number(2));
    header.payload_bytes = static_cast<std::uint32_t>(in.number(4));
    header.wal_id = in.number(1);
    header.offset = in.number(8);
    header.log_id = static_cast<LogId>(in.byte());
    header.first_seq = Seq{in.number(8)};
    header.count = static_cast<std::uint32_t>(in.number(4));
    header.synced_upto = in.number(8);
    header.codec = in.byte();
    std::string bytes(kFrameHeaderBytes, '\0');
    encode_frame_header(header, salt, bytes.data());
    const auto back = decode_frame_header(bytes, salt, header.wal_id, header.offset);
    require(!decode_frame_header(bytes, salt + 1, header.wal_id, header.offset),
            "another file's header is none of ours");
    require(!decode_frame_header(bytes, salt, header.wal_id, header.offset + 8),
            "a header of another place is none");
    if (!back) return;  // it claims what cannot be
    require(back->total_bytes() >= kFrameHeaderBytes, "a frame is no shorter than its header");
    require(back->total_bytes() % kFrameAlignment == 0, "frames are aligned");
    require(back->count == header.count && back->first_seq == header.first_seq, "comes back");
    bytes += std::string(in.rest());
    if (bytes.size() < std::size_t{back->header_bytes} + back->payload_bytes) return;
    static_cast<void>(check_frame_known(*back, bytes, "frame"));
}

void file_header(Input in) {
    static_cast<void>(decode_file_header(in.rest(), "file"));
    static_cast<void>(decode_clean_marker(in.rest(), "marker"));
    std::string bytes = encode_file_header(WalFileHeader{});
    const std::size_t at = in.number(2) % bytes.size();
    const std::string_view change = in.bytes(bytes.size() - at);
    const std::string before = bytes;
    bytes.replace(at, change.size(), change);
    const auto header = decode_file_header(bytes, "file");
    // A fuzzer that changes the checksum along with what it covers may make it fit.
    if (bytes != before && file_header_checksum(bytes) != file_header_checksum(before) &&
        bytes.compare(0, kFileCrcAt, before, 0, kFileCrcAt) != 0) {
        return;
    }
    require(header.ok() == (bytes == before), "a changed header is seen");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    switch (in.byte() % 3) {
        case 0:
            records(in);
            break;
        case 1:
            frame_header(in);
            break;
        default:
            file_header(in);
    }
    return 0;
}
