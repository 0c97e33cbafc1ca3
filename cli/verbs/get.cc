#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/json_text.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/verb.h"
#include "topic/topic.h"

namespace klog::cli {
namespace {

struct GetOptions {
    std::string space;
    std::string key;
    std::string version;
};

// Why there is nothing, in words.
Problem explain(const Answer& answer, const GetOptions& options) {
    Problem problem = answer.problem();
    if (problem.code != "not_found") return problem;
    const std::string entity = options.space + " " + options.key;
    if (text_member(answer.body, "state") == "deleted" && options.version.empty()) {
        problem.message = entity + " is deleted (version " +
                          std::string(member(answer.body, "version").value_or("?")) + ")";
        problem.hint = "klog history " + entity;
    } else if (options.version.empty()) {
        problem.message = entity + " has no records";
        if (problem.hint.empty()) problem.hint = "klog keys " + options.space;
    }
    return problem;
}

Result<int> run_get(const GetOptions& options, Context& context) {
    KLOG_TRY(check_space(options.space));
    KLOG_TRY(check_key(options.key));
    if (!options.version.empty()) KLOG_TRY(parse_number("--version", options.version, 1));
    KLOG_TRY(context.load());
    Target target("/v1/spaces");
    target.segment(options.space).segment("keys").segment(options.key);
    target.add_given("version", options.version);
    KLOG_TRY_ASSIGN(Answer answer, ask(context, target));
    if (!answer.good()) return report(explain(answer, options));
    while (!answer.body.empty() && answer.body.back() == '\n') answer.body.pop_back();
    Output out;
    if (context.output() == OutputMode::json) {
        append_indented(out.buffer(), answer.body, 0);
        out.append("\n");
    } else {
        LinePrinter printer(out, context.output(), context.color(), record_style());
        printer.print(answer.body);
    }
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_get(CLI::App& app) {
    const auto options = std::make_shared<GetOptions>();
    app.add_option("SPACE", options->space)->required();
    app.add_option("KEY", options->key)->required();
    app.add_option("--version", options->version, "that version instead of the newest")
        ->type_name("N");
    return [options](Context& context) { return run_get(*options, context); };
}

}  // namespace

Verb get_verb() {
    Verb verb;
    verb.name = "get";
    verb.summary = "the newest record of a key, or one version of it";
    verb.synopsis = "SPACE KEY [--version N] [options]";
    verb.examples =
        "  $ klog get orders 123\n"
        "  $ klog get orders 123 -o value\n"
        "  $ klog get orders 123 --version 1\n";
    verb.add = add_get;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
