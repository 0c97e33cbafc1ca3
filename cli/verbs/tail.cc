#include "cli/tail/tail.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/args.h"
#include "cli/context.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

Result<int> run_tail(const TailOptions& options, Context& context) {
    KLOG_TRY(context.load());
    Tail tail(context, options);
    return tail.run();
}

void add_start(CLI::App& app, TailOptions& options) {
    app.add_option("--from", options.from, "start with start, end, SEQ, TIME or AGO")
        ->type_name("WHERE");
    app.add_option("--after", options.after, "start behind this seq")->type_name("CURSOR");
    app.add_option("-n,--last", options.last, "start with the last N that match")->type_name("N");
    app.add_option("--until", options.until, "end with SEQ, TIME or AGO")->type_name("WHERE");
}

Run add_tail(CLI::App& app) {
    const auto options = std::make_shared<TailOptions>();
    add_operands(app, options->filters);
    app.add_option("--not", options->nots, "take these topics out again; repeats")
        ->allow_extra_args(false)
        ->type_name("F");
    add_start(app, *options);
    app.add_flag("-f,--follow", options->follow_given, "wait for more (this is the default)");
    app.add_flag("--no-follow", options->no_follow, "from the start to the end of now");
    app.add_option("--limit", options->limit, "end after this many records")->type_name("N");
    app.add_option("--key", options->key, "only records of this key")->type_name("K");
    app.add_flag("--newest-per-key", options->newest_per_key,
                 "of what is there only the newest of each key; then what comes");
    app.add_option("--cursor-file", options->cursor_file, "go on where this file says; keep it")
        ->type_name("FILE");
    app.add_option("--as", options->as, "read as this consumer, which keeps the position")
        ->type_name("CONSUMER");
    app.add_flag("--no-ack", options->no_ack, "leave acknowledging to `klog consumer ack`");
    app.add_flag("--take-over", options->take_over, "fence whoever reads as CONSUMER now");
    return [options](Context& context) { return run_tail(*options, context); };
}

}  // namespace

Verb tail_verb() {
    Verb verb;
    verb.name = "tail";
    verb.summary = "read records as they come, by topic";
    verb.synopsis =
        "[FILTER...] [--not F]... [--from start|end|SEQ|TIME|AGO | --after CURSOR | -n N]\n"
        "                 [--until SEQ|TIME|AGO] [-f|--no-follow] [--limit N] [--key K]\n"
        "                 [--newest-per-key] [--cursor-file FILE]\n"
        "                 [--as CONSUMER [--no-ack] [--take-over]] [options]";
    verb.examples =
        "  $ klog tail\n"
        "  $ klog tail 'orders/*/completed' --from start --limit 1\n"
        "  $ klog tail orders/ --not 'orders/+/created' -n 5 --no-follow\n"
        "  $ klog tail --no-follow --key 123 -o value\n"
        "  $ klog tail orders/ --newest-per-key --no-follow\n"
        "  $ klog tail --no-follow --cursor-file orders.cursor\n"
        "  $ klog tail orders/ --as billing --no-follow\n";
    verb.add = add_tail;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
