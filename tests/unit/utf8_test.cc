#include "base/utf8.h"

#include <doctest/doctest.h>

#include <string>

using klog::decode_utf8;

namespace {

// Encodes any number up to 21 bits, surrogates included, in the shortest form.
std::string encode(std::uint32_t code) {
    std::string out;
    const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0U | code >> 6U), put(0x80U | (code & 0x3FU));
    } else if (code < 0x10000) {
        put(0xE0U | code >> 12U), put(0x80U | (code >> 6U & 0x3FU)), put(0x80U | (code & 0x3FU));
    } else {
        put(0xF0U | code >> 18U), put(0x80U | (code >> 12U & 0x3FU));
        put(0x80U | (code >> 6U & 0x3FU)), put(0x80U | (code & 0x3FU));
    }
    return out;
}

}  // namespace

TEST_CASE("utf8: every code point is read back, surrogates and what lies beyond are refused") {
    for (std::uint32_t code = 0; code < 0x120000; ++code) {
        const std::string text = encode(code);
        const klog::Utf8Char read = decode_utf8(text, 0);
        const bool valid = (code < 0xD800 || code > 0xDFFF) && code <= 0x10FFFF;
        const bool right =
            valid ? read.length_bytes == text.size() && read.code == code : read.length_bytes == 0;
        if (!right) FAIL("wrong for code " << code);
    }
}

TEST_CASE("utf8: overlong forms, lone and cut bytes are refused") {
    for (const std::string text :
         {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80",
          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xBF", "\xFF",
          "\xFE", "\xC3", "\xC3(", "\xE2\x82", "\xE2(\xA1", "\xE2\x82(", "\xF0\x9F\x98",
          "\xF0\x9F\x98("}) {
        CAPTURE(klog::quoted(text));
        CHECK(decode_utf8(text, 0).length_bytes == 0);
        CHECK(klog::find_invalid_utf8("ab\xC3\xA9" + text) == 4);
    }
    CHECK(klog::find_invalid_utf8("aé€😀") == std::string_view::npos);
}

TEST_CASE("utf8: quoted text is printable and short") {
    CHECK(klog::quoted("orders/1") == "\"orders/1\"");
    CHECK(klog::quoted("a \"b\"\\") == "\"a \\\"b\\\"\\\\\"");
    CHECK(klog::quoted("a\nb\x1B[0m") == "\"a\\u000ab\\u001b[0m\"");
    CHECK(klog::quoted("é\xFF\xC2\xA0") == "\"é\\xff\\u00a0\"");
    CHECK(klog::quoted("a\xE2\x80\xAEz") == "\"a\\u202ez\"");
    CHECK(klog::quoted(std::string(klog::kQuotedBytesMax, 'x')) ==
          "\"" + std::string(klog::kQuotedBytesMax, 'x') + "\"");
    CHECK(klog::quoted(std::string(5000, 'x')) ==
          "\"" + std::string(klog::kQuotedBytesMax, 'x') + "…\"");
}
