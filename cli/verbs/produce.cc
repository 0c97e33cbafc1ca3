#include "cli/produce/produce.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/args.h"
#include "cli/context.h"
#include "cli/options.h"
#include "cli/verb.h"
#include "topic/filter.h"
#include "topic/topic.h"

namespace klog::cli {
namespace {

Error usage(std::string message, std::string hint = "klog produce --help") {
    return Error{Code::usage, std::move(message), std::move(hint)};
}

// Which operand is which depends on --envelope.
Status name_operands(ProduceOptions& options) {
    const std::size_t operands_max = options.envelope ? 1 : 2;
    if (options.operands.size() > operands_max) {
        return usage("\"" + options.operands.back() + "\" is one operand too many",
                     options.envelope ? "with --envelope each record carries its own topic"
                                      : "a VALUE with spaces stands in quotes");
    }
    if (!options.envelope && options.operands.empty()) return usage("TOPIC is missing");
    if (!options.envelope) options.topic = options.operands[0];
    if (options.operands.size() == operands_max) options.value = options.operands.back();
    return {};
}

Status check_one(const ProduceOptions& options) {
    if (options.atomic) {
        return usage("--atomic takes all lines of standard input, and no VALUE",
                     "one record is written whole or not at all without it");
    }
    if (!options.on_error.empty()) return usage("--on-error is for one record a line");
    if (options.raw && !options.value) return usage("--raw needs a VALUE");
    if (!options.from_value()) return {};
    if (options.raw) return usage("--raw has no parts that key, id or topic could be taken from");
    if (!options.value) return usage("key, id and topic can be taken from a VALUE only");
    const bool more = !options.id.empty() || !options.event_time.empty() ||
                      !options.expect.empty() || !options.expect_none.empty() || options.tombstone;
    if (more) {
        return usage(
            "--id, --event-time, --expect, --expect-none and --tombstone do not stand beside "
            "--envelope, --key-from, --id-from or a {…} in TOPIC",
            "an envelope has members of these names: klog produce --envelope");
    }
    return {};
}

Status check_lines(const ProduceOptions& options) {
    if (options.raw) {
        return usage("--raw takes VALUE, or - for all of standard input",
                     "jq -cR . turns lines of text into JSON strings");
    }
    if (!options.id.empty())
        return usage("--id names one record", "--id-from takes an id from each");
    if (!options.expect.empty() || !options.event_time.empty()) {
        return usage("--expect and --event-time are for one record",
                     "an envelope has members of these names: klog produce --envelope");
    }
    if (options.atomic && !options.on_error.empty()) {
        return usage("--on-error and --atomic exclude each other: a batch is written or it is not");
    }
    if (!options.atomic && !options.expect_none.empty()) {
        return usage("--expect-none is for one record, or for a batch with --atomic",
                     "in a stream each envelope has a guard of its own as \"expect\"");
    }
    return {};
}

// What must not be there. The daemon judges its filters again.
Status check_guard(const ProduceOptions& options) {
    if (options.expect_none.empty()) {
        if (options.after.empty()) return {};
        return usage("--after stands without --expect-none",
                     "--expect-none FILTER says what must not be there behind it");
    }
    for (const std::string& filter : options.expect_none) KLOG_TRY(Filter::parse(filter));
    if (!options.after.empty()) KLOG_TRY(parse_number("--after", options.after, 0));
    return {};
}

Status check(const ProduceOptions& options) {
    if (options.envelope && (!options.key.empty() || !options.key_from.empty() ||
                             !options.headers.empty() || !options.id_from.empty() || options.raw)) {
        return usage("with --envelope key, id and headers stand in each record");
    }
    if (!options.key.empty() && !options.key_from.empty()) {
        return usage("--key and --key-from exclude each other");
    }
    if (!options.id.empty() && !options.id_from.empty()) {
        return usage("--id and --id-from exclude each other");
    }
    for (const std::string& header : options.headers) {
        if (header.find('=') == std::string::npos) {
            return Error{Code::bad_option, "--header takes NAME=VALUE, not \"" + header + "\"", ""};
        }
    }
    if (!options.on_error.empty() && options.on_error != "stop" && options.on_error != "skip") {
        return Error{Code::bad_option,
                     "--on-error takes stop or skip, not \"" + options.on_error + "\"", ""};
    }
    // A topic that is filled from values can only be judged with them.
    if (!options.envelope && options.topic.find('{') == std::string::npos) {
        KLOG_TRY(check_topic(options.topic));
    }
    KLOG_TRY(check_guard(options));
    return options.one() ? check_one(options) : check_lines(options);
}

Result<int> run_produce(ProduceOptions& options, Context& context) {
    KLOG_TRY(name_operands(options));
    KLOG_TRY(check(options));
    KLOG_TRY(context.load());
    if (options.one()) return produce_one(context, options);
    return options.atomic ? produce_atomic(context, options) : produce_lines(context, options);
}

void add_record_options(CLI::App& app, ProduceOptions& options) {
    app.add_option("-k,--key", options.key, "the entity that the record belongs to")
        ->type_name("KEY");
    app.add_option("--key-from", options.key_from, "take the key from each value, as /customer/id")
        ->type_name("PTR");
    app.add_option("-H,--header", options.headers, "a header; repeats")
        ->allow_extra_args(false)
        ->type_name("K=V");
    app.add_option("--id", options.id, "makes sending it again safe")->type_name("ID");
    app.add_option("--id-from", options.id_from, "take the id from each value")->type_name("PTR");
    app.add_option("--event-time", options.event_time, "the producer's own time, RFC 3339")
        ->type_name("T");
    app.add_option("--expect", options.expect, "write only at this version: N, absent or exists")
        ->type_name("E");
    app.add_option("--expect-none", options.expect_none,
                   "write only if no record matches this; repeats")
        ->allow_extra_args(false)
        ->type_name("FILTER");
    app.add_option("--after", options.after, "with --expect-none: none behind this cursor")
        ->type_name("CURSOR");
}

Run add_produce(CLI::App& app) {
    const auto options = std::make_shared<ProduceOptions>();
    add_operands(app, options->operands);
    add_record_options(app, *options);
    app.add_flag("--tombstone", options->tombstone, "mark the key's entity as deleted");
    app.add_flag("--raw", options->raw, "the value is bytes and need not be JSON");
    app.add_flag("--envelope", options->envelope, "records carry topic, key, id … themselves");
    app.add_flag("--atomic", options->atomic, "write all lines of standard input, or none");
    app.add_option("--ack", options->ack, "durable where: local or bucket")->type_name("WHERE");
    app.add_option("--on-error", options->on_error, "at a refused line: stop or skip")
        ->type_name("WHAT");
    app.add_flag("--acks", options->acks, "print an ack for each line");
    return [options](Context& context) { return run_produce(*options, context); };
}

}  // namespace

Verb produce_verb() {
    Verb verb;
    verb.name = "produce";
    verb.summary = "write a record, or one for each line of standard input";
    verb.synopsis = "TOPIC [VALUE|-] [options]\n       klog produce --envelope [VALUE|-] [options]";
    verb.examples =
        "  $ klog produce orders/123/created '{\"amount\":12.5}' -k 123\n"
        "  $ klog produce orders/123/paid '{\"amount\":12.5}' -k 123 --expect 1\n"
        "  $ printf '{\"id\":\"7\"}\\n{\"id\":\"8\"}\\n' | klog produce 'orders/{/id}/created' "
        "--key-from /id\n"
        "  $ echo '{\"topic\":\"a/b\",\"value\":1}' | klog produce --envelope --acks\n"
        "  $ klog produce enrol/c1/s7 '{}' --expect-none 'enrol/c1/s7' --after \"$(klog head)\"\n"
        "  $ printf '{\"topic\":\"a/b\",\"value\":1}\\n{\"topic\":\"a/c\",\"value\":2}\\n' | "
        "klog produce --envelope --atomic\n"
        "  $ klog produce notes/today --raw 'no JSON at all'\n"
        "  $ klog produce orders/123/removed -k 123 --tombstone\n";
    verb.add = add_produce;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
