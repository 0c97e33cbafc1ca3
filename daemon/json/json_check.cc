#include "daemon/json/json_check.h"

#include <fmt/core.h>
#include <simdjson.h>

#include "daemon/json/scanner.h"
#include "daemon/json/swar.h"

namespace klog::json {
namespace {

Error pointer_error(const std::vector<std::string>& pointer, std::string_view what) {
    std::string spelt;
    for (const std::string& token : pointer) {
        spelt.push_back('/');
        for (const char c : token) {
            if (c == '~') {
                spelt += "~0";
            } else if (c == '/') {
                spelt += "~1";
            } else {
                spelt.push_back(c);
            }
        }
    }
    return {Code::bad_record, fmt::format("the value has {} at '{}'", what, spelt),
            "a string or a number has to stand there"};
}

// Moves to the member of that name; the last one where it stands several times.
bool enter_member(Scanner& in, std::string_view name, std::string_view text) {
    const char* found = nullptr;
    std::string decoded;
    if (!in.take('{')) return false;
    in.skip_space();
    while (in.peek() != '}') {
        RawString key;
        if (!in.scan_string(key)) return false;
        in.skip_space();
        if (!in.take(':')) return false;
        in.skip_space();
        std::string_view shown = key.bytes;
        if (key.escaped) {
            decoded.clear();
            shown = decode_string(key.bytes, decoded) ? std::string_view(decoded) : "";
        }
        if (shown == name) found = in.position();
        if (!in.scan_value()) return false;
        in.skip_space();
        if (in.peek() == ',') {
            if (!in.take(',')) return false;
            in.skip_space();
        }
    }
    if (found == nullptr) return false;
    in = Scanner(text.substr(static_cast<std::size_t>(found - text.data())));
    return true;
}

bool enter_element(Scanner& in, std::string_view index) {
    const bool digits = !index.empty() && index.size() <= 9 &&
                        index.find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits || (index.size() > 1 && index[0] == '0')) return false;
    std::uint64_t left = 0;
    for (const char c : index) left = left * 10 + static_cast<std::uint64_t>(c - '0');
    if (!in.take('[')) return false;
    in.skip_space();
    if (in.peek() == ']') return false;
    for (; left > 0; --left) {
        if (!in.scan_value()) return false;
        in.skip_space();
        if (!in.take(',')) return false;
        in.skip_space();
    }
    return true;
}

}  // namespace

Result<std::string_view> Checker::check(char* text, std::size_t size,
                                        std::uint64_t first_line) const {
    Scanner in(text, size, first_line);
    in.skip_space();
    const char* const begin = in.position();
    if (!in.scan_value()) return in.error();
    const char* const end = in.position();
    if (!in.finish()) return in.error();
    return std::string_view(begin, static_cast<std::size_t>(end - begin));
}

Result<std::vector<std::string>> parse_pointer(std::string_view pointer) {
    std::vector<std::string> tokens;
    if (pointer.empty()) return tokens;
    if (pointer[0] != '/') {
        return Error{Code::bad_option, fmt::format("a JSON pointer begins with '/': '{}'", pointer),
                     fmt::format("/{}", pointer)};
    }
    for (std::size_t i = 0; i < pointer.size(); ++i) {
        const char c = pointer[i];
        if (c == '/') {
            tokens.emplace_back();
        } else if (c != '~') {
            tokens.back().push_back(c);
        } else {
            const char next = i + 1 < pointer.size() ? pointer[i + 1] : '\0';
            if (next != '0' && next != '1') {
                return Error{
                    Code::bad_option,
                    fmt::format("'~' stands without 0 or 1 in the JSON pointer '{}'", pointer),
                    "~0 is a tilde, ~1 a slash"};
            }
            tokens.back().push_back(next == '0' ? '~' : '/');
            ++i;
        }
    }
    return tokens;
}

Result<std::string> text_at(std::string_view value, const std::vector<std::string>& pointer) {
    Scanner in(value);
    std::string_view rest = value;
    in.skip_space();
    for (const std::string& token : pointer) {
        const bool entered =
            in.peek() == '[' ? enter_element(in, token) : enter_member(in, token, rest);
        if (!entered) return pointer_error(pointer, "nothing");
        rest = rest.substr(static_cast<std::size_t>(in.position() - rest.data()));
    }
    if (in.peek() == '"') {
        RawString raw;
        std::string text;
        if (!in.scan_string(raw)) return in.error();
        if (decode_string(raw.bytes, text)) return text;
        return pointer_error(pointer, "half a surrogate pair");
    }
    if (in.peek() == '-' || (in.peek() >= '0' && in.peek() <= '9')) {
        const char* const begin = in.position();
        if (!in.scan_value()) return in.error();
        return std::string(begin, in.position());
    }
    return pointer_error(pointer, "neither a string nor a number");
}

void append_quoted(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    const std::size_t start = out.size();
    out.push_back('"');
    const char* at = text.data();
    const char* const end = at + text.size();
    bool high = false;
    for (;;) {
        const char* const next = find_special(at, end, high);
        out.append(at, next);
        if (next == end) break;
        const char c = *next;
        at = next + 1;
        switch (c) {
            case '"':
                out.append("\\\"");
                break;
            case '\\':
                out.append("\\\\");
                break;
            case '\n':
                out.append("\\n");
                break;
            case '\r':
                out.append("\\r");
                break;
            case '\t':
                out.append("\\t");
                break;
            default:
                out.append("\\u00");
                out.push_back(kHex[static_cast<unsigned char>(c) >> 4U]);
                out.push_back(kHex[static_cast<unsigned char>(c) & 0xfU]);
        }
    }
    out.push_back('"');
    if (high && !simdjson::validate_utf8(text)) {
        out.resize(start);
        append_quoted(out, repaired_utf8(text));
    }
}

}  // namespace klog::json
