#include "daemon/api/line_parser.h"

#include <fmt/core.h>

#include "daemon/json/batch_line.h"
#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"

namespace klog::api {
namespace {

// What an envelope may hold besides its value: topic, key, id, headers and a guard, escaped.
constexpr std::size_t kEnvelopeBytesMax = 128 * 1024;
constexpr std::string_view kLargerValues = "klog daemon --value-bytes-max";

}  // namespace

std::size_t line_bytes_max(std::size_t value_bytes_max) {
    return value_bytes_max / 3 * 4 + kEnvelopeBytesMax;
}

Status LineParser::check_length(const Line& line) const {
    if (!line.too_long) return {};
    return Error{
        Code::value_too_large,
        fmt::format("the line is longer than a value of {} bytes can make it", value_bytes_max_),
        std::string(kLargerValues)};
}

Status LineParser::parse(const Line& line, WriteBatch& batch, WriteRecord& record) const {
    KLOG_TRY(check_length(line));
    if (!options_.envelope) return parse_value(line, batch, record);
    return json::parse_envelope(line.data, line.size, value_bytes_max_, batch, record,
                                {.first_line = line.number});
}

Status LineParser::parse_atomic(const Line& line, WriteBatch& batch) const {
    KLOG_TRY(check_length(line));
    if (options_.envelope) {
        return json::parse_batch_line(line.data, line.size, value_bytes_max_, batch, line.number);
    }
    WriteRecord& record = batch.records.emplace_back();
    record.line = line.number;
    Status status = parse_value(line, batch, record);
    if (!status) batch.records.pop_back();
    return status;
}

Status LineParser::parse_value(const Line& line, WriteBatch& batch, WriteRecord& record) const {
    KLOG_TRY_ASSIGN(record.value, json::Checker().check(line.data, line.size, line.number));
    if (record.value.size() > value_bytes_max_) {
        return Error{Code::value_too_large,
                     fmt::format("the value holds {} bytes, at most {} are allowed",
                                 record.value.size(), value_bytes_max_),
                     std::string(kLargerValues)};
    }
    record.headers = options_.headers;
    record.topic = options_.topic.text();
    if (!options_.topic.fixed()) {
        KLOG_TRY_ASSIGN(std::string topic, options_.topic.fill(record.value));
        record.topic = batch.keep(std::move(topic));
    }
    record.has_key = options_.key.has_value() || options_.key_from.has_value();
    if (options_.key) record.key = *options_.key;
    if (options_.key_from) {
        KLOG_TRY_ASSIGN(std::string key, json::text_at(record.value, *options_.key_from));
        record.key = batch.keep(std::move(key));
    }
    if (options_.id_from) {
        KLOG_TRY_ASSIGN(std::string id, json::text_at(record.value, *options_.id_from));
        if (id.empty() || id.size() > Limits::kIdBytesMax) {
            return Error{
                Code::bad_record,
                fmt::format("an id has 1 to {} bytes, this one {}", Limits::kIdBytesMax, id.size()),
                {}};
        }
        record.id = batch.keep(std::move(id));
    }
    return {};
}

}  // namespace klog::api
