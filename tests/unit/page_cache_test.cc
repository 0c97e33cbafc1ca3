#include "segment/page_cache.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace klog;

namespace {

constexpr std::uint32_t kSection = 2;

std::shared_ptr<const Frame> page_of(std::size_t bytes, char fill = 'x') {
    auto page = std::make_shared<Frame>();
    page->bytes.assign(bytes, fill);
    page->header.payload_bytes = static_cast<std::uint32_t>(bytes);
    return page;
}

}  // namespace

TEST_CASE("page cache: the least recently used goes first") {
    const auto cache = PageCache::make(40'000);  // room for four of these
    for (std::uint32_t i = 0; i < 4; ++i) cache->put({1, kSection, i}, page_of(9'400));
    CHECK(cache->find({1, kSection, 0}) != nullptr);  // now the most recent
    cache->put({1, kSection, 4}, page_of(9'400));
    CHECK(cache->find({1, kSection, 1}) == nullptr);
    CHECK(cache->find({1, kSection, 0}) != nullptr);
    CHECK(cache->find({1, kSection, 2}) != nullptr);
    CHECK(cache->find({1, kSection, 4}) != nullptr);
    const PageCache::Stats stats = cache->stats();
    CHECK(stats.hits == 4);
    CHECK(stats.misses == 1);
    CHECK(stats.puts == 5);
    CHECK(stats.evictions == 1);
    CHECK(stats.bytes <= 40'000);
    CHECK(stats.bytes >= 4 * 9'400);
}

TEST_CASE("page cache: never above its bound, whatever is put") {
    const auto cache = PageCache::make(100'000);
    for (std::uint32_t i = 0; i < 2'000; ++i) {
        cache->put({i % 7, kSection, i}, page_of((i * 7919) % 30'000));
        CHECK(cache->stats().bytes <= 100'000);
    }
    cache->put({1, kSection, 9'999}, page_of(26'000));  // more than a quarter
    CHECK(cache->find({1, kSection, 9'999}) == nullptr);
    const auto nothing = PageCache::make(0);
    nothing->put({1, kSection, 1}, page_of(1));
    CHECK(nothing->find({1, kSection, 1}) == nullptr);
    CHECK(nothing->stats().bytes == 0);
}

TEST_CASE("page cache: the first of two that come at once is kept, and a pinned page lives on") {
    const auto cache = PageCache::make(100'000);
    cache->put({1, kSection, 1}, page_of(100, 'a'));
    const std::uint64_t bytes = cache->stats().bytes;
    cache->put({1, kSection, 1}, page_of(100, 'b'));
    CHECK(cache->stats().bytes == bytes);
    const auto pinned = cache->find({1, kSection, 1});
    REQUIRE(pinned != nullptr);
    CHECK(pinned->bytes.front() == 'a');
    cache->forget(1);
    CHECK(pinned->bytes.size() == 100);
}

TEST_CASE("page cache: a segment is forgotten whole, and only that one") {
    const auto cache = PageCache::make(1'000'000);
    for (std::uint64_t segment = 1; segment <= 3; ++segment) {
        for (std::uint32_t section = 1; section < 9; ++section) {
            cache->put({segment, section, UINT32_MAX}, page_of(100));
        }
    }
    cache->forget(2);
    for (std::uint32_t section = 1; section < 9; ++section) {
        CHECK(cache->find({1, section, UINT32_MAX}) != nullptr);
        CHECK(cache->find({2, section, UINT32_MAX}) == nullptr);
        CHECK(cache->find({3, section, UINT32_MAX}) != nullptr);
    }
    cache->forget(1);
    cache->forget(3);
    CHECK(cache->stats().bytes == 0);
}

TEST_CASE("page cache: concurrent readers, writers and forgetting") {
    const auto cache = PageCache::make(200'000);
    std::atomic<bool> wrong{false};
    std::vector<std::jthread> threads;
    for (std::uint32_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&cache, &wrong, thread] {
            for (std::uint32_t i = 0; i < 5'000; ++i) {
                const std::uint32_t n = (i * 31 + thread) % 97;
                const PageCache::Key key{n % 5, kSection, n};
                if (const auto found = cache->find(key)) {
                    if (found->bytes != std::string(n * 50, static_cast<char>(n))) wrong = true;
                } else {
                    cache->put(key, page_of(n * 50, static_cast<char>(n)));
                }
                if (i % 500 == 0) cache->forget(thread);
            }
        });
    }
    threads.clear();
    CHECK_FALSE(wrong);
    CHECK(cache->stats().bytes <= 200'000);
}
