// A tail as a consumer: found, or made by the first one.
#include "klog/consumer.h"

#include <vector>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/tail/tail.h"

namespace klog::cli {
namespace {

void append_list(std::string& out, std::string_view name, const std::vector<std::string>& texts) {
    if (texts.empty()) return;
    out.append(out.size() > 1 ? ",\"" : "\"").append(name).append("\":[");
    for (const std::string& text : texts) {
        if (out.back() != '[') out.push_back(',');
        json::append_quoted(out, text);
    }
    out.push_back(']');
}

// Where --from and --after say that it begins, as the daemon takes it.
Result<std::string> from_of(const TailOptions& options) {
    if (!options.after.empty()) {
        KLOG_TRY_ASSIGN(const std::uint64_t after, parse_number("--after", options.after, 0));
        return std::to_string(after + 1);
    }
    if (!options.from.empty()) return options.from;
    return std::string(options.no_follow ? "start" : "end");
}

Result<Answer> put(const Context& context, const TailOptions& options) {
    Target target("/v1/consumers");
    target.segment(options.as);
    http::ClientRequest request = make_request(context, "PUT", target.text());
    KLOG_TRY_ASSIGN(const std::string from, from_of(options));
    request.content_type = "application/json";
    request.body = "{";
    append_list(request.body, "filter", options.filters);
    append_list(request.body, "not", options.nots);
    request.body += request.body.size() > 1 ? ",\"from\":" : "\"from\":";
    json::append_quoted(request.body, from);
    request.body += "}";
    return ask(context, request);
}

}  // namespace

Status check_consumer_options(const TailOptions& options) {
    const auto usage = [](std::string message) {
        return Error{Code::usage, std::move(message), "klog tail --help"};
    };
    if (options.as.empty()) {
        if (options.no_ack) return usage("--no-ack is for a tail with --as NAME");
        if (options.take_over) return usage("--take-over is for a tail with --as NAME");
        return {};
    }
    KLOG_TRY(check_consumer_name(options.as));
    if (!options.cursor_file.empty()) {
        return usage("--as and --cursor-file both keep a position: one of them is enough");
    }
    if (!options.last.empty()) return usage("-n and --as exclude each other");
    if (!options.key.empty()) return usage("--key and --as exclude each other");
    if (options.newest_per_key) return usage("--newest-per-key and --as exclude each other");
    return {};
}

Result<std::variant<Problem, Start>> find_consumer(const Context& context,
                                                   const TailOptions& options) {
    Target target("/v1/consumers");
    target.segment(options.as).add("lag", "false");
    KLOG_TRY_ASSIGN(Answer answer, ask(context, target));
    const bool there = answer.good();
    const bool missing = answer.status == 404 && answer.problem().code == "not_found";
    if (missing || (there && !(options.filters.empty() && options.nots.empty()))) {
        KLOG_TRY_ASSIGN(answer, put(context, options));
    }
    if (!answer.good()) return std::variant<Problem, Start>(answer.problem());
    const bool made = answer.status == 201;
    Start start;
    const auto position = member(answer.body, "position");
    start.cursor = parse_digits(position.value_or("")).value_or(0);
    const bool start_given = !options.from.empty() || !options.after.empty();
    if (!context.quiet && !made && start_given) {
        notice("the consumer " + options.as + " is there and goes on behind seq " +
               std::to_string(start.cursor) + "; klog consumer reset moves it");
    }
    if (made && context.verbose) {
        notice("the consumer " + options.as + " was made; it keeps the filter " +
               std::string(member(answer.body, "filter").value_or("")));
    }
    return std::variant<Problem, Start>(start);
}

}  // namespace klog::cli
