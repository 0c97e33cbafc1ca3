#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/listing.h"
#include "cli/request.h"
#include "cli/verb.h"
#include "topic/topic.h"

namespace klog::cli {
namespace {

struct KeysOptions {
    std::string space;
    std::string prefix;
    bool deleted = false;
};

Result<int> run_keys(const KeysOptions& options, Context& context) {
    KLOG_TRY(check_space(options.space));
    KLOG_TRY(context.load());
    Target target("/v1/spaces");
    target.segment(options.space).segment("keys");
    target.add_given("prefix", options.prefix);
    if (options.deleted) target.add("deleted", "true");
    return print_listing(context, target, key_style());
}

Run add_keys(CLI::App& app) {
    const auto options = std::make_shared<KeysOptions>();
    app.add_option("SPACE", options->space)->required();
    app.add_option("--prefix", options->prefix, "only keys that begin with this")->type_name("P");
    app.add_flag("--deleted", options->deleted, "deleted ones as well, marked");
    return [options](Context& context) { return run_keys(*options, context); };
}

}  // namespace

Verb keys_verb() {
    Verb verb;
    verb.name = "keys";
    verb.summary = "the keys of a space, with version and seq";
    verb.synopsis = "SPACE [--prefix P] [--deleted] [options]";
    verb.examples =
        "  $ klog keys orders\n"
        "  $ klog keys orders --prefix 12 --deleted\n"
        "  $ klog keys orders -o value\n";
    verb.add = add_keys;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
