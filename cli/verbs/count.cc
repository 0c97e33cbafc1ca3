#include <CLI/CLI.hpp>
#include <memory>

#include "cli/advice.h"
#include "cli/args.h"
#include "cli/context.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/tail/tail.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

struct CountOptions {
    std::vector<std::string> filters;
    std::vector<std::string> nots;
    std::string after;
    std::string until;
    std::string key;
};

Result<int> run_count(const CountOptions& options, Context& context) {
    if (!options.after.empty()) KLOG_TRY(parse_number("--after", options.after, 0));
    if (!options.until.empty()) KLOG_TRY(parse_point("--until", options.until));
    KLOG_TRY(context.load());
    if (!context.quiet) advise_quotes(options.filters);
    Target target("/v1/count");
    for (const std::string& filter : options.filters) target.add("filter", filter);
    for (const std::string& filter : options.nots) target.add("not", filter);
    target.add_given("after", options.after);
    target.add_given("until", options.until);
    target.add_given("key", options.key);
    KLOG_TRY_ASSIGN(const Answer answer, ask(context, target));
    if (!answer.good()) return report(answer.problem());
    const auto count = member(answer.body, "count");
    if (!count) {
        return Error{Code::not_klog, "the answer holds no count", "look at --url and KLOG_URL"};
    }
    if (*count == "0" && !context.quiet) advise_literal(context, "count", options.filters);
    // A bare number is what scripts want, so that is what a pipe gets as well.
    const bool object = context.output_given() && (context.output() == OutputMode::json ||
                                                   context.output() == OutputMode::ndjson);
    Output out;
    out.append(object ? "{\"count\":" + std::string(*count) + "}\n" : std::string(*count) + "\n");
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_count(CLI::App& app) {
    const auto options = std::make_shared<CountOptions>();
    add_operands(app, options->filters);
    app.add_option("--not", options->nots, "take these topics out again; repeats")
        ->allow_extra_args(false)
        ->type_name("F");
    app.add_option("--after", options->after, "count behind this seq")->type_name("CURSOR");
    app.add_option("--until", options->until, "end with SEQ, TIME or AGO")->type_name("WHERE");
    app.add_option("--key", options->key, "only records of this key")->type_name("K");
    return [options](Context& context) { return run_count(*options, context); };
}

}  // namespace

Verb count_verb() {
    Verb verb;
    verb.name = "count";
    verb.summary = "how many records match";
    verb.synopsis =
        "[FILTER...] [--not F]... [--after CURSOR] [--until SEQ|TIME|AGO] [--key K]\n"
        "                 [options]";
    verb.examples =
        "  $ klog count\n"
        "  $ klog count 'orders/*/completed'\n"
        "  $ klog count orders/ --not orders/+/paid --until 2\n"
        "  $ klog count orders/ --key 123 -o json\n";
    verb.add = add_count;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
