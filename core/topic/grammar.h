// What topics, keys and filters have in common: which bytes may stand in a level, and how a
// fault is told. Private to core/topic.
#ifndef KLOG_TOPIC_GRAMMAR_H
#define KLOG_TOPIC_GRAMMAR_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "klog/result.h"

namespace klog::grammar {

enum class ByteClass : std::uint8_t {
    plain,      // ASCII that may stand in a level
    slash,      // between two levels
    wildcard,   // * > + #
    forbidden,  // ASCII that stands in no level
    high,       // begins (or continues) a character of several bytes
};

constexpr std::array<ByteClass, 256> make_byte_classes() {
    std::array<ByteClass, 256> classes{};
    for (std::size_t i = 0; i < classes.size(); ++i) {
        const bool blank_or_control = i <= 0x20 || i == 0x7F;
        classes[i] = i >= 0x80          ? ByteClass::high
                     : blank_or_control ? ByteClass::forbidden
                                        : ByteClass::plain;
    }
    classes['/'] = ByteClass::slash;
    for (const char c : {'*', '>', '+', '#'}) {
        classes[static_cast<unsigned char>(c)] = ByteClass::wildcard;
    }
    for (const char c : {'!', '{', '}', '?'}) {
        classes[static_cast<unsigned char>(c)] = ByteClass::forbidden;
    }
    return classes;
}

inline constexpr std::array<ByteClass, 256> kByteClasses = make_byte_classes();

inline ByteClass class_of(char byte) { return kByteClasses[static_cast<unsigned char>(byte)]; }

// Why a text is refused. A character that cannot stand is told by its first byte, an empty level
// by the "/" that closes it, or, at the end, by the place behind the last byte.
struct Fault {
    std::size_t at = 0;  // from 0; the column is at + 1
    std::string why;
    std::string hint;
};

// The length of the character at `at` if it may stand in a level, 0 if not ("/" and the wildcards
// may not). Precondition: at < text.size().
std::size_t level_char_bytes(std::string_view text, std::size_t at);

// Why the character at `at` may not stand in a level. Precondition: level_char_bytes gave 0.
std::string why_not_in_level(std::string_view text, std::size_t at);

// `"a b" is not a topic: a space may not stand in a level (column 2)`
Error to_error(Code code, std::string_view text, std::string_view what, Fault fault);

}  // namespace klog::grammar

#endif  // KLOG_TOPIC_GRAMMAR_H
