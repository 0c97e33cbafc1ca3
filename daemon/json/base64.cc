#include <array>

#include "daemon/json/record_json.h"

namespace klog::json {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_values() {
    std::array<std::int8_t, 256> values{};
    for (auto& value : values) value = -1;
    for (int i = 0; i < 64; ++i) {
        values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
    }
    return values;
}
constexpr std::array<std::int8_t, 256> kValues = make_values();

std::uint32_t byte_at(std::string_view bytes, std::size_t i) {
    return static_cast<unsigned char>(bytes[i]);
}

Error bad_base64() {
    return {Code::bad_record, "value_base64 is not base64",
            "the alphabet of RFC 4648 with '+', '/' and padding, without white space"};
}

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
    out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        const std::uint32_t group =
            byte_at(bytes, i) << 16U | byte_at(bytes, i + 1) << 8U | byte_at(bytes, i + 2);
        const char four[] = {kAlphabet[group >> 18U], kAlphabet[(group >> 12U) & 63U],
                             kAlphabet[(group >> 6U) & 63U], kAlphabet[group & 63U]};
        out.append(four, sizeof four);
    }
    const std::size_t left = bytes.size() - i;
    if (left == 0) return;
    std::uint32_t group = byte_at(bytes, i) << 16U;
    if (left == 2) group |= byte_at(bytes, i + 1) << 8U;
    out.push_back(kAlphabet[group >> 18U]);
    out.push_back(kAlphabet[(group >> 12U) & 63U]);
    out.push_back(left == 2 ? kAlphabet[(group >> 6U) & 63U] : '=');
    out.push_back('=');
}

Result<std::string> parse_base64(std::string_view text) {
    if (text.size() % 4 != 0) return bad_base64();
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        std::size_t digits = 4;
        if (i + 4 == text.size() && text[i + 3] == '=') digits = text[i + 2] == '=' ? 2 : 3;
        std::uint32_t group = 0;
        for (std::size_t n = 0; n < 4; ++n) {
            const int value = n < digits ? kValues[byte_at(text, i + n)] : 0;
            if (value < 0) return bad_base64();
            group = group << 6U | static_cast<std::uint32_t>(value);
        }
        // Bits that no byte takes must be zero, so that every value has one spelling.
        if ((digits == 2 && (group & 0xffffU) != 0) || (digits == 3 && (group & 0xffU) != 0)) {
            return bad_base64();
        }
        out.push_back(static_cast<char>(group >> 16U));
        if (digits > 2) out.push_back(static_cast<char>((group >> 8U) & 0xffU));
        if (digits > 3) out.push_back(static_cast<char>(group & 0xffU));
    }
    return out;
}

}  // namespace klog::json
