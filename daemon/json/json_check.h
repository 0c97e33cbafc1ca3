// Is it JSON (RFC 8259), at most 128 levels deep? Values are stored as they came, byte for byte;
// nothing here re-serialises. Every token is visited, every string decoded, every number checked
// by its grammar (see scanner.h). simdjson checks UTF-8 and no more: its DOM refuses integers
// beyond 64 bits, its On-Demand front end does not check what it skips, and for texts of a hundred
// bytes one pass of our own is faster than its two.
#ifndef KLOG_DAEMON_JSON_JSON_CHECK_H
#define KLOG_DAEMON_JSON_JSON_CHECK_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"

namespace klog::json {

inline constexpr std::size_t kDepthMax = 128;

// Checks values. Any number of threads may use one.
class Checker {
public:
    // One JSON value with optional white space around it. Gives the value without that white
    // space. Line feeds and carriage returns between tokens are replaced by spaces in place.
    // first_line: what messages call the text's first line. Errors: bad_json with line and column
    // in the message, "… (line L, column C)", the column in bytes from 1.
    [[nodiscard]] Result<std::string_view> check(char* text, std::size_t size,
                                                 std::uint64_t first_line = 1) const;
};

// RFC 6901 "/a/b/0"; empty is the whole value. Errors: bad_option.
[[nodiscard]] Result<std::vector<std::string>> parse_pointer(std::string_view pointer);

// What a pointer names within a checked value: a string (decoded), or a number as it is written. Of
// duplicate members the last counts, as it does for most readers of JSON.
// Errors: bad_record if it is missing or something else (names the pointer).
[[nodiscard]] Result<std::string> text_at(std::string_view value,
                                          const std::vector<std::string>& pointer);

// Appends text as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD.
void append_quoted(std::string& out, std::string_view text);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_JSON_CHECK_H
