#include "cli/json_text.h"

#include <cstdint>

namespace klog::cli {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t skip_space(std::string_view text, std::size_t at) {
    while (at < text.size() && is_space(text[at])) ++at;
    return at;
}

// Behind the string that begins at `at`.
std::size_t skip_string(std::string_view text, std::size_t at) {
    for (++at; at < text.size(); ++at) {
        if (text[at] == '\\') {
            ++at;
        } else if (text[at] == '"') {
            return at + 1;
        }
    }
    return text.size();
}

// Behind the value that begins at `at`.
std::size_t skip_value(std::string_view text, std::size_t at) {
    std::size_t depth = 0;
    while (at < text.size()) {
        const char c = text[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else if (c == '{' || c == '[') {
            ++depth;
            ++at;
            continue;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return at;
            --depth;
            ++at;
        } else if (depth == 0 && (c == ',' || is_space(c))) {
            return at;
        } else {
            ++at;
            continue;
        }
        if (depth == 0) return at;
    }
    return text.size();
}

void append_utf8(std::string& out, std::uint32_t point) {
    const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (point < 0x80U) {
        put(point);
    } else if (point < 0x800U) {
        put(0xC0U | (point >> 6U));
        put(0x80U | (point & 0x3FU));
    } else if (point < 0x10000U) {
        put(0xE0U | (point >> 12U));
        put(0x80U | ((point >> 6U) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    } else {
        put(0xF0U | (point >> 18U));
        put(0x80U | ((point >> 12U) & 0x3FU));
        put(0x80U | ((point >> 6U) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    }
}

// Four hexadecimal digits at `at`; nothing where they are not there.
std::optional<std::uint32_t> hex4(std::string_view text, std::size_t at) {
    if (at + 4 > text.size()) return std::nullopt;
    std::uint32_t point = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        const char c = text[i];
        std::uint32_t digit = 0;
        if (c >= '0' && c <= '9') {
            digit = static_cast<std::uint32_t>(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = static_cast<std::uint32_t>(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = static_cast<std::uint32_t>(c - 'A') + 10;
        } else {
            return std::nullopt;
        }
        point = point * 16 + digit;
    }
    return point;
}

// The escape behind the backslash at `at`; gives where it ends.
std::size_t append_escape(std::string& out, std::string_view text, std::size_t at) {
    const char c = at + 1 < text.size() ? text[at + 1] : '\0';
    switch (c) {
        case 'n':
            out.push_back('\n');
            break;
        case 't':
            out.push_back('\t');
            break;
        case 'r':
            out.push_back('\r');
            break;
        case 'b':
            out.push_back('\b');
            break;
        case 'f':
            out.push_back('\f');
            break;
        case 'u': {
            auto point = hex4(text, at + 2);
            if (!point) return at + 2;
            std::size_t end = at + 6;
            if (*point >= 0xD800U && *point < 0xDC00U && end + 1 < text.size() &&
                text[end] == '\\' && text[end + 1] == 'u') {
                const auto low = hex4(text, end + 2);
                if (low && *low >= 0xDC00U && *low < 0xE000U) {
                    point = 0x10000U + ((*point - 0xD800U) << 10U) + (*low - 0xDC00U);
                    end += 6;
                }
            }
            append_utf8(out, *point);
            return end;
        }
        default:
            out.push_back(c);
            break;
    }
    return at + 2;
}

void append_line(std::string& out, std::size_t level) {
    out.push_back('\n');
    out.append(level * 2, ' ');
}

}  // namespace

std::optional<std::string_view> member(std::string_view object, std::string_view name) {
    std::size_t at = skip_space(object, 0);
    if (at >= object.size() || object[at] != '{') return std::nullopt;
    at = skip_space(object, at + 1);
    while (at < object.size() && object[at] == '"') {
        const std::size_t end = skip_string(object, at);
        if (end < at + 2) return std::nullopt;
        const std::string_view found = object.substr(at + 1, end - at - 2);
        at = skip_space(object, end);
        if (at >= object.size() || object[at] != ':') return std::nullopt;
        at = skip_space(object, at + 1);
        const std::size_t behind = skip_value(object, at);
        if (found == name) return object.substr(at, behind - at);
        at = skip_space(object, behind);
        if (at >= object.size() || object[at] != ',') return std::nullopt;
        at = skip_space(object, at + 1);
    }
    return std::nullopt;
}

std::vector<std::string_view> elements(std::string_view array) {
    std::vector<std::string_view> found;
    std::size_t at = skip_space(array, 0);
    if (at >= array.size() || array[at] != '[') return found;
    at = skip_space(array, at + 1);
    while (at < array.size() && array[at] != ']') {
        const std::size_t end = skip_value(array, at);
        if (end == at) return found;
        found.push_back(array.substr(at, end - at));
        at = skip_space(array, end);
        if (at >= array.size() || array[at] != ',') return found;
        at = skip_space(array, at + 1);
    }
    return found;
}

std::string unquote(std::string_view raw) {
    std::string text;
    if (raw.size() < 2 || raw.front() != '"') return text;
    raw.remove_prefix(1);
    raw.remove_suffix(1);
    for (std::size_t at = 0; at < raw.size();) {
        if (raw[at] == '\\') {
            at = append_escape(text, raw, at);
        } else {
            text.push_back(raw[at]);
            ++at;
        }
    }
    return text;
}

std::string text_member(std::string_view object, std::string_view name) {
    const auto raw = member(object, name);
    return raw ? unquote(*raw) : std::string();
}

void append_indented(std::string& out, std::string_view value, std::size_t level) {
    for (std::size_t at = 0; at < value.size();) {
        const char c = value[at];
        if (c == '"') {
            const std::size_t end = skip_string(value, at);
            out.append(value.substr(at, end - at));
            at = end;
            continue;
        }
        const std::size_t next = skip_space(value, at + 1);
        if (c == '{' || c == '[') {
            out.push_back(c);
            if (next < value.size() && (value[next] == '}' || value[next] == ']')) {
                out.push_back(value[next]);
                at = next + 1;
                continue;
            }
            append_line(out, ++level);
        } else if (c == '}' || c == ']') {
            if (level > 0) --level;
            append_line(out, level);
            out.push_back(c);
        } else if (c == ',') {
            out.push_back(c);
            append_line(out, level);
        } else if (c == ':') {
            out.append(": ");
        } else if (!is_space(c)) {
            out.push_back(c);
        }
        at = next;
    }
}

void flatten(std::string& document) {
    for (std::size_t at = 0; at < document.size();) {
        if (document[at] == '"') {
            at = skip_string(document, at);
            continue;
        }
        if (document[at] == '\n' || document[at] == '\r') document[at] = ' ';
        ++at;
    }
}

}  // namespace klog::cli
