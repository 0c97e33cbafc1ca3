// Is it JSON (RFC 8259), at most 128 levels deep? Values are stored as they came, byte for byte; nothing here
// re-serialises. simdjson does the walking; every token is visited, every string decoded, every
// number checked by its grammar.
#ifndef KLOG_DAEMON_JSON_JSON_CHECK_H
#define KLOG_DAEMON_JSON_JSON_CHECK_H

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"

namespace klog::json {

inline constexpr std::size_t kDepthMax = 128;
// Bytes that must be readable behind every text given to a Checker.
inline constexpr std::size_t kPaddingBytes = 64;

// Not thread-safe; keep one a thread or session, since it keeps its buffers.
class Checker {
public:
    Checker();
    ~Checker();
    Checker(const Checker&) = delete;
    Checker& operator=(const Checker&) = delete;

    // One JSON value with optional white space around it. Gives the value without that white
    // space. Line feeds and carriage returns between tokens are replaced by spaces in place.
    // Precondition: kPaddingBytes are readable behind text. Errors: bad_json with line and column
    // in the message, "… (line L, column C)".
    [[nodiscard]] Result<std::string_view> check(char* text, std::size_t size);

    struct Impl;

private:
    std::unique_ptr<Impl> impl_;
};

// RFC 6901 "/a/b/0"; empty is the whole. Errors: bad_option.
[[nodiscard]] Result<std::vector<std::string>> parse_pointer(std::string_view pointer);

// What a pointer names within a checked value: a string (decoded), or a number as it is written.
// Errors: bad_record if it is missing or something else (names the pointer).
[[nodiscard]] Result<std::string> text_at(std::string_view value,
                                          const std::vector<std::string>& pointer);

// Appends text as a JSON string with quotes.
void append_quoted(std::string& out, std::string_view text);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_JSON_CHECK_H
