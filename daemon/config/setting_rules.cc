#include "daemon/config/setting_rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "klog/types.h"

namespace klog::config {
namespace {

constexpr std::array<SettingRule, 15> kRules = {{
    {.name = "allow_origin", .repeats = true, .daemon_only = true},
    {.name = "color", .fallback = "auto"},
    {.name = "context", .environment = "KLOG_CONTEXT"},
    {.name = "data_dir", .environment = "KLOG_DATA_DIR", .path = true, .daemon_only = true},
    {.name = "ephemeral", .fallback = "false", .daemon_only = true},
    {.name = "listen", .repeats = true, .daemon_only = true},
    {.name = "output"},
    {.name = "read_only", .fallback = "false", .daemon_only = true},
    {.name = "socket", .path = true, .daemon_only = true},
    {.name = "tenant", .environment = "KLOG_TENANT", .fallback = "default", .in_context = true},
    {.name = "timeout", .environment = "KLOG_TIMEOUT"},
    {.name = "token", .environment = "KLOG_TOKEN", .secret = true},
    {.name = "token_file", .environment = "KLOG_TOKEN_FILE", .path = true, .in_context = true},
    {.name = "url", .environment = "KLOG_URL", .in_context = true},
    {.name = "value_bytes_max", .fallback = "1048576", .daemon_only = true},
}};

using Check = std::optional<std::string>;

bool one_of(std::string_view value, std::initializer_list<std::string_view> choices) {
    return std::find(choices.begin(), choices.end(), value) != choices.end();
}

bool all_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Check check_bytes(std::string_view value) {
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (!all_digits(value) || failure != std::errc() || end != value.data() + value.size() ||
        number < 1 || number > Limits::kValueBytesCeiling) {
        return "takes a number of bytes from 1 to " + std::to_string(Limits::kValueBytesCeiling);
    }
    return std::nullopt;
}

Check check_duration(std::string_view value) {
    const std::size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
    if (digits == 0 || !one_of(value.substr(digits), {"ms", "s", "m", "h", "d", "w"})) {
        return "takes a number and a unit: ms, s, m, h, d or w, such as 500ms or 5s";
    }
    return std::nullopt;
}

Check check_url(std::string_view value) {
    const std::string form = "takes unix:///path, http://host:port or https://host:port";
    const auto rest_of = [value](std::string_view scheme) {
        return value.starts_with(scheme) ? value.substr(scheme.size()) : std::string_view();
    };
    const bool local = rest_of("unix://").starts_with('/') && rest_of("unix://").size() > 1;
    if (local || !rest_of("http://").empty() || !rest_of("https://").empty()) return std::nullopt;
    return form;
}

}  // namespace

std::span<const SettingRule> setting_rules() { return kRules; }

const SettingRule* find_rule(std::string_view name) {
    for (const SettingRule& rule : kRules) {
        if (rule.name == name) return &rule;
    }
    return nullptr;
}

std::optional<std::string> check_value(std::string_view name, std::string_view value) {
    if (value.empty()) return "has no value";
    if (name == "value_bytes_max") return check_bytes(value);
    if (name == "timeout") return check_duration(value);
    if (name == "url") return check_url(value);
    if ((name == "ephemeral" || name == "read_only") && !one_of(value, {"true", "false"})) {
        return "takes true or false";
    }
    if (name == "color" && !one_of(value, {"auto", "always", "never"})) {
        return "takes auto, always or never";
    }
    if (name == "output" && !one_of(value, {"pretty", "ndjson", "json", "value"})) {
        return "takes pretty, ndjson, json or value";
    }
    return std::nullopt;
}

std::string flag_of(std::string_view name) {
    std::string flag = "--" + std::string(name);
    std::replace(flag.begin(), flag.end(), '_', '-');
    return flag;
}

std::string nearest_name(std::string_view wanted, const std::vector<std::string_view>& names) {
    std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
    std::string_view found;
    for (const std::string_view name : names) {
        // One row of the edit distance's table at a time.
        std::vector<std::size_t> row(name.size() + 1);
        for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
        for (std::size_t i = 1; i <= wanted.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j <= name.size(); ++j) {
                const std::size_t replace = diagonal + (wanted[i - 1] == name[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
            }
        }
        if (row.back() < best) {
            best = row.back();
            found = name;
        }
    }
    return std::string(found);
}

}  // namespace klog::config
