// Segments for tests: records that own their bytes, random histories, a segment written of them.
#ifndef KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H
#define KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "env/sim_env.h"
#include "segment/record_codec.h"
#include "segment/record_hash.h"
#include "segment/segment_codec.h"
#include "segment/segment_format.h"
#include "segment/segment_reader.h"
#include "segment/segment_writer.h"
#include "topic/topic.h"

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

// A segment taken apart, so that a part can be changed and all checksums fit again.
struct SegmentParts {
    struct Part {
        SectionRef ref;
        std::string stored;
    };
    SegmentRoot root;
    std::vector<Part> parts;  // in the order of the file

    // Precondition: a sound segment.
    explicit SegmentParts(const std::string& file) {
        const std::string_view trailer =
            std::string_view(file).substr(file.size() - kSegmentTrailerBytes);
        const std::uint32_t root_bytes = root_bytes_of(trailer, file.size(), "f").value();
        root =
            decode_root(std::string_view(file).substr(file.size() - root_bytes), file.size(), "f")
                .value();
        for (const SectionRef& ref : root.sections) {
            parts.push_back({ref, file.substr(ref.offset, ref.stored_bytes)});
        }
    }
    Part& part(SectionType type) {
        for (Part& one : parts) {
            if (one.ref.type == static_cast<std::uint16_t>(type)) return one;
        }
        std::abort();
    }
    [[nodiscard]] std::string unpacked(SectionType type) {
        const Part& one = part(type);
        std::string out;
        if (!unpack(one.stored, one.ref.codec, nullptr, one.ref.unpacked_bytes, out)) std::abort();
        return out;
    }
    // Plainly stored from now on.
    void replace(SectionType type, const std::string& bytes) {
        Part& one = part(type);
        one.stored = bytes;
        one.ref.codec = 0;
        one.ref.unpacked_bytes = bytes.size();
    }
    // The pages of a section, unpacked, with their table.
    [[nodiscard]] std::vector<std::string> pages(SectionType type, PageTable& table) {
        const Part& one = part(type);
        SectionRef ref = one.ref;
        ref.offset = 0;
        table = decode_table(unpacked(table_of(type)), ref, "f").value();
        std::vector<std::string> out;
        for (const PageRef& page : table.pages) {
            std::string bytes;
            if (!unpack(std::string_view(one.stored).substr(page.offset, page.stored_bytes),
                        page.codec, nullptr, page.unpacked_bytes, bytes)) {
                std::abort();
            }
            out.push_back(std::move(bytes));
        }
        return out;
    }
    // Plainly stored; `table` keeps its keys and counts of entries.
    void replace_pages(SectionType type, const std::vector<std::string>& pages, PageTable table) {
        std::string all;
        for (std::size_t i = 0; i < pages.size(); ++i) {
            table.pages[i].codec = 0;
            table.pages[i].crc = crc32c(pages[i]);
            table.pages[i].stored_bytes = static_cast<std::uint32_t>(pages[i].size());
            table.pages[i].unpacked_bytes = static_cast<std::uint32_t>(pages[i].size());
            all += pages[i];
        }
        part(type).stored = all;
        replace(table_of(type), encode_table(table));
    }
    // What is where, and all checksums.
    [[nodiscard]] std::string assemble() {
        std::string out = encode_segment_header(root.stats);
        root.sections.clear();
        for (Part& one : parts) {
            one.ref.offset = out.size();
            one.ref.stored_bytes = one.stored.size();
            one.ref.crc = crc32c(one.stored);
            root.sections.push_back(one.ref);
            out += one.stored;
        }
        return out + encode_root(root, out.size());
    }
};

// Asks everything that can be asked. Every answer either is an error or goes into the text, so that
// two files that answer alike have the same text, and a damaged one differs only by errors.
inline std::vector<std::string> ask_all(SegmentReader& reader, const History& history) {
    std::vector<std::string> answers;
    const auto put = [&answers](auto result, auto&& as_text) {
        answers.push_back(result.ok() ? as_text(result.value())
                                      : "error: " + result.error().message);
    };
    const auto numbers = [](const std::vector<std::uint32_t>& blocks) {
        std::string text = "blocks";
        for (const std::uint32_t block : blocks) text += " " + std::to_string(block);
        return text;
    };
    const auto number = [](std::uint32_t block) { return std::to_string(block); };
    const auto count = [](const TopicCount& one) {
        return std::to_string(one.records) + ":" + std::to_string(one.first_seq.value) + "-" +
               std::to_string(one.last_seq.value);
    };
    const auto bytes = [](const std::string& text) { return text; };
    for (std::uint32_t block = 0; block < reader.blocks(); ++block) {
        put(reader.block(block, block % 3), [](const std::shared_ptr<const Frame>& frame) {
            return std::to_string(frame->header.first_seq.value) + " " +
                   std::to_string(frame->header.base_time.micros) + " " +
                   std::to_string(frame->header.count) + " " + std::string(frame->payload());
        });
        put(reader.stored_run(block, 1, [](std::uint32_t, const BlockInfo&) { return true; }),
            [](const SegmentReader::StoredRun& run) { return *run.bytes; });
    }
    put(reader.dictionary(), bytes);
    put(reader.lineage(), [](const SegmentLineage& lineage) {
        return std::to_string(lineage.wal_first) + "-" + std::to_string(lineage.wal_last);
    });
    const HashKey key = test_identity().hash_key;
    for (std::size_t i = 0; i < history.size(); i += 1 + history.size() / 8) {
        const RecordView record = history[i].view();
        put(reader.find_block(record.seq), number);
        put(reader.find_block(record.time), number);
        put(reader.blocks_of_entity(entity_hash(key, space_of(record.topic), record.key)), numbers);
        put(reader.blocks_of_id(id_hash(key, record.topic, record.has_key, record.key, record.id)),
            numbers);
    }
    for (const char* filter : {">", "shop/>", "shop/1/*", "$klog/>"}) {
        const std::vector<std::string> texts{filter};
        const FilterSet set = FilterSet::parse(texts, {}).value();
        put(reader.blocks_of(set), [&](const SegmentReader::TopicBlocks& found) {
            return numbers(found.blocks) + " " + std::to_string(found.records);
        });
        put(reader.blocks_of_others(set), numbers);
        put(reader.count(set), count);
    }
    std::string topics;
    const Status listed =
        reader.each_topic("", "", [&](std::string_view topic, const TopicCount& one) {
            topics += std::string(topic) + "=" + count(one) + " ";
            return true;
        });
    answers.push_back(listed.ok() ? topics : "error: " + listed.error().message);
    return answers;
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_SEGMENT_TESTING_H
