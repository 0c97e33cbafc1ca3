#include <CLI/CLI.hpp>
#include <memory>

#include "cli/args.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

Run add_help(CLI::App& app) {
    const auto verb = std::make_shared<std::string>();
    app.add_option("VERB", *verb);
    return [verb](Context& context) -> Result<int> {
        static_cast<void>(context);
        KLOG_TRY_ASSIGN(const std::string text, help_text(*verb));
        Output out;
        out.append(text);
        KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
        return 0;
    };
}

}  // namespace

Verb help_verb() {
    Verb verb;
    verb.name = "help";
    verb.summary = "this list, or one verb's options and examples";
    verb.synopsis = "[VERB]";
    verb.examples =
        "  $ klog help\n"
        "  $ klog help produce\n";
    verb.add = add_help;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
