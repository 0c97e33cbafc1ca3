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

#include "base/coding.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// Appends records to a payload. seq and time are written relative to the frame's.
class RecordEncoder {
public:
    // The payload goes behind what `out` holds already; nothing else may change `out` meanwhile.
    RecordEncoder(std::string& out, Seq first_seq, Time base_time);
    // Precondition: record.seq >= first_seq, record.time >= base_time. Views of the record are
    // not kept.
    void add(const RecordView& record);
    [[nodiscard]] std::uint32_t count() const { return count_; }

private:
    // A topic that stands inline in out_. Offsets, since out_ moves when it grows.
    struct DictEntry {
        std::size_t offset = 0;
        std::uint32_t length = 0;
        std::uint32_t hash = 0;
        std::uint32_t reference = 0;
        bool used = false;
    };
    [[nodiscard]] bool is_topic(const DictEntry& entry, std::string_view topic) const;
    // False: the topic has to be written inline.
    [[nodiscard]] bool find_topic(std::string_view topic, std::uint32_t& reference);
    void remember_topic(std::string_view topic, std::size_t offset);
    void insert(const DictEntry& entry);
    void grow_table();

    std::string* out_;
    Seq first_seq_;
    Time base_time_;
    std::uint32_t count_ = 0;
    std::uint32_t topics_ = 0;      // inline so far
    DictEntry last_;                // topics tend to repeat: looked at before the table
    std::vector<DictEntry> table_;  // open addressing; empty while one topic is all there is
    std::size_t table_used_ = 0;
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
    // record, a count that does not fit), format_unknown (a kind, a presence bit, an encoding or a
    // critical field that this version does not know).
    [[nodiscard]] Result<bool> next(RecordView& record);
    // The same for the next record with that key. Of the others only what stands before their value
    // is looked at, so that damage that a checksum would not tell may stay unseen in them.
    [[nodiscard]] Result<bool> next_of_key(RecordView& record, std::string_view key);
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

    [[nodiscard]] Error damaged(const char* what) const;
    [[nodiscard]] Error unknown(const char* what, std::uint64_t number) const;
    [[nodiscard]] Status read_topic(ByteReader& in, bool is_inline, RecordView& record);
    [[nodiscard]] Status read_tlv(std::string_view area, RecordView& record) const;
    [[nodiscard]] Status read_optional(ByteReader& in, std::uint32_t bits, RecordView& record);
};

}  // namespace klog

#endif  // KLOG_SEGMENT_RECORD_CODEC_H
