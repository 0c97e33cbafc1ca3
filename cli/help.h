// How help looks.
#ifndef KLOG_CLI_HELP_H
#define KLOG_CLI_HELP_H

#include <string>

#include "cli/verb.h"

namespace klog::cli {

// CLI11's group for the options that every verb has.
inline constexpr const char* kGlobalGroup = "Global options";

// The help of klog: its verbs and the global options, which `app` holds.
[[nodiscard]] std::string format_overview(const CLI::App& app);

// The help of one verb, whose options `app` holds beside the global ones.
[[nodiscard]] std::string format_help(const Verb& verb, const CLI::App& app);

}  // namespace klog::cli

#endif  // KLOG_CLI_HELP_H
