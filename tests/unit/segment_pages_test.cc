#include "segment/segment_pages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace klog;

namespace {

std::vector<std::uint32_t> back(const std::string& bytes, std::uint32_t blocks, bool* sound) {
    ByteReader in(bytes);
    BlockUnion held(blocks);
    *sound = take_postings(in, blocks, &held) && in.left() == 0;
    return held.take();
}

}  // namespace

TEST_CASE("segment pages: postings come back, and dense ones take next to nothing") {
    std::mt19937_64 random(1);
    for (int round = 0; round < 300; ++round) {
        const auto blocks = static_cast<std::uint32_t>(1 + random() % 5000);
        std::set<std::uint32_t> chosen{static_cast<std::uint32_t>(random() % blocks)};
        for (std::uint64_t i = random() % blocks; i > 0; --i) {
            chosen.insert(static_cast<std::uint32_t>(random() % blocks));
        }
        const std::vector<std::uint32_t> list(chosen.begin(), chosen.end());
        std::string bytes;
        put_postings(bytes, list);
        bool sound = false;
        CHECK(back(bytes, blocks, &sound) == list);
        CHECK(sound);
        // One block fewer than there must be.
        back(bytes, list.back(), &sound);
        CHECK_FALSE(sound);
        for (std::size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 10) {
            back(bytes.substr(0, cut), blocks, &sound);
            CHECK_FALSE(sound);
        }
    }
    std::vector<std::uint32_t> dense(100'000);
    for (std::uint32_t i = 0; i < dense.size(); ++i) dense[i] = i;
    std::string bytes;
    put_postings(bytes, dense);
    CHECK(bytes.size() <= 5);
}

TEST_CASE("segment pages: runs and gaps that overflow are broken, not followed") {
    const std::vector<std::vector<std::uint64_t>> hostile = {
        {UINT64_MAX},        {1, UINT64_MAX}, {(10ULL << 2U) | 1U, 5}, {(1ULL << 63U)},
        {3, UINT64_MAX - 1}, {2, 2, 2},       {(16ULL << 2U)},         {1, 15}};
    for (const auto& numbers : hostile) {
        std::string bytes;
        for (const std::uint64_t number : numbers) put_varint(bytes, number);
        bool sound = true;
        back(bytes, 16, &sound);
        CHECK_FALSE(sound);
    }
}

TEST_CASE("segment pages: a separator stands between its neighbours") {
    CHECK(topic_separator("", "orders/1") == "o");
    CHECK(topic_separator("orders/1", "orders/10") == "orders/10");
    CHECK(topic_separator("orders/199/x", "orders/2/y") == "orders/2");
    const std::string_view separator = topic_separator("a/b", "a/c/d/e");
    CHECK(separator > "a/b");
    CHECK(separator <= "a/c/d/e");
    CHECK(separator == "a/c");
}

TEST_CASE("segment pages: topics that do not rise, or are too long, are broken") {
    const std::vector<std::uint32_t> blocks{0};
    const TopicCount one{1, Seq{5}, Seq{5}};
    const auto walk = [](const std::string& page, std::uint32_t entries) {
        TopicCursor cursor(page, entries, Seq{5}, 1);
        std::uint32_t seen = 0;
        while (cursor.next()) ++seen;
        return cursor.broken() ? -1 : static_cast<int>(seen);
    };
    std::string page;
    put_topic(page, "", "a/b", one, Seq{5}, blocks);
    put_topic(page, "a/b", "a/c", one, Seq{5}, blocks);
    CHECK(walk(page, 2) == 2);
    CHECK(walk(page, 1) == -1);  // bytes are left
    CHECK(walk(page, 3) == -1);
    std::string twice = page;
    put_topic(twice, "a/c", "a/c", one, Seq{5}, blocks);
    CHECK(walk(twice, 3) == -1);
    std::string falls = page;
    put_topic(falls, "a/c", "a/a", one, Seq{5}, blocks);
    CHECK(walk(falls, 3) == -1);
    std::string longest;
    put_topic(longest, "", std::string(Limits::kTopicBytesMax + 1, 't'), one, Seq{5}, blocks);
    CHECK(walk(longest, 1) == -1);
    std::string many;
    put_topic(many, "", "t", {2, Seq{5}, Seq{5}}, Seq{5}, blocks);  // two records at one seq
    CHECK(walk(many, 1) == -1);
    std::string shares = std::string(1, '\x09') + page.substr(1);  // with a topic before it
    CHECK(walk(shares, 2) == -1);
}

TEST_CASE("segment pages: the filter misses nothing and lets little through") {
    std::mt19937_64 random(3);
    constexpr std::uint64_t kEntries = 20'000;
    const std::uint32_t blocks = filter_blocks(kEntries);
    CHECK(blocks * kFilterBlockBytes * 8 >= kEntries * kFilterBitsPerEntry);
    std::string filter(blocks * kFilterBlockBytes, '\0');
    const auto at = [&](std::uint64_t fingerprint) {
        return filter.data() + filter_block_of(fingerprint, blocks) * kFilterBlockBytes;
    };
    std::vector<std::uint64_t> held(kEntries);
    for (std::uint64_t& fingerprint : held) {
        fingerprint = random();
        filter_add(at(fingerprint), fingerprint);
    }
    for (const std::uint64_t fingerprint : held)
        CHECK(filter_may_hold(at(fingerprint), fingerprint));
    std::uint64_t passed = 0;
    for (std::uint64_t i = 0; i < kEntries; ++i) {
        const std::uint64_t absent = random();
        if (filter_may_hold(at(absent), absent)) ++passed;
    }
    CHECK(passed < kEntries * 25 / 1000);
    CHECK(filter_blocks(0) == 0);
    CHECK(filter_block_of(UINT64_MAX, blocks) == blocks - 1);
}

TEST_CASE("segment pages: the block index keeps negative times and holes") {
    std::vector<BlockInfo> infos(3);
    std::uint64_t offset = kSegmentHeaderBytes;
    std::uint64_t seq = 100;
    std::int64_t time = -5'000;
    for (BlockInfo& info : infos) {
        info.held = {Seq{seq}, Seq{seq + 40}};
        info.count = 17;
        info.first_time = {time};
        info.last_time = {time + 9};
        info.offset = offset;
        info.stored_bytes = 300;
        info.payload_bytes = 300;
        info.crc = static_cast<std::uint32_t>(seq * 77);
        info.flags = BlockInfo::kPlainTopics;
        offset += 300;
        seq += 1'000;
        time += 4'000;
    }
    SectionRef blocks;
    blocks.offset = kSegmentHeaderBytes;
    blocks.stored_bytes = 900;
    const std::string page = encode_index_page(infos);
    const std::string key = index_key(infos.front());
    CHECK(seq_of_index_key(key) == Seq{100});
    CHECK(time_of_index_key(key) == Time{-5'000});
    std::vector<BlockInfo> read;
    REQUIRE(decode_index_page(page, key, 3, blocks, read));
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(read[i].held == infos[i].held);
        CHECK(read[i].count == 17);
        CHECK(read[i].first_time == infos[i].first_time);
        CHECK(read[i].last_time == infos[i].last_time);
        CHECK(read[i].offset == infos[i].offset);
        CHECK(read[i].stored_bytes == 300);
        CHECK(read[i].crc == infos[i].crc);
        CHECK(read[i].flags == infos[i].flags);
    }
    CHECK_FALSE(decode_index_page(page, key, 2, blocks, read));
    CHECK_FALSE(decode_index_page(page, key, 4, blocks, read));
    CHECK_FALSE(decode_index_page(page, key.substr(1), 3, blocks, read));
    blocks.stored_bytes = 899;
    CHECK_FALSE(decode_index_page(page, key, 3, blocks, read));
}
