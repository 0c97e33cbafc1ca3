// Helpers for tests of the WAL: frames to commit, and what a reader sees.
#ifndef KLOG_TESTS_SUPPORT_WAL_TESTING_H
#define KLOG_TESTS_SUPPORT_WAL_TESTING_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "segment/record_codec.h"
#include "segment/wal.h"

namespace klog::testing {

// A record whose value says its seq, padded to value_bytes.
inline std::string numbered_value(std::uint64_t seq, std::size_t value_bytes = 0) {
    std::string value = "\"v" + std::to_string(seq) + "\"";
    if (value.size() < value_bytes) value.resize(value_bytes, ' ');
    return value;
}

// One frame of `count` records with seqs from first_seq on.
inline Frame numbered_frame(std::uint64_t first_seq, std::uint32_t count = 1,
                            std::size_t value_bytes = 0, LogId log = LogId::default_log) {
    Frame frame;
    frame.header.log_id = log;
    frame.header.first_seq = {first_seq};
    frame.header.base_time = {1'700'000'000'000'000};
    frame.header.count = count;
    frame.bytes.resize(kFrameHeaderBytes);
    RecordEncoder encoder(frame.bytes, frame.header.first_seq, frame.header.base_time);
    for (std::uint64_t seq = first_seq; seq < first_seq + count; ++seq) {
        const std::string key = "k" + std::to_string(seq);
        const std::string value = numbered_value(seq, value_bytes);
        RecordView record;
        record.seq = {seq};
        record.version = {1};
        record.time = frame.header.base_time;
        record.topic = "t/a";
        record.has_key = true;
        record.key = key;
        record.value = value;
        encoder.add(record);
    }
    return frame;
}

inline CommitResult commit_one(Wal& wal, Frame& frame) {
    Frame* const frames[] = {&frame};
    return wal.commit(frames);
}

// The seqs of all records in the log, in order; the values are compared with numbered_value.
// "broken: …" in `error` if the log cannot be read.
struct LogContents {
    std::vector<std::uint64_t> seqs;
    std::string error;
};

inline void read_frame(const Frame& frame, std::size_t value_bytes, LogContents& contents) {
    RecordDecoder decoder(frame.payload(), frame.header.first_seq, frame.header.base_time,
                          frame.header.count);
    RecordView record;
    while (true) {
        const auto more = decoder.next(record);
        if (!more.ok()) {
            contents.error = more.error().message;
            return;
        }
        if (!more.value()) return;
        if (record.value != numbered_value(record.seq.value, value_bytes)) {
            contents.error = "the value of seq " + std::to_string(record.seq.value) + " is wrong";
        }
        contents.seqs.push_back(record.seq.value);
    }
}

inline LogContents read_log(Wal& wal, std::size_t value_bytes = 0) {
    LogContents contents;
    for (const WalFileInfo& file : wal.files()) {
        auto reader = wal.open_file(file.header.wal_id, kWalFileHeaderBytes);
        if (!reader.ok()) {
            contents.error = reader.error().message;
            return contents;
        }
        while (true) {
            const auto frame = reader.value()->next();
            if (!frame.ok()) {
                contents.error = frame.error().message;
                return contents;
            }
            if (!frame.value()) break;
            read_frame(*frame.value(), value_bytes, contents);
        }
    }
    return contents;
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_WAL_TESTING_H
