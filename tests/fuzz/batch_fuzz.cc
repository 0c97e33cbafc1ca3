// The framed form of reads: hostile streams end in an error, however they are cut, and what is read
// is what would be written.
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "segment/batch_decoder.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

// Types, payload sizes and seqs of what came, and how it ended.
std::vector<std::uint64_t> read(std::string_view stream, std::size_t step) {
    BatchDecoder decoder;
    BatchFrame frame;
    std::vector<std::uint64_t> seen;
    while (!stream.empty()) {
        decoder.feed(std::string(stream.substr(0, step)));
        stream.remove_prefix(std::min(step, stream.size()));
        for (;;) {
            const Result<bool> more = decoder.next(frame);
            if (!more.ok()) {
                require(!decoder.next(frame).ok(), "after an error nothing comes");
                seen.push_back(~0ULL);
                return seen;
            }
            if (!*more) break;
            const BatchHeader& header = frame.header;
            require(frame.payload.size() == header.payload_bytes, "the payload is as long as said");
            require(header.payload_bytes <= kBatchPayloadBytesMax, "frames have a limit");
            seen.push_back(static_cast<std::uint64_t>(header.type));
            seen.push_back(frame.payload.size());
            if (header.type == BatchType::error) {
                static_cast<void>(decode_batch_problem(frame.payload));
            }
            if (header.type != BatchType::records) continue;
            RecordDecoder records(frame.payload, header.first_seq, header.base_time, header.count);
            RecordView record;
            for (;;) {
                const Result<bool> another = records.next(record);
                if (!another.ok() || !*another) break;
                seen.push_back(record.seq.value);
            }
        }
    }
    seen.push_back(decoder.ended() ? 1 : 0);
    return seen;
}

// Bytes as they are: hardly any has a sound checksum.
void raw(Input in) {
    const std::size_t step = in.byte() + 1U;
    const std::string_view stream = in.rest();
    require(read(stream, step) == read(stream, stream.size() + 1), "how it is cut means nothing");
}

// Frames with sound checksums and fields of the fuzzer's choice.
void framed(Input in) {
    const std::size_t step = in.byte() + 1U;
    std::string stream;
    std::size_t frames = 0;
    while (!in.empty() && frames++ < 8) {
        BatchHeader header;
        header.type = static_cast<BatchType>(in.byte() % 7);
        header.codec = static_cast<BatchCodec>(in.byte() % 4);
        header.flags = static_cast<std::uint32_t>(in.byte() % 4);
        header.count = static_cast<std::uint32_t>(in.byte());
        header.first_seq = Seq{in.number(2)};
        header.base_time = Time{static_cast<std::int64_t>(in.number(2))};
        header.payload_bytes = static_cast<std::uint32_t>(in.number(2));
        append_batch_frame(stream, header, in.bytes(in.number(2)));
    }
    const std::vector<std::uint64_t> whole = read(stream, stream.size() + 1);
    require(read(stream, step) == whole, "how it is cut means nothing");
}

// What the server writes comes back.
void written(Input in) {
    std::string stream;
    const Seq first{in.number(2)};
    BatchRecords records(stream, first, Time{0});
    std::vector<std::uint64_t> wanted = {static_cast<std::uint64_t>(BatchType::records), 0};
    std::uint64_t seq = first.value;
    do {
        RecordView record;
        record.seq = Seq{seq};
        record.topic = in.bytes(in.byte() % 8 + 1U);
        record.value = in.bytes(in.byte());
        record.session_line = 1;
        record.session.bytes.fill(in.byte());
        records.add(record);
        wanted.push_back(seq);
        seq += in.byte() + 1U;
    } while (!in.empty() && wanted.size() < 100);
    wanted[1] = records.payload_bytes();
    records.finish();
    BatchHeader end;
    end.type = BatchType::end;
    append_batch_frame(stream, end, {});
    wanted.insert(wanted.end(), {static_cast<std::uint64_t>(BatchType::end), 0, 1});
    require(read(stream, 17) == wanted, "records come back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    switch (in.byte() % 3) {
        case 0:
            raw(in);
            break;
        case 1:
            framed(in);
            break;
        default:
            written(in);
    }
    return 0;
}
