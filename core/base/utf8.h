// UTF-8, strictly: no overlong forms, no surrogates, nothing beyond U+10FFFF. Pure: no state.
#ifndef KLOG_BASE_UTF8_H
#define KLOG_BASE_UTF8_H

#include <cstddef>
#include <string>
#include <string_view>

namespace klog {

struct Utf8Char {
    char32_t code = 0;
    std::size_t length_bytes = 0;  // 1 to 4; 0 where no valid character stands
};

// The character whose first byte stands at `at`. Precondition: at < text.size().
[[nodiscard]] Utf8Char decode_utf8(std::string_view text, std::size_t at);

// The index of the first byte of the first ill-formed sequence; npos where all is valid.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view text);

// General category Cc: U+0000 to U+001F and U+007F to U+009F.
[[nodiscard]] constexpr bool is_control(char32_t code) {
    return code < 0x20 || (code >= 0x7F && code <= 0x9F);
}

// The Unicode property White_Space.
[[nodiscard]] constexpr bool is_white_space(char32_t code) {
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

// "U+00A0", for messages.
[[nodiscard]] std::string code_point_name(char32_t code);

// `text` between double quotes, fit for a message: what is not printable is escaped, and what is
// longer than kQuotedBytesMax is cut, with an ellipsis.
inline constexpr std::size_t kQuotedBytesMax = 96;
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace klog

#endif  // KLOG_BASE_UTF8_H
