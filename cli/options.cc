#include "cli/options.h"

#include <charconv>

#include "daemon/json/record_json.h"

namespace klog::cli {
namespace {

constexpr std::int64_t kMicrosPerMilli = 1000;
// A year: longer waits are slips of the pen, and sums of this many stay far from overflow.
constexpr std::int64_t kWaitMillisMax = 366LL * 24 * 3600 * 1000;

}  // namespace

std::optional<std::uint64_t> parse_digits(std::string_view text) {
    if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

Result<std::uint64_t> parse_number(std::string_view option, std::string_view text,
                                   std::uint64_t min) {
    const auto number = parse_digits(text);
    if (number && *number >= min) return *number;
    return Error{Code::bad_option,
                 std::string(option) + " takes a whole number from " + std::to_string(min) +
                     " on, not \"" + std::string(text) + "\"",
                 ""};
}

Result<std::chrono::milliseconds> parse_wait(std::string_view option, std::string_view text) {
    const auto micros = json::parse_duration(text);
    if (!micros || *micros < kMicrosPerMilli || *micros / kMicrosPerMilli > kWaitMillisMax) {
        return Error{Code::bad_option,
                     std::string(option) + " takes a duration of 1ms to 366d, not \"" +
                         std::string(text) + "\"",
                     "a number and a unit (ms s m h d w), such as 500ms or 5s"};
    }
    return std::chrono::milliseconds(*micros / kMicrosPerMilli);
}

}  // namespace klog::cli
