// Topic names and keys: their grammar, checked byte by byte. Pure: no state, no I/O.
#ifndef KLOG_TOPIC_TOPIC_H
#define KLOG_TOPIC_TOPIC_H

#include <string_view>

#include "klog/result.h"

namespace klog {

// A topic is level ("/" level)*, at most 128 levels and 1024 bytes; a level is at least one byte
// of valid UTF-8 without control characters (Cc), Unicode white space or any of / * > + # ! { } ?
// Errors: bad_topic, whose message ends with "(column N)": the first byte that cannot stand
// there, counted from 1 in bytes. Of a character of several bytes that is its first byte, of an
// empty level the "/" that closes it, of an empty level at the end the place behind the last byte,
// of one level too many the "/" that opens it. A first level that begins with "$" is grammatical;
// whether a caller may write there is not judged here (see is_reserved_topic).
[[nodiscard]] Status check_topic(std::string_view topic);

// The first level: the key space of the topic. Precondition: check_topic(topic).
[[nodiscard]] std::string_view space_of(std::string_view topic);

[[nodiscard]] bool is_reserved_topic(std::string_view topic);

// 1 to 1024 bytes of UTF-8 without control characters. Errors: bad_key, with the column.
[[nodiscard]] Status check_key(std::string_view key);

// A space is one level. Errors: bad_topic, with the column.
[[nodiscard]] Status check_space(std::string_view space);

}  // namespace klog

#endif  // KLOG_TOPIC_TOPIC_H
