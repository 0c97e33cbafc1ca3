#include "klog/consumer.h"

#include <CLI/CLI.hpp>
#include <array>
#include <memory>

#include "cli/args.h"
#include "cli/confirm.h"
#include "cli/context.h"
#include "cli/json_text.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/verb.h"
#include "daemon/json/json_check.h"

namespace klog::cli {
namespace {

struct ConsumerFlags {
    std::vector<std::string> operands;
    std::string to;
    std::string idle;
    std::string lease;
    bool no_lag = false;
    bool yes = false;

    [[nodiscard]] const std::string& name() const { return operands[1]; }
};

Error usage(std::string message, std::string hint) {
    return Error{Code::usage, std::move(message), std::move(hint)};
}

Target target_of(const ConsumerFlags& flags) {
    Target target("/v1/consumers");
    target.segment(flags.name());
    return target;
}

http::ClientRequest with_body(const Context& context, std::string method, const Target& target,
                              std::string body) {
    http::ClientRequest request = make_request(context, std::move(method), target.text());
    request.content_type = "application/json";
    request.body = std::move(body);
    return request;
}

// One document, in the mode that was asked for.
Result<int> print_one(const Context& context, std::string body) {
    while (!body.empty() && body.back() == '\n') body.pop_back();
    Output out;
    if (context.output() == OutputMode::json) {
        append_indented(out.buffer(), body, 0);
        out.append("\n");
    } else {
        LinePrinter(out, context.output(), context.color(), consumer_style()).print(body);
    }
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Result<int> run_ls(const ConsumerFlags& flags, Context& context) {
    Target target("/v1/consumers");
    if (!flags.no_lag) target.add("lag", "true");
    return print_listing(context, target, consumer_style());
}

Result<int> run_show(const ConsumerFlags& flags, Context& context) {
    Target target = target_of(flags);
    if (flags.no_lag) target.add("lag", "false");
    KLOG_TRY_ASSIGN(Answer answer, ask(context, target));
    if (!answer.good()) return report(answer.problem());
    return print_one(context, std::move(answer.body));
}

// Says nothing where it went well, unless it is asked to.
Result<int> print_position(const Context& context, const Answer& answer) {
    if (!answer.good()) return report(answer.problem());
    if (!context.output_given()) return 0;
    Output out;
    const bool object =
        context.output() == OutputMode::json || context.output() == OutputMode::ndjson;
    const std::string position(member(answer.body, "position").value_or("0"));
    out.append(object ? "{\"position\":" + position + "}\n" : position + "\n");
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Result<std::string> checked_result(std::string text) {
    const auto value = json::Checker().check(text.data(), text.size());
    if (value) return std::string(*value);
    return Error{value.error().code, "RESULT is no JSON: " + value.error().message,
                 "a text stands in quotes of its own: '\"done\"'"};
}

Result<int> run_ack(const ConsumerFlags& flags, Context& context) {
    KLOG_TRY_ASSIGN(const std::uint64_t seq, parse_number("SEQ", flags.operands[2], 0));
    std::string body = "{\"seq\":" + std::to_string(seq);
    if (flags.operands.size() > 3) {
        KLOG_TRY_ASSIGN(const std::string result, checked_result(flags.operands[3]));
        body += ",\"result\":" + result;
    }
    Target target = target_of(flags);
    http::ClientRequest request = with_body(context, "POST", target.segment("ack"), body + "}");
    if (!flags.lease.empty()) {
        KLOG_TRY(parse_number("--lease", flags.lease, 1));
        request.headers.emplace_back("Klog-Lease", flags.lease);
    }
    KLOG_TRY_ASSIGN(const Answer answer, ask(context, request));
    return print_position(context, answer);
}

Result<int> run_reset(const ConsumerFlags& flags, Context& context) {
    if (flags.to.empty()) {
        return usage("where to is not said", "klog consumer reset " + flags.name() + " --to start");
    }
    if (flags.to != "start" && flags.to != "end") KLOG_TRY(parse_number("--to", flags.to, 0));
    if (!flags.yes) {
        KLOG_TRY_ASSIGN(const bool yes,
                        confirm("Move the consumer " + flags.name() + " to " + flags.to + "?"));
        if (!yes) return 1;
    }
    Target target = target_of(flags);
    KLOG_TRY_ASSIGN(const Answer answer,
                    ask(context, with_body(context, "POST", target.segment("reset"),
                                           "{\"position\":\"" + flags.to + "\"}")));
    return print_position(context, answer);
}

Result<int> run_rm(const ConsumerFlags& flags, Context& context) {
    const bool idle = !flags.idle.empty();
    if (idle == (flags.operands.size() > 1)) {
        return usage("rm takes a consumer's name or --idle", "klog consumer rm --idle 30d --yes");
    }
    if (idle) KLOG_TRY(parse_wait("--idle", flags.idle));
    if (!flags.yes) {
        KLOG_TRY_ASSIGN(const bool yes,
                        confirm(idle ? "Remove every consumer that was idle for " + flags.idle + "?"
                                     : "Remove the consumer " + flags.name() + "?"));
        if (!yes) return 1;
    }
    Target target("/v1/consumers");
    if (idle) {
        target.add("idle", flags.idle);
    } else {
        target.segment(flags.name());
    }
    KLOG_TRY_ASSIGN(const Answer answer,
                    ask(context, make_request(context, "DELETE", target.text())));
    if (!answer.good()) return report(answer.problem());
    if (!idle && !context.output_given()) return 0;
    const bool object = context.output_given() && (context.output() == OutputMode::json ||
                                                   context.output() == OutputMode::ndjson);
    const std::string removed(member(answer.body, "removed").value_or("0"));
    Output out;
    out.append(object ? "{\"removed\":" + removed + "}\n" : removed + "\n");
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

struct Action {
    std::string_view name;
    std::size_t operands_min;  // the action's name included
    std::size_t operands_max;
    std::string_view synopsis;
    Result<int> (*run)(const ConsumerFlags&, Context&);
};

constexpr std::array kActions = {
    Action{"ls", 1, 1, "klog consumer ls", run_ls},
    Action{"show", 2, 2, "klog consumer show CONSUMER", run_show},
    Action{"reset", 2, 2, "klog consumer reset CONSUMER --to start|end|SEQ", run_reset},
    Action{"rm", 1, 2, "klog consumer rm CONSUMER", run_rm},
    Action{"ack", 3, 4, "klog consumer ack CONSUMER SEQ [RESULT]", run_ack},
};

Status check_options(const Action& action, const ConsumerFlags& flags) {
    const auto only = [&](bool given, std::string_view option, std::string_view where) -> Status {
        if (!given || where.find(action.name) != std::string_view::npos) return {};
        return usage(
            std::string(option) + " is not for `klog consumer " + std::string(action.name) + "`",
            std::string(action.synopsis));
    };
    KLOG_TRY(only(!flags.to.empty(), "--to", "reset"));
    KLOG_TRY(only(!flags.idle.empty(), "--idle", "rm"));
    KLOG_TRY(only(!flags.lease.empty(), "--lease", "ack"));
    KLOG_TRY(only(flags.no_lag, "--no-lag", "ls show"));
    return only(flags.yes, "--yes", "reset rm");
}

Result<int> run_consumer(const ConsumerFlags& flags, Context& context) {
    for (const Action& action : kActions) {
        if (action.name != flags.operands.front()) continue;
        const std::size_t count = flags.operands.size();
        if (count < action.operands_min || count > action.operands_max) {
            return usage("that is not how it is called", std::string(action.synopsis));
        }
        KLOG_TRY(check_options(action, flags));
        if (count > 1) KLOG_TRY(check_consumer_name(flags.name()));
        KLOG_TRY(context.load());
        return action.run(flags, context);
    }
    return usage("there is no consumer " + flags.operands.front(),
                 "klog consumer ls|show|reset|rm|ack");
}

Run add_consumer(CLI::App& app) {
    const auto flags = std::make_shared<ConsumerFlags>();
    add_operands(app, flags->operands);
    app.add_option("--to", flags->to, "reset: start, end, or the seq that counts as done")
        ->type_name("WHERE");
    app.add_option("--idle", flags->idle, "rm: all that nobody read or acknowledged as for so long")
        ->type_name("D");
    app.add_option("--lease", flags->lease, "ack: only if this is the newest lease")
        ->type_name("N");
    app.add_flag("--no-lag", flags->no_lag, "ls, show: do not count what is left to do");
    app.add_flag("--yes", flags->yes, "reset, rm: do not ask");
    return [flags](Context& context) -> Result<int> {
        if (flags->operands.empty()) {
            return usage("what to do is not said", "klog consumer ls|show|reset|rm|ack");
        }
        return run_consumer(*flags, context);
    };
}

}  // namespace

Verb consumer_verb() {
    Verb verb;
    verb.name = "consumer";
    verb.summary = "positions that readers keep by name";
    verb.synopsis =
        "ls|show|reset|rm|ack [CONSUMER] [SEQ] [RESULT]\n"
        "                 [--to start|end|SEQ] [--idle D] [--lease N] [--no-lag] [--yes]\n"
        "                 [options]";
    verb.examples =
        "  $ klog tail orders/ --as billing --no-follow && klog consumer show billing\n"
        "  $ klog consumer ls\n"
        "  $ klog consumer reset billing --to start --yes\n"
        "  $ klog consumer ack billing 2 '\"ok\"'\n"
        "  $ klog consumer rm billing --yes\n"
        "  $ klog consumer rm --idle 30d --yes\n";
    verb.add = add_consumer;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
