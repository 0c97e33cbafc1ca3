// JSON as text: members found and documents laid out without touching a byte of any token, since
// values pass through klog as they came. Input is what a daemon sent, which is sound; where it is
// not, calls stop early and never read past the end.
#ifndef KLOG_CLI_JSON_TEXT_H
#define KLOG_CLI_JSON_TEXT_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace klog::cli {

// The raw bytes of an object's member (a string with its quotes). The first of that name. Names
// are compared as written.
[[nodiscard]] std::optional<std::string_view> member(std::string_view object,
                                                     std::string_view name);

// A member that is a string, decoded; empty where it is missing or no string.
[[nodiscard]] std::string text_member(std::string_view object, std::string_view name);

// The raw bytes of an array's elements; none where it is no array.
[[nodiscard]] std::vector<std::string_view> elements(std::string_view array);

// A JSON string with its quotes, decoded to UTF-8.
[[nodiscard]] std::string unquote(std::string_view raw);

// Appends one value, laid out over lines with two spaces a level; `level` is that of its first
// line, which is not indented itself.
void append_indented(std::string& out, std::string_view value, std::size_t level);

// Line feeds and carriage returns outside of strings become spaces, so that a document stands on
// one line.
void flatten(std::string& document);

}  // namespace klog::cli

#endif  // KLOG_CLI_JSON_TEXT_H
