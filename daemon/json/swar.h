// Looking at eight bytes at a time, on any processor: what strings consist of.
#ifndef KLOG_DAEMON_JSON_SWAR_H
#define KLOG_DAEMON_JSON_SWAR_H

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace klog::json {

inline constexpr std::uint64_t kEachByte = 0x0101010101010101ULL;
inline constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;

// The high bit of each byte that is a quote, a backslash or below 0x20. Bits above the lowest one
// that is set may be wrong (borrows), the lowest is right. Both supported architectures are
// little endian, so the lowest is the first.
inline std::uint64_t special_bits(std::uint64_t word) {
    const auto zero_bytes = [](std::uint64_t x) { return (x - kEachByte) & ~x & kHighBits; };
    const std::uint64_t control = (word - kEachByte * 0x20) & ~word & kHighBits;
    return control | zero_bytes(word ^ (kEachByte * '"')) | zero_bytes(word ^ (kEachByte * '\\'));
}

inline bool is_special(char c) {
    return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

// The first quote, backslash or control character in [at, end), or end. high is set where a byte
// above 0x7f was seen (perhaps one that stands up to seven bytes behind the answer).
inline const char* find_special(const char* at, const char* end, bool& high) {
    while (end - at >= 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        if ((word & kHighBits) != 0) high = true;
        const std::uint64_t bits = special_bits(word);
        if (bits != 0) return at + std::countr_zero(bits) / 8;
        at += 8;
    }
    for (; at != end && !is_special(*at); ++at) {
        if (static_cast<unsigned char>(*at) > 0x7f) high = true;
    }
    return at;
}

// How many bytes at the front of text are whole, valid UTF-8 sequences.
[[nodiscard]] std::size_t valid_utf8_prefix(std::string_view text);
// The text with U+FFFD for each byte that belongs to no valid sequence.
[[nodiscard]] std::string repaired_utf8(std::string_view text);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_SWAR_H
