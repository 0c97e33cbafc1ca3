// What a verb of the command line is: a name, its options, and what runs it. One file a verb
// (cli/verbs/<verb>.cc): parse into a plain struct, then run.
#ifndef KLOG_CLI_VERB_H
#define KLOG_CLI_VERB_H

#include <functional>
#include <span>
#include <string_view>

#include "klog/result.h"

namespace CLI {
class App;
}

namespace klog::cli {

class Context;

// Runs a parsed verb and gives the exit code. An error is printed by the caller as
// "klog: CODE: message" and "hint: …", and ends klog with the code's exit code.
using Run = std::function<Result<int>(Context&)>;

struct Verb {
    std::string_view name;
    // One line for `klog help`, in lower case, without a period.
    std::string_view summary;
    // Operands as the usage line shows them, such as "TOPIC [VALUE|-] [options]".
    std::string_view synopsis;
    // Lines for the EXAMPLES block of --help, each "  $ klog …" with a line feed. Tests run them.
    std::string_view examples;
    // Declares options and operands; called only for the verb that was named. Options must be
    // kept in memory that the returned function owns (a std::shared_ptr to a plain struct).
    Run (*add)(CLI::App& app) = nullptr;
    // True: what follows "--" is a command for Context::command, and never an operand.
    bool takes_command = false;
    // True: it talks to a daemon. SIGINT and SIGTERM then end klog with 130 and 143, and a closed
    // pipe is an error of write(2) instead of a signal.
    bool client = false;
};

// Every verb, in the order of `klog help`.
[[nodiscard]] std::span<const Verb> verbs();

Verb daemon_verb();
Verb run_verb();
Verb produce_verb();
Verb tail_verb();
Verb get_verb();
Verb history_verb();
Verb keys_verb();
Verb topics_verb();
Verb head_verb();
Verb count_verb();
Verb consumer_verb();
Verb bench_verb();
Verb config_verb();
Verb completion_verb();
Verb doctor_verb();
Verb help_verb();
Verb verify_verb();
Verb version_verb();

}  // namespace klog::cli

#endif  // KLOG_CLI_VERB_H
