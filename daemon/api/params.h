// Query parameters, strictly: an unknown one is an error, and so is one that stands twice and may
// not.
#ifndef KLOG_DAEMON_API_PARAMS_H
#define KLOG_DAEMON_API_PARAMS_H

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/exchange.h"
#include "klog/result.h"

namespace klog::api {

struct ParamSpec {
    std::string_view name;
    bool repeats = false;
};

// Views into the request, which must outlive it.
class Params {
public:
    // Errors: unknown_parameter (with the nearest name as hint), bad_option.
    [[nodiscard]] static Result<Params> parse(const http::Request& request,
                                              std::span<const ParamSpec> known);

    [[nodiscard]] bool has(std::string_view name) const { return text(name).has_value(); }
    [[nodiscard]] std::optional<std::string_view> text(std::string_view name) const;
    [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
    // "true" or "false"; false where it is missing. Errors: bad_option.
    [[nodiscard]] Result<bool> flag(std::string_view name) const;
    // A whole number in decimal digits. Errors: bad_option.
    [[nodiscard]] Result<std::optional<std::uint64_t>> number(std::string_view name) const;

private:
    explicit Params(const http::Request& request) : request_(&request) {}
    const http::Request* request_;
};

// Digits only, no sign, no space; nothing where it is anything else or too large.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

// The error of a parameter's value.
[[nodiscard]] Error bad_value(std::string_view name, std::string_view value,
                              std::string_view wanted);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_PARAMS_H
