// How one record lies in a frame's payload. The bytes are specified in schemas/wal.md.
//
// A payload is a run of records; each begins with its length. Topics repeat, so a record names its
// topic by a reference into the dictionary that the frame's own inline topics make up, in order.
#ifndef KLOG_SEGMENT_RECORD_CODEC_H
#define KLOG_SEGMENT_RECORD_CODEC_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// Appends records to a payload. seq and time are written relative to the frame's.
class RecordEncoder {
public:
    // The payload goes behind what `out` holds already.
    RecordEncoder(std::string& out, Seq first_seq, Time base_time);
    // Precondition: record.seq >= first_seq, record.time >= base_time.
    void add(const RecordView& record);
    [[nodiscard]] std::uint32_t count() const { return count_; }

private:
    struct DictEntry {
        std::string_view topic;  // points into the caller's memory: see add()
        std::uint32_t reference = 0;
    };
    std::uint32_t topic_reference(std::string_view topic);

    std::string* out_;
    Seq first_seq_;
    Time base_time_;
    std::uint32_t count_ = 0;
    std::vector<DictEntry> table_;  // open addressing
    std::vector<std::string> topics_;
};

// An upper bound of what add() appends for this record. Unit: bytes.
[[nodiscard]] std::size_t encoded_bytes_max(const RecordView& record);

// Reads a payload record by record. Hostile bytes end in an error, never in a crash, and nothing
// is allocated by a length that the bytes claim.
class RecordDecoder {
public:
    // Views that next() gives point into payload.
    RecordDecoder(std::string_view payload, Seq first_seq, Time base_time, std::uint32_t count);
    // True: `record` is the next one. False: the end was reached. Errors: corrupt (a broken
    // record, an unknown critical field, a count that does not fit).
    [[nodiscard]] Result<bool> next(RecordView& record);
    // Where the record that next() gave last begins, relative to the payload.
    [[nodiscard]] std::uint32_t record_offset() const { return record_offset_; }

private:
    std::string_view payload_;
    std::size_t at_ = 0;
    Seq first_seq_;
    Time base_time_;
    std::uint32_t left_;
    std::uint32_t record_offset_ = 0;
    std::vector<std::string_view> topics_;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_RECORD_CODEC_H
