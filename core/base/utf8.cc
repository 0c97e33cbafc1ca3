#include "base/utf8.h"

#include <fmt/format.h>

#include <cstdint>

namespace klog {
namespace {

std::uint32_t byte_at(std::string_view text, std::size_t at) {
    return static_cast<unsigned char>(text[at]);
}

// Bidirectional controls and the like would let a quoted text forge the message around it.
bool is_deceptive(char32_t code) {
    return (code >= 0x200B && code <= 0x200F) || (code >= 0x202A && code <= 0x202E) ||
           (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, std::size_t at) {
    const std::uint32_t lead = byte_at(text, at);
    if (lead < 0x80) return {static_cast<char32_t>(lead), 1};

    std::size_t length = 0;
    std::uint32_t code = 0;
    std::uint32_t least = 0;  // smaller codes have a shorter form
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2, code = lead & 0x1FU, least = 0x80;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3, code = lead & 0x0FU, least = 0x800;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4, code = lead & 0x07U, least = 0x10000;
    } else {
        return {};
    }
    if (text.size() - at < length) return {};
    for (std::size_t i = 1; i < length; ++i) {
        const std::uint32_t next = byte_at(text, at + i);
        if ((next & 0xC0U) != 0x80U) return {};
        code = code << 6U | (next & 0x3FU);
    }
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (code < least || surrogate || code > 0x10FFFF) return {};
    return {static_cast<char32_t>(code), length};
}

std::size_t find_invalid_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = decode_utf8(text, at).length_bytes;
        if (length == 0) return at;
        at += length;
    }
    return std::string_view::npos;
}

std::string code_point_name(char32_t code) {
    return fmt::format("U+{:04X}", static_cast<std::uint32_t>(code));
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (std::size_t at = 0; at < text.size();) {
        const Utf8Char here = decode_utf8(text, at);
        const std::size_t length = here.length_bytes == 0 ? 1 : here.length_bytes;
        if (at + length > kQuotedBytesMax) {
            out += "…";
            break;
        }
        if (here.length_bytes == 0) {
            out += fmt::format("\\x{:02x}", byte_at(text, at));
        } else if (here.code == U'"' || here.code == U'\\') {
            out += '\\';
            out += text[at];
        } else if (here.code != U' ' && (is_control(here.code) || is_white_space(here.code) ||
                                         is_deceptive(here.code))) {
            out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(here.code));
        } else {
            out += text.substr(at, length);
        }
        at += length;
    }
    out += '"';
    return out;
}

}  // namespace klog
