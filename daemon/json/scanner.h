// A walk over one JSON text: every token is visited and checked as it is passed, nothing is copied
// or allocated. What checks values, envelopes and pointers is built on it. Strings with bytes above
// 0x7f are checked as UTF-8 by simdjson.
#ifndef KLOG_DAEMON_JSON_SCANNER_H
#define KLOG_DAEMON_JSON_SCANNER_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "klog/result.h"

namespace klog::json {

// The bytes between a string's quotes, as they stand in the text.
struct RawString {
    std::string_view bytes;
    bool escaped = false;  // holds at least one backslash
};

class Scanner {
public:
    // Line feeds and carriage returns between tokens become spaces in place. first_line: the number
    // of the text's first line in messages.
    Scanner(char* text, std::size_t size, std::uint64_t first_line);
    // The same without touching the text.
    explicit Scanner(std::string_view text);

    [[nodiscard]] const char* position() const { return at_; }
    [[nodiscard]] bool at_end() const { return at_ == end_; }
    // The byte at the position; 0 at the end, which begins no token either.
    [[nodiscard]] char peek() const { return at_ == end_ ? '\0' : *at_; }

    void skip_space() {
        while (at_ != end_ && static_cast<unsigned char>(*at_) <= ' ') {
            if (!step_space()) return;
        }
    }
    // Passes c, or fails.
    [[nodiscard]] bool take(char c) {
        if (peek() != c) return fail_here();
        ++at_;
        return true;
    }
    // Each of these begins at the position; false means that error() says what is wrong.
    [[nodiscard]] bool scan_string(RawString& out);
    [[nodiscard]] bool scan_value();
    // Nothing but white space may follow.
    [[nodiscard]] bool finish();

    // Always false: remembers what is wrong at the position.
    bool fail_here(std::string_view what = {});

    // bad_json with line and column.
    [[nodiscard]] Error error() const;

private:
    enum class State : std::uint8_t { value, key, after };

    bool step_space();
    bool scan_number();
    bool scan_literal(std::string_view word);
    bool scan_escape();
    bool scan_scalar();
    bool close_or_continue(bool object, State& state, bool& closed);

    const char* begin_;
    const char* at_;
    const char* end_;
    char* writable_;  // begin_, or null where the text is not to be touched
    const char* line_begin_;
    std::uint64_t line_;
    std::string_view what_;
};

// Appends what a raw string means. False where an escape names half a surrogate pair, which has no
// UTF-8. Precondition: the string was scanned.
[[nodiscard]] bool decode_string(std::string_view raw, std::string& out);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_SCANNER_H
