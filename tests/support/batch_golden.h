// The golden stream of the framed form: a frame of every kind, and what they say.
#ifndef KLOG_TESTS_SUPPORT_BATCH_GOLDEN_H
#define KLOG_TESTS_SUPPORT_BATCH_GOLDEN_H

#include <fmt/format.h>
#include <zstd.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include "segment/batch_decoder.h"
#include "segment/batch_format.h"
#include "tests/support/wal_dump.h"
#include "tests/support/wal_golden.h"

namespace klog::testing {

inline std::string zstd_packed(std::string_view payload, std::string_view dictionary = {}) {
    std::string packed(ZSTD_compressBound(payload.size()), '\0');
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    const std::size_t size = ZSTD_compress_usingDict(
        context, packed.data(), packed.size(), payload.data(), payload.size(), dictionary.data(),
        dictionary.size(), ZSTD_CLEVEL_DEFAULT);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(size) != 0) throw std::runtime_error("zstd");
    packed.resize(size);
    return packed;
}

inline std::string batch_payload(std::uint64_t first, std::uint32_t count,
                                 std::string_view value = R"({"n":1})") {
    std::string payload;
    RecordEncoder encoder(payload, Seq{first}, kGoldenTime);
    for (std::uint32_t i = 0; i < count; ++i) {
        encoder.add(golden_record(first + i, i % 2 == 0 ? "shop/orders" : "shop/bills", value));
    }
    return payload;
}

inline void append_packed(std::string& out, BatchCodec codec, std::uint64_t first,
                          std::uint32_t count, std::string_view dictionary = {}) {
    const std::string payload = batch_payload(first, count);
    BatchHeader header;
    header.codec = codec;
    header.count = count;
    header.first_seq = Seq{first};
    header.base_time = kGoldenTime;
    header.payload_bytes = static_cast<std::uint32_t>(payload.size());
    append_batch_frame(out, header, zstd_packed(payload, dictionary));
}

inline void append_mark(std::string& out, std::uint64_t seq, std::uint32_t flags = 0) {
    BatchHeader header;
    header.type = BatchType::mark;
    header.first_seq = Seq{seq};
    header.flags = flags;
    append_batch_frame(out, header, {});
}

inline void append_last(std::string& out, BatchType type, std::uint32_t flags = 0,
                        std::string_view payload = {}) {
    BatchHeader header;
    header.type = type;
    header.flags = flags;
    append_batch_frame(out, header, payload);
}

inline constexpr std::string_view kGoldenDictionary =
    R"(shop/orders shop/bills {"n":1}{"n":1}{"n":1} raw bytes are a dictionary too)";

// The part that is byte for byte the same, whatever zstd does.
inline std::string golden_batch_plain() {
    std::string out;
    BatchHeader header;
    header.count = 5;
    header.first_seq = Seq{1};
    header.base_time = kGoldenTime;
    append_batch_frame(out, header, golden_payload());
    header.first_seq = Seq{8};
    append_batch_frame(out, header, golden_reserved_payload());
    append_mark(out, 12);
    append_mark(out, 20, BatchHeader::kAtHead);
    BatchHeader dictionary;
    dictionary.type = BatchType::dictionary;
    append_batch_frame(out, dictionary, kGoldenDictionary);
    return out;
}

inline std::string golden_batch() {
    std::string out = golden_batch_plain();
    append_packed(out, BatchCodec::zstd, 21, 4);
    append_packed(out, BatchCodec::zstd_dictionary, 25, 4, kGoldenDictionary);
    append_last(out, BatchType::end, BatchHeader::kCut);
    return out;
}

inline std::string dump_batch_frame(const BatchFrame& frame) {
    const BatchHeader& h = frame.header;
    std::string out = fmt::format("frame type {} codec {} flags {} count {} first_seq {} time {}\n",
                                  static_cast<int>(h.type), static_cast<int>(h.codec), h.flags,
                                  h.count, h.first_seq.value, h.base_time.micros);
    if (h.type == BatchType::error) {
        const auto problem = decode_batch_problem(frame.payload);
        return problem ? out + fmt::format("    {} {}: {}\n", problem->status, problem->code,
                                           problem->message)
                       : out + "    broken\n";
    }
    if (h.type != BatchType::records) return out;
    RecordDecoder decoder(frame.payload, h.first_seq, h.base_time, h.count);
    RecordView record;
    for (;;) {
        const auto more = decoder.next(record);
        if (!more) return out + "    broken: " + more.error().message + "\n";
        if (!*more) return out;
        out += dump_record(record);
    }
}

// Fed `step` bytes at a time. What is broken ends it, with the error's code.
inline std::string dump_batch(std::string_view stream, std::size_t step) {
    BatchDecoder decoder;
    BatchFrame frame;
    std::string out;
    for (std::size_t at = 0; at < stream.size(); at += step) {
        decoder.feed(std::string(stream.substr(at, step)));
        for (;;) {
            const Result<bool> more = decoder.next(frame);
            if (!more) return out + std::string(code_name(more.error().code)) + "\n";
            if (!*more) break;
            out += dump_batch_frame(frame);
        }
    }
    return out + (decoder.ended() ? "ended\n" : "not whole\n");
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_BATCH_GOLDEN_H
