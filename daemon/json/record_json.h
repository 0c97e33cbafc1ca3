// Records as users see them: the NDJSON form, and input envelopes.
#ifndef KLOG_DAEMON_JSON_RECORD_JSON_H
#define KLOG_DAEMON_JSON_RECORD_JSON_H

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/json/json_check.h"
#include "klog/log.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::json {

// The date and second that were rendered last: records that follow each other mostly share them.
struct TimeCache {
    std::int64_t second = -1;
    char text[20] = {};  // "2026-11-22T13:39:00."
};

inline constexpr std::size_t kTimeBytes = 27;
// Writes kTimeBytes and returns what is behind them.
char* put_time(char* at, Time time, TimeCache& cache);

// Appends one line, with its line feed: {"seq":…,"topic":…,"key":…,"version":…,"time":…,…}.
// A producing session is never shown.
void append_record(std::string& out, const RecordView& record, TimeCache& cache);
void append_record(std::string& out, const RecordView& record);

// RFC 3339 in UTC with microseconds, such as 2026-11-22T13:39:00.123456Z; and back, from any
// offset; digits beyond microseconds are dropped. Errors: bad_option.
void append_time(std::string& out, Time time);
[[nodiscard]] Result<Time> parse_time(std::string_view text);
// A duration: a number and a unit, ms s m h d w. Unit: microseconds. Errors: bad_option.
[[nodiscard]] Result<std::int64_t> parse_duration(std::string_view text);

// Where an envelope stands.
struct EnvelopePlace {
    std::uint64_t first_line = 1;  // what messages call the text's first line
    bool atomic = false;           // in an atomic batch, where guards have lines of their own
};

// One envelope line into a record, its views into the line or kept by the batch. The line may be
// changed in place. Topic and key are left to append(), which checks their grammar. Errors:
// bad_json, bad_record (an unknown member, a missing value, expect of a wrong form …), bad_filter
// (of a guard), value_too_large, headers_too_large.
Status parse_envelope(char* line, std::size_t size, std::size_t value_bytes_max, WriteBatch& batch,
                      WriteRecord& record, EnvelopePlace place = {});

// "5", "absent", "exists" as queries and options write them. Errors: bad_option.
[[nodiscard]] Result<Expect> parse_expect(std::string_view text);

// The stored form of headers after checking them: at most 64, 64 KiB in total, no empty name, no
// name twice. Errors: bad_record, headers_too_large.
[[nodiscard]] Result<std::string> checked_headers(const std::vector<Header>& headers);

// RFC 4648 with padding; decoding takes nothing else. Errors: bad_record.
void append_base64(std::string& out, std::string_view bytes);
[[nodiscard]] Result<std::string> parse_base64(std::string_view text);

// The name that is closest to a misspelt one; empty where none is near.
[[nodiscard]] std::string_view nearest_name(std::string_view name,
                                            std::span<const std::string_view> known);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_RECORD_JSON_H
