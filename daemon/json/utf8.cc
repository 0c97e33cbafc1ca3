#include "daemon/json/swar.h"

namespace klog::json {
namespace {

bool is_tail(unsigned char c) { return (c & 0xc0U) == 0x80; }

// The length of the sequence that begins at i, 0 if there is no valid one.
std::size_t sequence_length(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t n) {
        return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : std::uint8_t{0};
    };
    const unsigned char first = byte(0);
    const unsigned char second = byte(1);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4 || !is_tail(second)) return 0;
    if (first < 0xe0) return 2;
    if (!is_tail(byte(2))) return 0;
    if (first < 0xf0) {
        if (first == 0xe0 && second < 0xa0) return 0;  // over-long
        if (first == 0xed && second > 0x9f) return 0;  // a surrogate
        return 3;
    }
    if (!is_tail(byte(3))) return 0;
    if (first == 0xf0 && second < 0x90) return 0;  // over-long
    if (first == 0xf4 && second > 0x8f) return 0;  // above U+10FFFF
    return 4;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        const std::size_t length = sequence_length(text, i);
        if (length == 0) return i;
        i += length;
    }
    return i;
}

std::string repaired_utf8(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::size_t good = valid_utf8_prefix(text);
        out.append(text.substr(0, good));
        if (good == text.size()) break;
        out.append("\xef\xbf\xbd");
        text.remove_prefix(good + 1);
    }
    return out;
}

}  // namespace klog::json
