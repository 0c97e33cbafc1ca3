#include "base/crc32c.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

namespace klog {
namespace {

std::string random_bytes(std::size_t n, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::string bytes(n, '\0');
    for (char& c : bytes) c = static_cast<char>(random() & 0xffU);
    return bytes;
}

// The definition, a bit at a time.
std::uint32_t crc32c_bitwise(std::string_view bytes) {
    std::uint32_t crc = 0xffffffff;
    for (const char c : bytes) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0x82f63b78U : crc >> 1U;
        }
    }
    return ~crc;
}

}  // namespace

TEST_CASE("crc32c: the published vectors") {
    std::string ascending;
    std::string descending;
    for (int i = 0; i < 32; ++i) {
        ascending.push_back(static_cast<char>(i));
        descending.push_back(static_cast<char>(31 - i));
    }
    for (auto* const f : {crc32c, crc32c_table}) {
        CHECK(f("", 0) == 0);
        CHECK(f("123456789", 0) == 0xe3069283);
        // RFC 3720, B.4
        CHECK(f(std::string(32, '\0'), 0) == 0x8a9136aa);
        CHECK(f(std::string(32, '\xff'), 0) == 0x62a8ab43);
        CHECK(f(ascending, 0) == 0x46dd794e);
        CHECK(f(descending, 0) == 0x113fdb5c);
    }
}

TEST_CASE("crc32c: instruction, table and definition agree at every length and alignment") {
    const std::string bytes = random_bytes(40'000, 1);
    for (std::size_t n = 0; n < 1'700; ++n) {
        const std::string_view part = std::string_view(bytes).substr(n % 9, n);
        const std::uint32_t expected = crc32c_bitwise(part);
        REQUIRE(crc32c(part) == expected);
        REQUIRE(crc32c_table(part) == expected);
    }
    for (const std::size_t n : {12'287U, 12'288U, 12'289U, 13'055U, 24'576U, 39'990U}) {
        const std::string_view part = std::string_view(bytes).substr(3, n);
        REQUIRE(crc32c(part) == crc32c_bitwise(part));
    }
}

TEST_CASE("crc32c: going on from a seed equals one call over the whole") {
    const std::string bytes = random_bytes(20'000, 2);
    const std::string_view all = bytes;
    const std::uint32_t whole = crc32c(all);
    for (const std::size_t cut : {0U, 1U, 7U, 8U, 768U, 12'288U, 19'999U, 20'000U}) {
        CHECK(crc32c(all.substr(cut), crc32c(all.substr(0, cut))) == whole);
        CHECK(crc32c_table(all.substr(cut), crc32c_table(all.substr(0, cut))) == whole);
    }
}

TEST_CASE("crc32c: every flipped bit changes it") {
    std::string bytes = random_bytes(64, 3);
    const std::uint32_t sound = crc32c(bytes);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        const auto mask = static_cast<char>(1U << (bit % 8));
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
        CHECK(crc32c(bytes) != sound);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    }
}

}  // namespace klog
