// "Did you mean": the nearest of some names.
#ifndef KLOG_CLI_SUGGEST_H
#define KLOG_CLI_SUGGEST_H

#include <string>
#include <string_view>
#include <vector>

namespace klog::cli {

// The name that takes the fewest edits (insert, delete, replace, swap neighbours) to become from
// `wanted`, at most a third of its length and at least one. Empty where nothing is that near.
[[nodiscard]] std::string nearest(std::string_view wanted, const std::vector<std::string>& names);

}  // namespace klog::cli

#endif  // KLOG_CLI_SUGGEST_H
