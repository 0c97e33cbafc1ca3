// Which settings there are, what their values may be, and where they come from by default.
#ifndef KLOG_DAEMON_CONFIG_SETTING_RULES_H
#define KLOG_DAEMON_CONFIG_SETTING_RULES_H

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klog::config {

struct SettingRule {
    std::string_view name;
    std::string_view environment{};  // empty: no variable stands for it
    std::string_view fallback{};     // the default; empty where there is none or it depends
    bool repeats = false;            // may be a list
    bool path = false;               // relative to the file that it stands in; "~/" is the home
    bool daemon_only = false;        // says where or how a daemon runs
    bool in_context = false;         // may stand in a context
    bool secret = false;             // is never shown
};

[[nodiscard]] std::span<const SettingRule> setting_rules();
// nullptr: there is no such setting.
[[nodiscard]] const SettingRule* find_rule(std::string_view name);

// What is wrong with a value, as the end of a sentence that begins with the setting's name;
// nullopt: nothing.
[[nodiscard]] std::optional<std::string> check_value(std::string_view name, std::string_view value);

// A setting's name as the command line spells it: "data_dir" is "--data-dir".
[[nodiscard]] std::string flag_of(std::string_view name);

// The name that takes the fewest edits to become from `wanted`, at most a third of its length.
// Empty where nothing is that near.
[[nodiscard]] std::string nearest_name(std::string_view wanted,
                                       const std::vector<std::string_view>& names);

}  // namespace klog::config

#endif  // KLOG_DAEMON_CONFIG_SETTING_RULES_H
