#include "topic/grammar.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace klog::grammar {

std::size_t level_char_bytes(std::string_view text, std::size_t at) {
    const ByteClass byte_class = class_of(text[at]);
    if (byte_class == ByteClass::plain) return 1;
    if (byte_class != ByteClass::high) return 0;
    const Utf8Char here = decode_utf8(text, at);
    return is_control(here.code) || is_white_space(here.code) ? 0 : here.length_bytes;
}

std::string why_not_in_level(std::string_view text, std::size_t at) {
    const Utf8Char here = decode_utf8(text, at);
    if (here.length_bytes == 0) return "it is not valid UTF-8";
    if (here.code == U' ') return "a space may not stand in a level";
    if (is_control(here.code)) {
        return fmt::format("the control character {} may not stand in a level",
                           code_point_name(here.code));
    }
    if (is_white_space(here.code)) {
        return fmt::format("the white space {} may not stand in a level",
                           code_point_name(here.code));
    }
    return fmt::format("\"{}\" may not stand in a level", text.substr(at, here.length_bytes));
}

Error to_error(Code code, std::string_view text, std::string_view what, Fault fault) {
    return {
        code,
        fmt::format("{} is not a {}: {} (column {})", quoted(text), what, fault.why, fault.at + 1),
        std::move(fault.hint)};
}

}  // namespace klog::grammar
