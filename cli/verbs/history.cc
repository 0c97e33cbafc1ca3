#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/request.h"
#include "cli/verb.h"
#include "topic/topic.h"

namespace klog::cli {
namespace {

struct HistoryOptions {
    std::string space;
    std::string key;
    std::string from_version;
    std::string to_version;
    std::string last;
};

Status check_range(const HistoryOptions& options) {
    std::uint64_t from = 1;
    std::uint64_t to = ~0ULL;
    if (!options.from_version.empty()) {
        KLOG_TRY_ASSIGN(from, parse_number("--from-version", options.from_version, 1));
    }
    if (!options.to_version.empty()) {
        KLOG_TRY_ASSIGN(to, parse_number("--to-version", options.to_version, 1));
    }
    if (!options.last.empty()) KLOG_TRY(parse_number("--last", options.last, 0));
    if (from <= to) return {};
    return Error{
        Code::bad_option,
        "--from-version " + options.from_version + " lies after --to-version " + options.to_version,
        "--from-version " + options.to_version + " --to-version " + options.from_version};
}

Result<int> run_history(const HistoryOptions& options, Context& context) {
    KLOG_TRY(check_space(options.space));
    KLOG_TRY(check_key(options.key));
    KLOG_TRY(check_range(options));
    KLOG_TRY(context.load());
    Target target("/v1/spaces");
    target.segment(options.space).segment("keys").segment(options.key).segment("history");
    target.add_given("from_version", options.from_version);
    target.add_given("to_version", options.to_version);
    target.add_given("last", options.last);
    return print_listing(context, target, record_style());
}

Run add_history(CLI::App& app) {
    const auto options = std::make_shared<HistoryOptions>();
    app.add_option("SPACE", options->space)->required();
    app.add_option("KEY", options->key)->required();
    app.add_option("--from-version", options->from_version, "begin with this version")
        ->type_name("N");
    app.add_option("--to-version", options->to_version, "end with this version")->type_name("N");
    app.add_option("-n,--last", options->last, "only the last N of them")->type_name("N");
    return [options](Context& context) { return run_history(*options, context); };
}

}  // namespace

Verb history_verb() {
    Verb verb;
    verb.name = "history";
    verb.summary = "every record of a key, oldest first";
    verb.synopsis = "SPACE KEY [--from-version N] [--to-version N] [-n N] [options]";
    verb.examples =
        "  $ klog history orders 123\n"
        "  $ klog history orders 123 -n 1\n"
        "  $ klog history orders 123 --from-version 2 -o json\n";
    verb.add = add_history;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
