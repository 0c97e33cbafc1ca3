// Option values, read strictly: what is no such value is an error that names the option.
#ifndef KLOG_CLI_OPTIONS_H
#define KLOG_CLI_OPTIONS_H

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "klog/result.h"

namespace klog::cli {

// Decimal digits and nothing else.
[[nodiscard]] std::optional<std::uint64_t> parse_digits(std::string_view text);

// Errors: bad_option, naming `option`.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view option, std::string_view text,
                                                 std::uint64_t min);

// A duration above zero: a number and a unit, ms s m h d w. Errors: bad_option, naming `option`.
[[nodiscard]] Result<std::chrono::milliseconds> parse_wait(std::string_view option,
                                                           std::string_view text);

}  // namespace klog::cli

#endif  // KLOG_CLI_OPTIONS_H
