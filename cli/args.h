// From argv to a verb that is ready to run. Wraps CLI11: its messages and exit codes never reach
// a user.
#ifndef KLOG_CLI_ARGS_H
#define KLOG_CLI_ARGS_H

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/verb.h"
#include "klog/result.h"

namespace klog::cli {

struct Parsed {
    const Verb* verb = nullptr;
    Run run;
    // Set instead of run: what --help or `klog` alone shows, for stdout.
    std::string help;
};

// args without the program's name. Fills the context's flags. Options stand before or after
// operands, "--" ends them, "-" and negative numbers are operands, and an option's value is
// whatever follows it. Errors: usage, with the nearest verb or option as its hint.
[[nodiscard]] Result<Parsed> parse_args(const std::vector<std::string>& args, Context& context);

// Any number of operands, each taken as it is written (CLI11 alone would split "[1,2]" in two).
void add_operands(CLI::App& app, std::vector<std::string>& operands);

// An option as completion sees it.
struct OptionInfo {
    std::string name;    // long, without its dashes
    char letter = '\0';  // '\0': it has no short name
    std::string value;   // the value's name, such as "N"; empty: it takes none
    std::string description;
    bool repeats = false;
};

// The options of a verb, its own ones first; the global ones alone where verb is nullptr.
[[nodiscard]] std::vector<OptionInfo> options_of(const Verb* verb);

// The help of one verb; of klog itself where name is empty. Errors: usage (no such verb).
[[nodiscard]] Result<std::string> help_text(const std::string& name);

}  // namespace klog::cli

#endif  // KLOG_CLI_ARGS_H
