#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

Result<int> run_version(Context& context) {
    KLOG_TRY(context.load());
    const bool object = context.output_given() && (context.output() == OutputMode::json ||
                                                   context.output() == OutputMode::ndjson);
    Output out;
    if (object) {
        out.append("{\"version\":\"" + std::string(kVersion) + "\"}\n");
    } else {
        out.append("klog " + std::string(kVersion) + "\n");
    }
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_version(CLI::App& app) {
    static_cast<void>(app);
    return run_version;
}

}  // namespace

Verb version_verb() {
    Verb verb;
    verb.name = "version";
    verb.summary = "the version of klog";
    verb.synopsis = "[options]";
    verb.examples =
        "  $ klog version\n"
        "  $ klog version -o json\n";
    verb.add = add_version;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
