// The framed form of a read (application/vnd.klog.batch), as specified in schemas/batch.md. Pure:
// bytes in, fields out. The server writes it with what stands here, clients read it with
// batch_decoder.h.
#ifndef KLOG_SEGMENT_BATCH_FORMAT_H
#define KLOG_SEGMENT_BATCH_FORMAT_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "klog/result.h"
#include "klog/types.h"
#include "segment/record_codec.h"

namespace klog {

inline constexpr std::string_view kBatchMediaType = "application/vnd.klog.batch";

inline constexpr std::size_t kBatchHeaderBytes = 48;
inline constexpr std::size_t kBatchHeaderBytesMax = 4096;         // with what later versions add
inline constexpr std::size_t kBatchPayloadBytesMax = 80U << 20U;  // stored or unpacked
inline constexpr std::size_t kBatchDictionaryBytesMax = 1U << 20U;
// What a writer of plain frames aims at.
inline constexpr std::size_t kBatchPayloadBytesWanted = 256U * 1024;

enum class BatchType : std::uint8_t {
    records = 1,
    dictionary = 2,  // of codec 2, for the frames behind it
    mark = 3,        // how far was looked
    error = 4,       // nothing follows
    end = 5,         // nothing follows
};

enum class BatchCodec : std::uint8_t { plain = 0, zstd = 1, zstd_dictionary = 2 };

struct BatchHeader {
    static constexpr std::uint32_t kAtHead = 1;  // mark: first_seq is the newest seq of the log
    static constexpr std::uint32_t kCut = 2;     // end: there may be more; go on behind the last
    // Unknown flags among these are refused, others are passed over.
    static constexpr std::uint32_t kCriticalFlags = 0xffff;

    BatchType type = BatchType::records;
    BatchCodec codec = BatchCodec::plain;
    std::uint32_t flags = 0;
    std::uint16_t header_bytes = kBatchHeaderBytes;
    std::uint32_t stored_bytes = 0;   // as they stand behind the header
    std::uint32_t payload_bytes = 0;  // unpacked
    std::uint32_t count = 0;          // records
    Seq first_seq;   // records: their seqs count from here; mark: all up to here was looked at
    Time base_time;  // records: their times count from here
    std::uint32_t stored_crc = 0;
};

// Writes kBatchHeaderBytes to `at`. Everything but the header's own checksum is taken as given.
void encode_batch_header(const BatchHeader& header, char* at);

// nullopt: the header is not whole yet. Errors: corrupt (magic, checksum, sizes, fields that do not
// fit the type), format_unknown (a type, a codec, a critical flag).
[[nodiscard]] Result<std::optional<BatchHeader>> decode_batch_header(std::string_view bytes);

// Appends a whole frame. header.stored_bytes and stored_crc are filled in here, and for the plain
// codec payload_bytes. Precondition: stored fits the limits.
void append_batch_frame(std::string& out, BatchHeader header, std::string_view stored);

// One plain frame of records, built in place.
class BatchRecords {
public:
    // It goes behind what `out` holds already; nothing else may change `out` before finish().
    BatchRecords(std::string& out, Seq first_seq, Time base_time);
    // As RecordEncoder::add. A producing session is left out: readers have no use for it.
    void add(const RecordView& record);
    [[nodiscard]] std::size_t payload_bytes() const;
    // Fills in the header. Precondition: at least one record.
    void finish();

private:
    std::string* out_;
    std::size_t begin_;  // of the frame in out_
    BatchHeader header_;
    RecordEncoder encoder_;
};

// What an error frame says.
struct BatchProblem {
    std::uint64_t status = 0;  // as HTTP would have had it
    std::string code;
    std::string message;
};
[[nodiscard]] std::string encode_batch_problem(const BatchProblem& problem);
// Errors: corrupt.
[[nodiscard]] Result<BatchProblem> decode_batch_problem(std::string_view payload);

}  // namespace klog

#endif  // KLOG_SEGMENT_BATCH_FORMAT_H
