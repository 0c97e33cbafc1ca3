#include "daemon/api/acks.h"

#include <charconv>
#include <cstring>

#include "daemon/json/json_check.h"

namespace klog::api {
namespace {

constexpr std::size_t kAckBytesMax = 160;

char* put(char* at, std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

char* put(char* at, std::uint64_t number) { return std::to_chars(at, at + 20, number).ptr; }

}  // namespace

void append_ack(std::string& out, std::uint64_t line, const WriteResult& result) {
    const bool duplicate = result.outcome == WriteResult::Outcome::duplicate;
    char buffer[kAckBytesMax];
    char* at = put(buffer, "{\"line\":");
    at = put(at, line);
    at = put(at, duplicate ? ",\"status\":200,\"seq\":" : ",\"status\":201,\"seq\":");
    at = put(at, result.seq.value);
    if (result.version.value != 0) {
        at = put(at, ",\"version\":");
        at = put(at, result.version.value);
    }
    at = put(at, duplicate ? ",\"duplicate\":true}\n" : "}\n");
    out.append(buffer, at);
}

void append_refusal(std::string& out, std::uint64_t line, const Error& error,
                    std::string_view violations) {
    const CodeInfo& info = code_info(error.code);
    out += "{\"line\":" + std::to_string(line) +
           ",\"status\":" + std::to_string(info.http_status == 0 ? 500 : info.http_status) +
           ",\"code\":\"";
    out += info.name;
    out += "\",\"detail\":";
    json::append_quoted(out, error.message);
    if (!error.hint.empty()) {
        out += ",\"hint\":";
        json::append_quoted(out, error.hint);
    }
    if (!violations.empty()) {
        out.push_back(',');
        out += violations;
    }
    out.push_back('}');
}

Error error_of(const WriteResult& result) {
    if (result.error) return *result.error;
    switch (result.outcome) {
        case WriteResult::Outcome::unknown:
            return {Code::outcome_unknown, "it is not known whether the record was written",
                    "send it again with the same id"};
        case WriteResult::Outcome::stale_settings:
            return {Code::backpressure, "settings changed again and again while the record waited",
                    "try again"};
        default:
            return {Code::bug, "a record was refused without a reason", {}};
    }
}

}  // namespace klog::api
