#include "daemon/json/scanner.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <cstring>

#include "daemon/json/json_check.h"
#include "daemon/json/swar.h"

namespace klog::json {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Precondition: four hexadecimal digits.
std::uint32_t hex4(const char* at) {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) unit = unit * 16 + static_cast<std::uint32_t>(hex_value(at[i]));
    return unit;
}

void append_utf8(std::string& out, std::uint32_t point) {
    const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xc0U | (point >> 6U));
        put(0x80U | (point & 0x3fU));
    } else if (point < 0x10000) {
        put(0xe0U | (point >> 12U));
        put(0x80U | ((point >> 6U) & 0x3fU));
        put(0x80U | (point & 0x3fU));
    } else {
        put(0xf0U | (point >> 18U));
        put(0x80U | ((point >> 12U) & 0x3fU));
        put(0x80U | ((point >> 6U) & 0x3fU));
        put(0x80U | (point & 0x3fU));
    }
}

char simple_escape(char c) {
    switch (c) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return c;  // quote, backslash, slash
    }
}

std::string show_byte(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e) return fmt::format("byte 0x{:02x}", byte);
    return fmt::format("'{}'", c);
}

}  // namespace

Scanner::Scanner(char* text, std::size_t size, std::uint64_t first_line)
    : begin_(text),
      at_(text),
      end_(text + size),
      writable_(text),
      line_begin_(text),
      line_(first_line) {}

Scanner::Scanner(std::string_view text)
    : begin_(text.data()),
      at_(text.data()),
      end_(text.data() + text.size()),
      writable_(nullptr),
      line_begin_(text.data()),
      line_(1) {}

bool Scanner::step_space() {
    const char c = *at_;
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return false;
    if ((c == '\n' || c == '\r') && writable_ != nullptr) writable_[at_ - begin_] = ' ';
    ++at_;
    if (c == '\n') {
        ++line_;
        line_begin_ = at_;
    }
    return true;
}

bool Scanner::fail_here(std::string_view what) {
    what_ = what;
    return false;
}

Error Scanner::error() const {
    std::string what(what_);
    if (what.empty()) {
        const bool mark = end_ - at_ >= 3 && std::memcmp(at_, "\xef\xbb\xbf", 3) == 0;
        if (at_ == end_) {
            what = at_ == begin_ ? "there is no JSON value" : "the JSON text ends too early";
        } else if (mark && at_ == begin_) {
            what = "a byte order mark stands before the JSON value";
        } else {
            what = fmt::format("unexpected {} in JSON", show_byte(*at_));
        }
    }
    return {Code::bad_json,
            fmt::format("{} (line {}, column {})", what, line_, at_ - line_begin_ + 1),
            at_ == end_ && at_ != begin_ ? "was the input cut short?" : ""};
}

bool Scanner::scan_escape() {
    ++at_;
    switch (peek()) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            ++at_;
            return true;
        case 'u':
            ++at_;
            for (int i = 0; i < 4; ++i, ++at_) {
                if (hex_value(peek()) < 0) return fail_here();
            }
            return true;
        default:
            return fail_here();
    }
}

bool Scanner::scan_string(RawString& out) {
    if (!take('"')) return false;
    const char* const start = at_;
    out.escaped = false;
    bool high_bytes = false;
    for (;;) {
        at_ = find_special(at_, end_, high_bytes);
        if (at_ == end_) return fail_here();
        if (*at_ == '"') break;
        if (*at_ != '\\') return fail_here("a control character stands in a JSON string");
        out.escaped = true;
        if (!scan_escape()) return false;
    }
    out.bytes = {start, static_cast<std::size_t>(at_ - start)};
    if (high_bytes && !simdjson::validate_utf8(out.bytes)) {
        at_ = start + valid_utf8_prefix(out.bytes);
        return fail_here("a JSON string is not UTF-8");
    }
    ++at_;
    return true;
}

bool Scanner::scan_number() {
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) return fail_here();
    if (*at_ == '0') {
        ++at_;
    } else {
        while (is_digit(peek())) ++at_;
    }
    if (peek() == '.') {
        ++at_;
        if (!is_digit(peek())) return fail_here();
        while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
        ++at_;
        if (peek() == '+' || peek() == '-') ++at_;
        if (!is_digit(peek())) return fail_here();
        while (is_digit(peek())) ++at_;
    }
    return true;
}

bool Scanner::scan_literal(std::string_view word) {
    for (const char c : word) {
        if (peek() != c) return fail_here();
        ++at_;
    }
    return true;
}

bool Scanner::scan_scalar() {
    switch (peek()) {
        case '"': {
            RawString ignored;
            return scan_string(ignored);
        }
        case 't':
            return scan_literal("true");
        case 'f':
            return scan_literal("false");
        case 'n':
            return scan_literal("null");
        default:
            return scan_number();
    }
}

// Behind a value within a container: its end, or a comma and then the next member.
bool Scanner::close_or_continue(bool object, State& state, bool& closed) {
    closed = false;
    const char c = peek();
    if (c == ',') {
        ++at_;
        state = object ? State::key : State::value;
        return true;
    }
    if (c != (object ? '}' : ']')) return fail_here();
    ++at_;
    closed = true;
    return true;
}

bool Scanner::scan_value() {
    std::uint64_t objects[kDepthMax / 64] = {};  // one bit a level: an object, not an array
    std::size_t depth = 0;
    bool object = false;
    const auto reload = [&] {
        object = depth > 0 && ((objects[(depth - 1) / 64] >> ((depth - 1) % 64)) & 1U) != 0;
    };
    State state = State::value;
    for (;;) {
        skip_space();
        if (state == State::key) {
            RawString ignored;
            if (!scan_string(ignored)) return false;
            skip_space();
            if (!take(':')) return false;
            skip_space();
            state = State::value;
        }
        if (state == State::value) {
            const char c = peek();
            if (c != '{' && c != '[') {
                if (!scan_scalar()) return false;
                if (depth == 0) return true;
                state = State::after;
                continue;
            }
            if (depth == kDepthMax) return fail_here("JSON is nested more than 128 levels deep");
            object = c == '{';
            const std::uint64_t bit = std::uint64_t{1} << (depth % 64);
            std::uint64_t& word = objects[depth / 64];
            word = object ? (word | bit) : (word & ~bit);
            ++depth;
            ++at_;
            skip_space();
            state = object ? State::key : State::value;
            if (peek() != (object ? '}' : ']')) continue;
        }
        bool closed = false;
        if (!close_or_continue(object, state, closed)) return false;
        if (!closed) continue;
        --depth;
        if (depth == 0) return true;
        reload();
        state = State::after;
    }
}

bool Scanner::finish() {
    skip_space();
    return at_ == end_ || fail_here("something follows the JSON value");
}

bool decode_string(std::string_view raw, std::string& out) {
    for (std::size_t i = 0; i < raw.size();) {
        const std::size_t slash = raw.find('\\', i);
        if (slash == std::string_view::npos) {
            out.append(raw.substr(i));
            return true;
        }
        out.append(raw.substr(i, slash - i));
        const char c = raw[slash + 1];
        i = slash + 2;
        if (c != 'u') {
            out.push_back(simple_escape(c));
            continue;
        }
        std::uint32_t point = hex4(raw.data() + i);
        i += 4;
        if (point >= 0xdc00 && point <= 0xdfff) return false;
        if (point >= 0xd800 && point <= 0xdbff) {
            if (raw.size() - i < 6 || raw[i] != '\\' || raw[i + 1] != 'u') return false;
            const std::uint32_t low = hex4(raw.data() + i + 2);
            if (low < 0xdc00 || low > 0xdfff) return false;
            point = 0x10000 + ((point - 0xd800) << 10U) + (low - 0xdc00);
            i += 6;
        }
        append_utf8(out, point);
    }
    return true;
}

}  // namespace klog::json
