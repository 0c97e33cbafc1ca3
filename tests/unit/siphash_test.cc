#include "base/siphash.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/coding.h"

namespace klog {
namespace {

HashKey counting_key() {
    HashKey key{};
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
    return key;
}

std::string counting_bytes(std::size_t n) {
    std::string bytes;
    for (std::size_t i = 0; i < n; ++i) bytes.push_back(static_cast<char>(i));
    return bytes;
}

std::string hex(const Hash128& hash) {
    std::string bytes;
    put_fixed(bytes, hash.lo);
    put_fixed(bytes, hash.hi);
    std::string text;
    for (const char c : bytes) {
        const auto v = static_cast<unsigned char>(c);
        text.push_back("0123456789abcdef"[v >> 4U]);
        text.push_back("0123456789abcdef"[v & 15U]);
    }
    return text;
}

Hash128 hash_of(std::string_view bytes) {
    SipHash hash(counting_key());
    hash.update(bytes);
    return hash.finish();
}

}  // namespace

TEST_CASE("siphash: the reference vectors of SipHash-2-4 with 128 bits") {
    const std::pair<std::size_t, const char*> vectors[] = {
        {0, "a3817f04ba25a8e66df67214c7550293"},  {1, "da87c1d86b99af44347659119b22fc45"},
        {2, "8177228da4a45dc7fca38bdef60affe4"},  {3, "9c70b60c5267a94e5f33b6b02985ed51"},
        {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},  {8, "3b62a9ba6258f5610f83e264f31497b4"},
        {9, "264499060ad9baabc47f8b02bb6d71ed"},  {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
        {16, "6ee2a4ca67b054bbfd3315bf85230577"}, {63, "5150d1772f50834a503e069a973fbd7c"},
    };
    for (const auto& vector : vectors) {
        CAPTURE(vector.first);
        CHECK(hex(hash_of(counting_bytes(vector.first))) == vector.second);
    }
}

TEST_CASE("siphash: pieces of any size hash as the whole") {
    const std::string bytes = counting_bytes(70);
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
        const std::string_view all = std::string_view(bytes).substr(0, length);
        const Hash128 whole = hash_of(all);
        for (std::size_t piece = 1; piece <= 17; ++piece) {
            SipHash hash(counting_key());
            for (std::size_t at = 0; at < length; at += piece) hash.update(all.substr(at, piece));
            REQUIRE(hash.finish() == whole);
        }
    }
}

TEST_CASE("siphash: an integer hashes as its eight bytes, wherever it stands") {
    const std::uint64_t value = 0x0102030405060708ULL;
    for (std::size_t before = 0; before <= 9; ++before) {
        std::string copied = counting_bytes(before);
        put_fixed(copied, value);
        copied += "tail";
        SipHash hash(counting_key());
        hash.update(counting_bytes(before));
        hash.update_u64(value);
        hash.update("tail");
        CHECK(hash.finish() == hash_of(copied));
    }
}

TEST_CASE("siphash: every bit of the key counts") {
    const Hash128 expected = hash_of("entity");
    for (std::size_t bit = 0; bit < 128; ++bit) {
        HashKey key = counting_key();
        key[bit / 8] = static_cast<std::uint8_t>(key[bit / 8] ^ (1U << (bit % 8)));
        SipHash hash(key);
        hash.update("entity");
        CHECK(hash.finish() != expected);
    }
}

// Reckoned with a program of its own, which also gives the 0xabac0158050fc4dc that is published for
// no bytes at all.
TEST_CASE("siphash: SipHash-1-3 with 64 bits") {
    const HashKey key = counting_key();
    std::string bytes;
    for (char i = 8; i < 23; ++i) bytes.push_back(i);
    const std::uint64_t first = 0x0706050403020100ULL;
    const std::map<std::size_t, std::uint64_t> expected = {
        {0, 0x369095118d299a8eULL}, {1, 0x25a48eb36c063de4ULL}, {3, 0x70c118c1f94dc352ULL},
        {4, 0x78a384b157b4d9a2ULL}, {7, 0xd320d86d2a519956ULL}, {8, 0xcc4fdd1a7d908b66ULL},
        {15, 0x525a0e7fdae6c123ULL}};
    for (const auto& one : expected) {
        CAPTURE(one.first);
        const auto part = std::string_view(bytes).substr(0, one.first);
        CHECK(sip_hash_13(key, first, part) == one.second);
    }
}

}  // namespace klog
