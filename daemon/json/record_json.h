// Records as users see them: the NDJSON form, and input envelopes.
#ifndef KLOG_DAEMON_JSON_RECORD_JSON_H
#define KLOG_DAEMON_JSON_RECORD_JSON_H

#include <string>
#include <string_view>

#include "daemon/json/json_check.h"
#include "klog/log.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::json {

// Appends one line, with its line feed: {"seq":…,"topic":…,"key":…,"version":…,"time":…,…}.
void append_record(std::string& out, const RecordView& record);

// RFC 3339 in UTC with microseconds, such as 2026-11-22T13:39:00.123456Z; and back. Errors: bad_option.
void append_time(std::string& out, Time time);
[[nodiscard]] Result<Time> parse_time(std::string_view text);
// A duration: a number and a unit, ms s m h d w. Unit: microseconds. Errors: bad_option.
[[nodiscard]] Result<std::int64_t> parse_duration(std::string_view text);

// One envelope line into a record, its views into the line or kept by the batch. The line must have
// kPaddingBytes behind it and may be changed in place. Errors: bad_json, bad_record (an unknown
// member, a missing value, expect of a wrong form …), value_too_large, and what check_topic and
// check_key say.
Status parse_envelope(char* line, std::size_t size, std::size_t value_bytes_max, Checker& checker,
                      WriteBatch& batch, WriteRecord& record);

// "5", "absent", "exists" as queries and options write them. Errors: bad_option.
[[nodiscard]] Result<Expect> parse_expect(std::string_view text);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_RECORD_JSON_H
