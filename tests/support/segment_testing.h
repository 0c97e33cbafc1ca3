// Segments for tests: records that own their bytes, random histories, a segment written of them.
#ifndef KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H
#define KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "segment/record_codec.h"
#include "segment/segment_reader.h"
#include "segment/segment_writer.h"

namespace klog::testing {

struct OwnRecord {
    RecordView fields;  // its views mean nothing
    std::string topic;
    std::string key;
    std::string id;
    std::string headers;
    std::string value;

    [[nodiscard]] RecordView view() const {
        RecordView record = fields;
        record.topic = topic;
        record.key = key;
        record.id = id;
        record.headers = headers;
        record.value = value;
        return record;
    }
};

inline OwnRecord own(const RecordView& record) {
    return {record,
            std::string(record.topic),
            std::string(record.key),
            std::string(record.id),
            std::string(record.headers),
            std::string(record.value)};
}

inline bool same(const RecordView& a, const RecordView& b) {
    return a.seq == b.seq && a.version == b.version && a.time == b.time && a.kind == b.kind &&
           a.encoding == b.encoding && a.has_key == b.has_key &&
           a.has_event_time == b.has_event_time && a.event_time == b.event_time &&
           a.topic == b.topic && a.key == b.key && a.id == b.id && a.headers == b.headers &&
           a.value == b.value && a.session == b.session && a.session_line == b.session_line;
}

using History = std::vector<OwnRecord>;

// Seqs with holes, times that stand still at times, topics that repeat and some that do not.
inline History random_history(std::mt19937_64& random, std::size_t records,
                              std::size_t value_bytes_max = 300) {
    History history;
    const auto below = [&random](std::uint64_t n) { return random() % n; };
    Seq seq{1 + below(1000)};
    Time time{1'700'000'000'000'000};
    for (std::size_t i = 0; i < records; ++i) {
        OwnRecord record;
        record.fields.seq = seq;
        record.fields.time = time;
        record.topic = "shop/" + std::to_string(below(3)) + "/" +
                       (below(4) == 0 ? "n" + std::to_string(below(100000)) : "orders");
        if (below(20) == 0) record.topic = "$klog/settings/" + std::to_string(below(5));
        record.fields.has_key = below(3) != 0;
        if (record.fields.has_key) {
            record.key = "key-" + std::to_string(below(records));
            record.fields.version = {1 + below(9)};
        }
        if (below(5) == 0) record.id = "id-" + std::to_string(below(1'000'000));
        if (below(9) == 0) record.headers = encode_headers({{"trace", std::to_string(i)}});
        record.value = R"({"n":)" + std::to_string(random()) + R"(,"pad":")" +
                       std::string(below(value_bytes_max + 1), static_cast<char>('a' + i % 26)) +
                       "\"}";
        history.push_back(std::move(record));
        seq.value += 1 + (below(10) == 0 ? below(5) : 0);
        time.micros += static_cast<std::int64_t>(below(3) == 0 ? 0 : below(1000));
    }
    return history;
}

inline SegmentIdentity test_identity() {
    SegmentIdentity identity;
    identity.store_uuid.fill(0xa5);
    identity.hash_key.fill(0x17);
    identity.segment_id = 7;
    return identity;
}

inline const std::string kSegmentPath = "/seg/1/7.seg";

inline SeqRange covered_by(const History& history) {
    if (history.empty()) return {Seq{1}, Seq{10}};
    return {Seq{history.front().fields.seq.value}, Seq{history.back().fields.seq.value + 3}};
}

// Errors: as the writer's.
inline Result<SegmentEntry> write_segment(Env& env, const History& history,
                                          const SegmentWriterOptions& options = {},
                                          const SegmentIdentity& identity = test_identity(),
                                          const std::string& path = kSegmentPath) {
    KLOG_TRY(env.create_dirs("/seg/1"));
    KLOG_TRY_ASSIGN(auto writer, SegmentWriter::create(env, path, identity, options));
    for (const OwnRecord& record : history) KLOG_TRY(writer->add(record.view()));
    SegmentLineage lineage;
    lineage.wal_first = 3;
    lineage.wal_last = 5;
    return writer->finish(covered_by(history), lineage);
}

// All records, by block after block.
inline Result<History> read_segment(SegmentReader& reader, std::uint32_t ahead = 0) {
    History out;
    for (std::uint32_t block = 0; block < reader.blocks(); ++block) {
        KLOG_TRY_ASSIGN(const auto frame, reader.block(block, ahead));
        RecordDecoder decoder(frame->payload(), frame->header.first_seq, frame->header.base_time,
                              frame->header.count);
        RecordView record;
        while (true) {
            KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
            if (!more) break;
            out.push_back(own(record));
        }
    }
    return out;
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H
