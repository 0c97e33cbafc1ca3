#include "segment/batch_format.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kMagic = "KBAT";
constexpr std::size_t kCrcOffset = 44;
constexpr std::size_t kHeaderAlignment = 8;
constexpr std::uint32_t kKnownFlags = BatchHeader::kAtHead | BatchHeader::kCut;

Error damaged(const char* what) {
    return Error{Code::corrupt, std::string("a frame of the answer is damaged: ") + what, {}};
}

Error unknown(const char* what, std::uint64_t number) {
    return Error{Code::format_unknown,
                 std::string("a frame of the answer has ") + what + " " + std::to_string(number) +
                     ", which this version does not know",
                 "a version of klog as new as the daemon's reads it"};
}

// `bytes` is the whole header, extra fields included.
std::uint32_t header_checksum(std::string_view bytes) {
    return crc32c(bytes.substr(kBatchHeaderBytes), crc32c(bytes.substr(0, kCrcOffset)));
}

// The header is filled in at the end.
std::string& with_header_room(std::string& out) {
    out.append(kBatchHeaderBytes, '\0');
    return out;
}

Status check_known(std::uint8_t type, std::uint8_t codec, std::uint32_t flags) {
    if (type < static_cast<std::uint8_t>(BatchType::records) ||
        type > static_cast<std::uint8_t>(BatchType::end)) {
        return unknown("the type", type);
    }
    if (codec > static_cast<std::uint8_t>(BatchCodec::zstd_dictionary)) {
        return unknown("the codec", codec);
    }
    const std::uint32_t critical = flags & BatchHeader::kCriticalFlags & ~kKnownFlags;
    if (critical != 0) return unknown("the flags", critical);
    return {};
}

Status check_sizes(const BatchHeader& header) {
    if (header.stored_bytes > kBatchPayloadBytesMax ||
        header.payload_bytes > kBatchPayloadBytesMax) {
        return damaged("it is larger than a frame may be");
    }
    const bool plain = header.codec == BatchCodec::plain;
    if (plain && header.stored_bytes != header.payload_bytes) {
        return damaged("its sizes do not fit each other");
    }
    if (header.type == BatchType::records) {
        if (header.count == 0) return damaged("it holds no records");
        return {};
    }
    if (!plain || header.count != 0) return damaged("only records are packed and counted");
    const bool empty = header.type == BatchType::mark || header.type == BatchType::end;
    if (empty && header.payload_bytes != 0) return damaged("a mark or an end has no payload");
    if (header.type == BatchType::dictionary &&
        (header.payload_bytes == 0 || header.payload_bytes > kBatchDictionaryBytesMax)) {
        return damaged("a dictionary of this size cannot be");
    }
    return {};
}

}  // namespace

void encode_batch_header(const BatchHeader& header, char* at) {
    std::string bytes;
    bytes.reserve(kBatchHeaderBytes);
    bytes.append(kMagic);
    put_u8(bytes, static_cast<std::uint8_t>(header.type));
    put_u8(bytes, static_cast<std::uint8_t>(header.codec));
    put_fixed(bytes, header.header_bytes);
    put_fixed(bytes, header.flags);
    put_fixed(bytes, header.stored_bytes);
    put_fixed(bytes, header.payload_bytes);
    put_fixed(bytes, header.count);
    put_fixed(bytes, header.first_seq.value);
    put_fixed(bytes, header.base_time.micros);
    put_fixed(bytes, header.stored_crc);
    KLOG_ASSERT(bytes.size() == kCrcOffset);
    put_fixed(bytes, crc32c(bytes));
    std::copy(bytes.begin(), bytes.end(), at);
}

Result<std::optional<BatchHeader>> decode_batch_header(std::string_view bytes) {
    const std::size_t shown = std::min(bytes.size(), kMagic.size());
    if (bytes.substr(0, shown) != kMagic.substr(0, shown)) return damaged("it does not begin so");
    if (bytes.size() < kBatchHeaderBytes) return std::optional<BatchHeader>();
    ByteReader in(bytes.substr(kMagic.size(), kBatchHeaderBytes - kMagic.size()));
    BatchHeader header;
    const std::uint8_t type = in.u8();
    const std::uint8_t codec = in.u8();
    header.header_bytes = in.fixed<std::uint16_t>();
    header.flags = in.fixed<std::uint32_t>();
    header.stored_bytes = in.fixed<std::uint32_t>();
    header.payload_bytes = in.fixed<std::uint32_t>();
    header.count = in.fixed<std::uint32_t>();
    header.first_seq = Seq{in.fixed<std::uint64_t>()};
    header.base_time = Time{in.fixed<std::int64_t>()};
    header.stored_crc = in.fixed<std::uint32_t>();
    const auto header_crc = in.fixed<std::uint32_t>();
    if (header.header_bytes < kBatchHeaderBytes || header.header_bytes > kBatchHeaderBytesMax ||
        header.header_bytes % kHeaderAlignment != 0) {
        return damaged("its header cannot be of that size");
    }
    if (bytes.size() < header.header_bytes) return std::optional<BatchHeader>();
    if (header_checksum(bytes.substr(0, header.header_bytes)) != header_crc) {
        return damaged("the checksum of its header");
    }
    KLOG_TRY(check_known(type, codec, header.flags));
    header.type = static_cast<BatchType>(type);
    header.codec = static_cast<BatchCodec>(codec);
    KLOG_TRY(check_sizes(header));
    return std::optional<BatchHeader>(header);
}

void append_batch_frame(std::string& out, BatchHeader header, std::string_view stored) {
    KLOG_ASSERT(stored.size() <= kBatchPayloadBytesMax);
    header.stored_bytes = static_cast<std::uint32_t>(stored.size());
    if (header.codec == BatchCodec::plain) header.payload_bytes = header.stored_bytes;
    header.stored_crc = crc32c(stored);
    const std::size_t begin = out.size();
    out.resize(begin + kBatchHeaderBytes);
    encode_batch_header(header, out.data() + begin);
    out.append(stored);
}

BatchRecords::BatchRecords(std::string& out, Seq first_seq, Time base_time)
    : out_(&out), begin_(out.size()), encoder_(with_header_room(out), first_seq, base_time) {
    header_.first_seq = first_seq;
    header_.base_time = base_time;
}

void BatchRecords::add(const RecordView& record) {
    if (record.session.empty()) return encoder_.add(record);
    RecordView shown = record;
    shown.session = SessionId{};
    shown.session_line = 0;
    encoder_.add(shown);
}

std::size_t BatchRecords::payload_bytes() const {
    return out_->size() - begin_ - kBatchHeaderBytes;
}

void BatchRecords::finish() {
    KLOG_ASSERT(encoder_.count() > 0 && payload_bytes() <= kBatchPayloadBytesMax);
    header_.count = encoder_.count();
    header_.stored_bytes = static_cast<std::uint32_t>(payload_bytes());
    header_.payload_bytes = header_.stored_bytes;
    header_.stored_crc = crc32c(std::string_view(*out_).substr(begin_ + kBatchHeaderBytes));
    encode_batch_header(header_, out_->data() + begin_);
}

std::string encode_batch_problem(const BatchProblem& problem) {
    std::string payload;
    put_varint(payload, problem.status);
    put_bytes(payload, problem.code);
    put_bytes(payload, problem.message);
    return payload;
}

Result<BatchProblem> decode_batch_problem(std::string_view payload) {
    ByteReader in(payload);
    BatchProblem problem;
    problem.status = in.varint();
    problem.code = in.bytes();
    problem.message = in.bytes();
    if (!in.ok()) return damaged("it does not say which error");
    return problem;
}

}  // namespace klog
