// How small a segment is, how fast it is packed and unpacked. Driven by storage.py, which feeds it
// events as klog envelopes on standard input.
//
//     klog_storage_bench FOLDER [BLOCK_KIB LEVEL DICTIONARY_KIB TRAINING_KIB]...
//
// Prints one line a setting: the setting, bytes of the file per byte of the envelopes, and per byte
// of the values alone; MB of envelopes packed and GB of payload unpacked in a second of one
// thread's processor time; then, per byte of the envelopes, dictionary, block index, topics, keys,
// filter.
#include <fmt/format.h>
#include <simdjson.h>
#include <time.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "klog/env.h"
#include "segment/segment_reader.h"
#include "segment/segment_reader_impl.h"
#include "segment/segment_writer.h"

using namespace klog;

namespace {

constexpr double kNanosASecond = 1e9;
constexpr int kUnpackRounds = 3;
constexpr std::uint64_t kCacheBytes = 4U << 20U;  // less than a segment: each round unpacks anew
constexpr std::uint32_t kAhead = 8;
constexpr std::string_view kValue = ",\"value\":";

struct Event {
    std::string topic;
    std::string key;
    std::string value;
    Version version;
    std::size_t line_bytes = 0;
};

[[noreturn]] void give_up(const std::string& what) {
    std::cerr << "storage_bench: " << what << "\n";
    std::exit(1);
}

template <class T>
T need(Result<T> result) {
    if (!result.ok()) give_up(result.error().message);
    return std::move(result).value();
}

double processor_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / kNanosASecond;
}

std::vector<Event> read_events() {
    std::vector<Event> events;
    std::map<std::string, std::uint64_t> versions;
    simdjson::ondemand::parser parser;
    std::string line;
    while (std::getline(std::cin, line)) {
        const simdjson::padded_string padded(line);
        auto document = parser.iterate(padded);
        Event event;
        event.topic = std::string_view(document["topic"].get_string());
        event.key = std::string_view(document["key"].get_string());
        // Word for word as it came. No string in JSON can hold these quotes, so this is the member.
        const std::size_t at = line.find(kValue);
        if (at == std::string::npos) give_up("an envelope without a value");
        event.value = line.substr(at + kValue.size(), line.size() - at - kValue.size() - 1);
        event.line_bytes = line.size();
        event.version = {++versions[event.topic.substr(0, event.topic.find('/')) + event.key]};
        events.push_back(std::move(event));
    }
    return events;
}

RecordView record_of(const Event& event, std::uint64_t number) {
    RecordView record;
    record.seq = {number + 1};
    // Some microseconds apart, as a stream is: the low digits cost what they cost in life.
    record.time = {1'700'000'000'000'000 + static_cast<std::int64_t>(number * 53 + number % 7)};
    record.topic = event.topic;
    record.has_key = true;
    record.key = event.key;
    record.version = event.version;
    record.value = event.value;
    return record;
}

void measure(Env& env, const std::string& path, const std::vector<Event>& events,
             const SegmentWriterOptions& options) {
    std::uint64_t json_bytes = 0;
    std::uint64_t value_bytes = 0;
    for (const Event& event : events) {
        json_bytes += event.line_bytes;
        value_bytes += event.value.size();
    }
    SegmentIdentity identity;
    identity.segment_id = 1;
    identity.hash_key.fill(1);
    double begin = processor_seconds();
    auto writer = need(SegmentWriter::create(env, path, identity, options));
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (const Status added = writer->add(record_of(events[i], i)); !added.ok()) {
            give_up(added.error().message);
        }
    }
    const SegmentEntry entry = need(writer->finish({Seq{1}, Seq{events.size()}}, {}));
    const double pack_seconds = processor_seconds() - begin;

    const auto opened = need(SegmentReader::open(env, path, &entry, PageCache::make(kCacheBytes)));
    double unpack_seconds = 0;
    for (int round = 0; round < kUnpackRounds; ++round) {
        begin = processor_seconds();
        for (std::uint32_t block = 0; block < opened->blocks(); ++block) {
            need(opened->block(block, kAhead));
        }
        unpack_seconds += processor_seconds() - begin;
    }
    const auto& reader = dynamic_cast<const SegmentReaderImpl&>(*opened);
    const auto part = [&](SectionType first, SectionType last) {
        std::uint64_t bytes = 0;
        for (const SectionRef& section : reader.root().sections) {
            const auto type = static_cast<SectionType>(section.type);
            if (type >= first && type <= last) bytes += section.stored_bytes;
        }
        return static_cast<double>(bytes) / static_cast<double>(json_bytes);
    };
    fmt::print("{} {} {} {} {:.4f} {:.4f} {:.0f} {:.2f} {:.4f} {:.4f} {:.4f} {:.4f} {:.4f}\n",
               options.block_bytes / 1024, options.level, options.dictionary_bytes_max / 1024,
               options.training_bytes / 1024,
               static_cast<double>(entry.file_bytes) / static_cast<double>(json_bytes),
               static_cast<double>(entry.file_bytes) / static_cast<double>(value_bytes),
               static_cast<double>(json_bytes) / pack_seconds / 1e6,
               static_cast<double>(entry.payload_bytes) * kUnpackRounds / unpack_seconds / 1e9,
               part(SectionType::dictionary, SectionType::dictionary),
               part(SectionType::index_pages, SectionType::index_table),
               part(SectionType::topic_pages, SectionType::topic_table),
               part(SectionType::key_pages, SectionType::key_table),
               part(SectionType::filter_pages, SectionType::filter_table));
    std::fflush(stdout);
    if (const Status removed = env.remove(path); !removed.ok()) give_up(removed.error().message);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || (argc - 2) % 4 != 0)
        give_up("usage: FOLDER [BLOCK_KIB LEVEL DICTIONARY_KIB TRAINING_KIB]...");
    const std::vector<std::string> args(argv + 1, argv + argc);
    const std::vector<Event> events = read_events();
    if (events.empty()) give_up("no events came on standard input");
    const auto env = make_posix_env({.sync = false});
    for (std::size_t i = 1; i + 3 < args.size(); i += 4) {
        SegmentWriterOptions options;
        options.block_bytes = static_cast<std::uint32_t>(std::stoul(args[i]) * 1024);
        options.level = std::stoi(args[i + 1]);
        options.dictionary_bytes_max = static_cast<std::uint32_t>(std::stoul(args[i + 2]) * 1024);
        options.training_bytes = static_cast<std::uint32_t>(std::stoul(args[i + 3]) * 1024);
        measure(*env, args[0] + "/measured.seg", events, options);
    }
    return 0;
}
