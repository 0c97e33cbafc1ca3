#include "segment/segment_reader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

#include "segment/record_hash.h"
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
    TopicCount count;
    for (const OwnRecord& record : written.history) {
        if (!set.matches(record.topic)) continue;
        blocks.insert(written.block_of(record.fields.seq));
        add_count(count, {1, record.fields.seq, record.fields.seq});
    }
    const auto found = written.reader->blocks_of(set);
    REQUIRE_MESSAGE(found.ok(), (found.ok() ? "" : found.error().message));
    CHECK(found.value() == std::vector<std::uint32_t>(blocks.begin(), blocks.end()));
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
