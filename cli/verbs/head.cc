#include <CLI/CLI.hpp>
#include <memory>

#include "cli/advice.h"
#include "cli/context.h"
#include "cli/json_text.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

struct HeadOptions {
    std::string filter;
};

Result<int> run_head(const HeadOptions& options, Context& context) {
    KLOG_TRY(context.load());
    Target target("/v1/head");
    target.add_given("filter", options.filter);
    KLOG_TRY_ASSIGN(const Answer answer, ask(context, target));
    if (!answer.good()) return report(answer.problem());
    const auto seq = member(answer.body, "seq");
    if (!seq) return Error{Code::not_klog, "the answer holds no seq", "look at --url and KLOG_URL"};
    if (*seq == "0" && !options.filter.empty() && !context.quiet) {
        advise_literal(context, "head", {options.filter});
    }
    // A bare number is what scripts want, so that is what a pipe gets as well.
    const bool object = context.output_given() && (context.output() == OutputMode::json ||
                                                   context.output() == OutputMode::ndjson);
    Output out;
    out.append(object ? "{\"seq\":" + std::string(*seq) + "}\n" : std::string(*seq) + "\n");
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_head(CLI::App& app) {
    const auto options = std::make_shared<HeadOptions>();
    app.add_option("FILTER", options->filter);
    return [options](Context& context) { return run_head(*options, context); };
}

}  // namespace

Verb head_verb() {
    Verb verb;
    verb.name = "head";
    verb.summary = "the newest seq, which is a cursor";
    verb.synopsis = "[FILTER] [options]";
    verb.examples =
        "  $ klog head\n"
        "  $ klog head 'orders/*/created'\n"
        "  $ klog head -o json\n";
    verb.add = add_head;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
