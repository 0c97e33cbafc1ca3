#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/listing.h"
#include "cli/request.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

struct TopicsOptions {
    std::string filter;
};

Result<int> run_topics(const TopicsOptions& options, Context& context) {
    KLOG_TRY(context.load());
    Target target("/v1/topics");
    target.add_given("filter", options.filter);
    return print_listing(context, target, topic_style());
}

Run add_topics(CLI::App& app) {
    const auto options = std::make_shared<TopicsOptions>();
    app.add_option("FILTER", options->filter);
    return [options](Context& context) { return run_topics(*options, context); };
}

}  // namespace

Verb topics_verb() {
    Verb verb;
    verb.name = "topics";
    verb.summary = "the topics that have records, with how many";
    verb.synopsis = "[FILTER] [options]";
    verb.examples =
        "  $ klog topics\n"
        "  $ klog topics 'orders/>'\n"
        "  $ klog topics orders/ -o value\n";
    verb.add = add_topics;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
