#include <array>

#include "klog/result.h"

namespace klog {
namespace {

// In the order of Code. man/klog-errors.7 is the same table for people.
constexpr std::array<CodeInfo, 47> kCodes = {{
    {"bad_request", 400, 65, "Bad request"},
    {"bad_topic", 400, 2, "Bad topic"},
    {"bad_filter", 400, 2, "Bad filter"},
    {"bad_key", 400, 2, "Bad key"},
    {"bad_option", 400, 2, "Bad option"},
    {"bad_json", 400, 65, "Bad JSON"},
    {"bad_record", 400, 65, "Bad record"},
    {"unknown_parameter", 400, 2, "Unknown parameter"},
    {"value_too_large", 413, 65, "Value too large"},
    {"headers_too_large", 413, 65, "Headers too large"},
    {"batch_too_large", 413, 65, "Batch too large"},
    {"reserved_topic", 403, 77, "Reserved topic"},
    {"no_bucket", 400, 65, "No bucket"},
    {"unsupported", 415, 2, "Not supported"},
    {"version_conflict", 409, 3, "Version conflict"},
    {"guard_conflict", 409, 3, "Guard conflict"},
    {"id_reused", 409, 4, "Id reused"},
    {"partial_duplicate", 409, 4, "Partly known batch"},
    {"closed", 409, 4, "Entity closed"},
    {"fenced", 409, 4, "Fenced"},
    {"stale_lease", 409, 4, "Stale lease"},
    {"already_acked", 409, 4, "Already acknowledged"},
    {"ack_ahead", 409, 4, "Acknowledged ahead of the head"},
    {"consumer_differs", 409, 4, "Another consumer has that name"},
    {"consumer_busy", 429, 75, "Somebody reads as this consumer"},
    {"cursor_lost", 410, 4, "Cursor lost"},
    {"guard_unknown", 410, 4, "Guard unknown"},
    {"not_found", 404, 1, "Not found"},
    {"compacted", 404, 1, "Compacted"},
    {"backpressure", 503, 75, "Too busy"},
    {"disk_full", 507, 75, "Disk full"},
    {"locked", 503, 75, "Locked"},
    {"rebuilding", 503, 75, "Indexes are being rebuilt"},
    {"stopping", 503, 75, "Stopping"},
    {"too_many", 429, 75, "Too many"},
    {"timeout", 408, 124, "Timed out"},
    {"outcome_unknown", 504, 76, "Outcome unknown"},
    {"io", 500, 74, "I/O error"},
    {"corrupt", 500, 74, "Corrupt"},
    {"format_unknown", 500, 74, "Unknown format"},
    {"bug", 500, 70, "Bug in klog"},
    {"usage", 0, 2, "Usage"},
    {"config", 0, 78, "Bad configuration"},
    {"no_input", 0, 66, "No such input"},
    {"unreachable", 0, 69, "Not reachable"},
    {"not_klog", 0, 78, "Not a klog server"},
    {"not_allowed", 403, 77, "Not allowed"},
}};

static_assert(kCodes.size() == static_cast<std::size_t>(Code::not_allowed) + 1);

}  // namespace

const CodeInfo& code_info(Code code) { return kCodes[static_cast<std::size_t>(code)]; }

std::string_view code_name(Code code) { return code_info(code).name; }

std::optional<Code> code_from_name(std::string_view name) {
    for (std::size_t i = 0; i <= static_cast<std::size_t>(Code::not_allowed); ++i) {
        const auto code = static_cast<Code>(i);
        if (code_name(code) == name) return code;
    }
    return std::nullopt;
}

}  // namespace klog
