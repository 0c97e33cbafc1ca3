#include "segment/segment_reader.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "segment/record_hash.h"
#include "segment/segment_codec.h"
#include "tests/support/segment_testing.h"
#include "topic/topic.h"

using namespace klog;
using namespace klog::testing;

namespace {

FilterSet filters(const std::vector<std::string>& yes, const std::vector<std::string>& no = {}) {
    auto set = FilterSet::parse(yes, no);
    REQUIRE(set.ok());
    return std::move(set).value();
}

// A segment, its reader, and what it must say.
struct Written {
    explicit Written(History records, const SegmentWriterOptions& options = {},
                     std::shared_ptr<PageCache> cache = nullptr)
        : history(std::move(records)) {
        auto made = write_segment(env, history, options);
        REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message));
        entry = made.value();
        auto opened = SegmentReader::open(env, kSegmentPath, &entry, std::move(cache));
        REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().message));
        reader = std::move(opened).value();
        for (std::uint32_t i = 0; i < reader->blocks(); ++i) {
            auto info = reader->block_info(i);
            REQUIRE(info.ok());
            infos.push_back(info.value());
        }
    }
    // The block of a record.
    [[nodiscard]] std::uint32_t block_of(Seq seq) const {
        const auto found = std::find_if(infos.begin(), infos.end(), [seq](const BlockInfo& info) {
            return info.held.contains(seq);
        });
        REQUIRE(found != infos.end());
        return static_cast<std::uint32_t>(found - infos.begin());
    }

    SimEnv env{1};
    History history;
    SegmentEntry entry;
    std::shared_ptr<SegmentReader> reader;
    std::vector<BlockInfo> infos;
};

void check_records(Written& written) {
    for (const std::uint32_t ahead : {0U, 7U}) {
        const auto read = read_segment(*written.reader, ahead);
        REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error().message));
        REQUIRE(read->size() == written.history.size());
        for (std::size_t i = 0; i < read->size(); ++i) {
            REQUIRE(same((*read)[i].view(), written.history[i].view()));
        }
    }
}

void check_filter(Written& written, const FilterSet& set) {
    std::set<std::uint32_t> blocks;
    std::set<std::uint32_t> others;
    TopicCount count;
    for (const OwnRecord& record : written.history) {
        if (!set.matches(record.topic)) {
            others.insert(written.block_of(record.fields.seq));
            continue;
        }
        blocks.insert(written.block_of(record.fields.seq));
        add_count(count, {1, record.fields.seq, record.fields.seq});
    }
    const auto found = written.reader->blocks_of(set);
    REQUIRE_MESSAGE(found.ok(), (found.ok() ? "" : found.error().message));
    CHECK(found.value().blocks == std::vector<std::uint32_t>(blocks.begin(), blocks.end()));
    CHECK(found.value().records == count.records);
    const auto found_others = written.reader->blocks_of_others(set);
    REQUIRE(found_others.ok());
    CHECK(found_others.value() == std::vector<std::uint32_t>(others.begin(), others.end()));
    const auto counted = written.reader->count(set);
    REQUIRE(counted.ok());
    CHECK(counted.value() == count);
}

void check_searches(Written& written) {
    const std::uint32_t end = written.reader->blocks();
    for (std::size_t i = 0; i < written.history.size(); i += 1 + written.history.size() / 200) {
        const RecordView record = written.history[i].view();
        for (const std::uint64_t seq :
             {record.seq.value - 1, record.seq.value, record.seq.value + 1}) {
            const auto first =
                std::find_if(written.infos.begin(), written.infos.end(),
                             [seq](const BlockInfo& info) { return info.held.last.value >= seq; });
            const auto found = written.reader->find_block(Seq{seq});
            REQUIRE(found.ok());
            CHECK(found.value() == static_cast<std::uint32_t>(first - written.infos.begin()));
        }
        for (const std::int64_t micros :
             {record.time.micros - 1, record.time.micros, record.time.micros + 1}) {
            const auto first = std::find_if(
                written.infos.begin(), written.infos.end(),
                [micros](const BlockInfo& info) { return info.last_time.micros >= micros; });
            const auto found = written.reader->find_block(Time{micros});
            REQUIRE(found.ok());
            CHECK(found.value() == static_cast<std::uint32_t>(first - written.infos.begin()));
        }
    }
    CHECK(written.reader->find_block(Seq{0}).value() == 0);
    CHECK(written.reader->find_block(Seq{UINT64_MAX}).value() == end);
    CHECK(written.reader->find_block(Time{INT64_MIN}).value() == 0);
    CHECK(written.reader->find_block(Time{INT64_MAX}).value() == end);
}

void check_topics(Written& written) {
    std::map<std::string, TopicCount> expected;
    for (const OwnRecord& record : written.history) {
        add_count(expected[record.topic], {1, record.fields.seq, record.fields.seq});
    }
    for (const auto& [prefix, from] :
         std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                          {"shop/", ""},
                                                          {"shop/1/", "shop/1/n5"},
                                                          {"$", ""},
                                                          {"zzz", ""},
                                                          {"", "shop/2"}}) {
        std::map<std::string, TopicCount> listed;
        std::string before;
        const Status status = written.reader->each_topic(
            prefix, from, [&](std::string_view topic, const TopicCount& count) {
                CHECK((before.empty() || before < topic));
                before = topic;
                listed[before] = count;
                return true;
            });
        REQUIRE(status.ok());
        std::map<std::string, TopicCount> wanted;
        for (const auto& [topic, count] : expected) {
            if (topic.starts_with(prefix) && topic >= from) wanted[topic] = count;
        }
        CHECK(listed == wanted);
    }
}

void check_hashes(Written& written) {
    const HashKey key = test_identity().hash_key;
    std::map<Hash128, std::set<std::uint32_t>> entities;
    std::map<Hash128, std::set<std::uint32_t>> ids;
    for (const OwnRecord& own_record : written.history) {
        const RecordView record = own_record.view();
        const std::uint32_t block = written.block_of(record.seq);
        if (record.has_key) {
            entities[entity_hash(key, space_of(record.topic), record.key)].insert(block);
        }
        if (!record.id.empty()) {
            ids[id_hash(key, record.topic, record.has_key, record.key, record.id)].insert(block);
        }
    }
    const auto as_vector = [](const std::set<std::uint32_t>& set) {
        return std::vector<std::uint32_t>(set.begin(), set.end());
    };
    for (const auto& [hash, blocks] : entities) {
        const auto found = written.reader->blocks_of_entity(hash);
        REQUIRE(found.ok());
        CHECK(found.value() == as_vector(blocks));
    }
    for (const auto& [hash, blocks] : ids) {
        const auto found = written.reader->blocks_of_id(hash);
        REQUIRE(found.ok());
        CHECK(found.value() == as_vector(blocks));
    }
    for (std::uint64_t i = 0; i < 300; ++i) {
        const std::string name = "absent-" + std::to_string(i);
        const auto found = written.reader->blocks_of_entity(entity_hash(key, "shop", name));
        REQUIRE(found.ok());
        CHECK(found.value().empty());
    }
}

}  // namespace

TEST_CASE("segment: random histories come back, and every search gives what a scan gives") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        SegmentWriterOptions options;
        options.block_bytes = seed % 3 == 0 ? 200 : 4096;
        options.dictionary_bytes_max = seed % 4 == 0 ? 0 : 16 * 1024;
        options.level = static_cast<int>(1 + seed % 9);
        const auto cache = seed % 2 == 0 ? PageCache::make(1U << 20U) : nullptr;
        Written written(random_history(random, 1 + random() % (seed == 12 ? 20000 : 3000)), options,
                        cache);
        check_records(written);
        check_searches(written);
        check_topics(written);
        check_hashes(written);
        check_filter(written, FilterSet());
        check_filter(written, filters({"shop/>"}));
        check_filter(written, filters({"shop/1/orders"}));
        check_filter(written, filters({"shop/*/n1*", "shop/2/orders"}, {"shop/2/>"}));
        check_filter(written, filters({">"}, {"shop/*/orders"}));
        check_filter(written, filters({">", "$klog/>"}));
        check_filter(written, filters({"$klog/settings/1", "shop/0/n*"}));
        check_filter(written, filters({"nothing/here"}));
        const Status sound = written.reader->verify(true, {});
        CHECK_MESSAGE(sound.ok(), (sound.ok() ? "" : sound.error().message));
        CHECK(written.reader->verify(false, {}).ok());
    }
}

TEST_CASE("segment: one without records answers everything with nothing") {
    Written written({});
    CHECK(written.reader->blocks() == 0);
    CHECK(written.entry.held.empty());
    CHECK(written.entry.covered == SeqRange{Seq{1}, Seq{10}});
    CHECK(written.reader->find_block(Seq{5}).value() == 0);
    CHECK(written.reader->find_block(Time{5}).value() == 0);
    CHECK(written.reader->blocks_of(FilterSet()).value().blocks.empty());
    CHECK(written.reader->blocks_of(filters({"a/>"})).value().blocks.empty());
    CHECK(written.reader->count(filters({"a/>"})).value() == TopicCount{});
    CHECK(written.reader->blocks_of_entity({1, 2}).value().empty());
    CHECK(written.reader->blocks_of_id({1, 2}).value().empty());
    CHECK(written.reader->verify(true, {}).ok());
}

TEST_CASE("segment: huge and tiny records beside each other, each block with what it may hold") {
    History history;
    std::mt19937_64 random(4);
    for (std::uint64_t i = 1; i <= 40; ++i) {
        OwnRecord record;
        record.fields.seq = {i};
        record.fields.time = {static_cast<std::int64_t>(i)};
        record.topic = i % 2 == 0 ? "big" : "small";
        if (i % 10 == 0) {
            record.value.resize(3U << 20U);
            for (char& c : record.value) c = static_cast<char>(random());  // cannot be packed
        } else if (i % 5 == 0) {
            record.value.assign(5U << 20U, 'z');
        }
        record.fields.encoding = Encoding::bytes;
        history.push_back(std::move(record));
    }
    Written written(history, kMergeOptions, PageCache::make(1U << 20U));
    check_records(written);
    std::size_t plain = 0;
    for (const BlockInfo& info : written.infos) {
        const bool large = info.payload_bytes > 1'000'000;
        CHECK((!large || info.count == 1));
        if (info.codec == 0) ++plain;
        CHECK((info.codec != 0 || info.stored_bytes == info.payload_bytes));
    }
    CHECK(plain >= 4);
    CHECK(written.reader->verify(true, {}).ok());
}

TEST_CASE("segment: 200,000 topics cost a reader no memory, and one of them a page") {
    constexpr std::uint64_t kTopics = 200'000;
    SimEnv env(1);
    REQUIRE(env.create_dirs("/seg/1").ok());
    auto writer = SegmentWriter::create(env, kSegmentPath, test_identity(), {}).value();
    for (std::uint64_t i = 1; i <= kTopics; ++i) {
        const std::string topic = "orders/" + std::to_string(i * 7919 % kTopics) + "/created";
        const std::string key = std::to_string(i);
        RecordView record;
        record.seq = {i};
        record.time = {static_cast<std::int64_t>(i)};
        record.topic = topic;
        record.has_key = true;
        record.key = key;
        record.version = {1};
        record.value = "{}";
        REQUIRE(writer->add(record).ok());
    }
    const SegmentEntry entry = writer->finish({Seq{1}, Seq{kTopics}}, {}).value();
    writer.reset();
    CHECK(entry.root_bytes < 4096);

    const auto in_use = [] { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; };
    const std::size_t before = in_use();
    const auto cache = PageCache::make(1U << 20U);
    const auto reader = SegmentReader::open(env, kSegmentPath, &entry, cache).value();
    const std::uint64_t read_before = env.calls(SimCall::read);
    CHECK(reader->count(filters({"orders/12345/created"})).value().records == 1);
    CHECK(env.calls(SimCall::read) - read_before <= 3);  // the table, a page, or two
    CHECK(reader->blocks_of(filters({"orders/777/*"})).value().blocks.size() == 1);
    CHECK(env.calls(SimCall::read) - read_before <= 5);
    CHECK(reader->count(filters({"orders/1999*/created"})).value().records == 111);
    CHECK(reader->count(filters({"*/*/created"})).value() ==
          TopicCount{kTopics, Seq{1}, Seq{kTopics}});
    std::uint64_t listed = 0;
    REQUIRE(reader
                ->each_topic("orders/", "",
                             [&listed](std::string_view, const TopicCount&) {
                                 ++listed;
                                 return true;
                             })
                .ok());
    CHECK(listed == kTopics);
    const HashKey key = test_identity().hash_key;
    for (std::uint64_t i = 1; i < kTopics; i += 1013) {
        CHECK(reader->blocks_of_entity(entity_hash(key, "orders", std::to_string(i))).value() ==
              std::vector<std::uint32_t>{reader->find_block(Seq{i}).value()});
    }
    const std::size_t after = in_use();
    // The cache, tables of some hundred pages, the file handle.
    CHECK(after < before + (1U << 20U) + 256U * 1024);
    CHECK(cache->stats().bytes <= 1U << 20U);
}

TEST_CASE("segment: readers share what was unpacked, and read ahead in one call") {
    std::mt19937_64 random(8);
    const auto cache = PageCache::make(16U << 20U);
    Written written(random_history(random, 4000), {}, cache);
    REQUIRE(written.reader->blocks() > 30);
    cache->forget(7);
    REQUIRE(written.reader->block(0, 0).ok());  // the index and the dictionary
    const std::uint64_t before = written.env.calls(SimCall::read);
    REQUIRE(written.reader->block(8, 7).ok());
    CHECK(written.env.calls(SimCall::read) == before + 1);
    const auto one = written.reader->block(12, 7);
    CHECK(written.env.calls(SimCall::read) == before + 1);
    // Another reader of the same file: the root alone is its own.
    const auto other =
        SegmentReader::open(written.env, kSegmentPath, &written.entry, cache).value();
    const std::uint64_t opened = written.env.calls(SimCall::read);
    CHECK(other->block(12, 7).value() == one.value());  // the very same memory
    CHECK(written.env.calls(SimCall::read) == opened);
}

TEST_CASE("segment: an absent key costs one small page") {
    std::mt19937_64 random(9);
    Written written(random_history(random, 3000));
    const HashKey key = test_identity().hash_key;
    REQUIRE(written.reader->blocks_of_entity(entity_hash(key, "shop", "x")).ok());  // the tables
    const std::uint64_t before = written.env.calls(SimCall::read);
    std::uint64_t asked = 0;
    for (; asked < 1000; ++asked) {
        const Hash128 hash = entity_hash(key, "nowhere", std::to_string(asked));
        CHECK(written.reader->blocks_of_entity(hash).value().empty());
    }
    CHECK(written.env.calls(SimCall::read) - before < asked * 105 / 100);
}

TEST_CASE("segment: concurrent readers see the same bytes") {
    std::mt19937_64 random(10);
    Written written(random_history(random, 2000), {}, PageCache::make(256U * 1024));
    std::atomic<int> wrong{0};
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&written, &wrong, thread] {
            for (int round = 0; round < 3; ++round) {
                const auto read = read_segment(*written.reader, static_cast<std::uint32_t>(thread));
                if (!read.ok() || read->size() != written.history.size()) {
                    ++wrong;
                    return;
                }
                for (std::size_t i = 0; i < read->size(); ++i) {
                    if (!same((*read)[i].view(), written.history[i].view())) ++wrong;
                }
                if (!written.reader->count(FilterSet()).ok()) ++wrong;
            }
        });
    }
    threads.clear();
    CHECK(wrong == 0);
}

TEST_CASE("segment: what is stored unpacks elsewhere, with the dictionary") {
    std::mt19937_64 random(12);
    Written written(random_history(random, 3000));
    const auto dictionary = written.reader->dictionary();
    REQUIRE(dictionary.ok());
    CHECK_FALSE(dictionary.value().empty());
    const UnpackDictionary prepared(dictionary.value());
    for (std::uint32_t block = 0; block < written.reader->blocks(); ++block) {
        const auto stored = written.reader->stored_run(
            block, 0, [block](std::uint32_t asked, const BlockInfo&) { return asked == block; });
        REQUIRE(stored.ok());
        REQUIRE(stored.value().blocks.size() == 1);
        std::string payload;
        REQUIRE(unpack(*stored.value().bytes, written.infos[block].codec, &prepared,
                       written.infos[block].payload_bytes, payload));
        CHECK(payload == written.reader->block(block, 0).value()->payload());
    }
}

TEST_CASE("segment: a run of stored blocks ends at its limit, and before one that is not wanted") {
    std::mt19937_64 random(14);
    Written written(random_history(random, 3000));
    REQUIRE(written.reader->blocks() > 6);
    const auto run = [&](std::uint32_t from, std::size_t bytes_max) {
        return written.reader->stored_run(
            from, bytes_max, [](std::uint32_t block, const BlockInfo&) { return block != 5; });
    };
    const auto whole = run(1, 1U << 20U);
    REQUIRE(whole.ok());
    CHECK(whole.value().blocks.size() == 4);
    CHECK(whole.value().blocks.front().held == written.infos[1].held);
    const auto limited = run(1, written.infos[1].stored_bytes + written.infos[2].stored_bytes);
    REQUIRE(limited.ok());
    CHECK(limited.value().blocks.size() == 2);
    const auto none = run(5, 1U << 20U);
    REQUIRE(none.ok());
    CHECK(none.value().blocks.empty());
}

TEST_CASE("segment: lineage and statistics come back; progress adds up to the file") {
    std::mt19937_64 random(13);
    const History history = random_history(random, 300);
    SimEnv env(1);
    REQUIRE(env.create_dirs("/seg/1").ok());
    SegmentIdentity identity = test_identity();
    identity.generation = 3;
    identity.log_id = LogId::system;
    auto writer = SegmentWriter::create(env, kSegmentPath, identity, {}).value();
    for (const OwnRecord& record : history) REQUIRE(writer->add(record.view()).ok());
    SegmentLineage lineage;
    lineage.inputs = {4, 5, 6};
    lineage.purge_seq = 9;
    lineage.policy_seq = 10;
    const SegmentEntry entry = writer->finish(covered_by(history), lineage).value();
    const auto reader = SegmentReader::open(env, kSegmentPath, nullptr, nullptr).value();
    CHECK(reader->stats().generation == 3);
    CHECK(reader->stats().log_id == LogId::system);
    CHECK(reader->stats().store_uuid == identity.store_uuid);
    CHECK(reader->stats().records == history.size());
    CHECK(reader->stats().payload_bytes == entry.payload_bytes);
    CHECK(reader->stats().covered == covered_by(history));
    CHECK(reader->block(0, 0).value()->header.log_id == LogId::system);
    const SegmentLineage read = reader->lineage().value();
    CHECK(read.inputs == lineage.inputs);
    CHECK(read.wal_first == 0);
    CHECK(read.purge_seq == 9);
    CHECK(read.policy_seq == 10);
    std::uint64_t told = 0;
    REQUIRE(reader->verify(true, [&told](std::uint64_t bytes) { told += bytes; }).ok());
    CHECK(told == entry.file_bytes);
}
