// Where a tail starts, and the advice that it gives before.
#include <unistd.h>

#include "cli/advice.h"
#include "cli/human.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/tail/tail.h"
#include "daemon/json/record_json.h"

namespace klog::cli {
namespace {

constexpr std::size_t kLineBytesMax = kAnswerBytesMax;
// What a notice may cost.
constexpr std::chrono::milliseconds kAdviceWait{2000};

// A refusal of a question that is only preparation becomes an ordinary error; what the daemon
// knows under a code that we do not is told as its message.
Error as_error(const Answer& answer) {
    const Problem problem = answer.problem();
    const auto known = code_from_name(problem.code);
    return Error{known.value_or(Code::bad_request), problem.message, problem.hint};
}

// A question whose answer begins with the record that the tail will show first. `name` and `value`
// say from where.
Result<Start> probe(const Context& context, const TailOptions& options, std::string_view name,
                    std::string_view value) {
    Target target("/v1/records");
    add_filters(target, options);
    target.add(name, value).add_given("until", options.until);
    // The last ones are counted among those that will be shown.
    if (name == "last" && options.newest_per_key) target.add("newest_per_key", "true");
    target.add("limit", "1").add("marks", "true");
    KLOG_TRY_ASSIGN(const auto client, dial(context));
    KLOG_TRY(client->send(make_request(context, "GET", target.text())));
    const auto limit = context.timeout().value_or(kAnswerWait);
    auto head = client->read_head(limit);
    if (!head) return read_error(std::move(head).error());
    auto body = client->read_all(kLineBytesMax, limit);
    if (!body) return read_error(std::move(body).error());
    if (head->status != 200) return as_error(Answer{head->status, head->content_type, *body});
    Start start;
    start.read_to = parse_digits(head->header("klog-read-to").value_or(""));
    LineSplitter lines;
    bool found = false;
    lines.feed(*body, [&](std::string_view line) {
        const auto seq = member(line, "seq");
        if (!seq) return true;
        start.cursor = parse_digits(*seq).value_or(1) - 1;
        found = true;
        return false;
    });
    if (!found) {
        start.cursor = start.read_to.value_or(0);
        start.from = "?";
    }
    return start;
}

// How many records match up to this seq; nothing where the daemon does not say.
std::optional<std::uint64_t> count_earlier(const Context& context, const TailOptions& options,
                                           std::uint64_t until) {
    Target target("/v1/count");
    add_filters(target, options);
    target.add("until", std::to_string(until));
    const auto answer = ask(context.within(kAdviceWait), target);
    if (!answer || !answer->good()) return std::nullopt;
    return parse_digits(member(answer->body, "count").value_or(""));
}

void advise_earlier(const Context& context, const TailOptions& options, const Start& start) {
    if (start.cursor == 0) return;
    if (const auto count = count_earlier(context, options, start.cursor)) {
        if (*count == 0) return;
        notice(counted(*count, "earlier record") + (*count == 1
                                                        ? " matches (--from start shows it)"
                                                        : " match (--from start shows them)"));
        return;
    }
    // Where counting takes too long, the heads still say whether there is something.
    std::vector<std::string> filters = options.filters;
    if (filters.empty()) filters.emplace_back();
    for (const std::string& filter : filters) {
        const auto newest = ask_head(context, filter);
        if (newest && *newest > 0 && *newest <= start.cursor) {
            notice("waiting for new records (--from start shows earlier records)");
            return;
        }
    }
}

}  // namespace

Result<Point> parse_point(std::string_view option, const std::string& text) {
    Point point;
    if (const auto seq = parse_digits(text)) {
        point.seq = *seq;
        return point;
    }
    if (const auto ago = json::parse_duration(text)) {
        point.kind = Point::Kind::ago;
        point.micros = *ago;
        return point;
    }
    if (const auto time = json::parse_time(text)) {
        point.kind = Point::Kind::time;
        point.micros = time->micros;
        return point;
    }
    return Error{
        Code::bad_option,
        std::string(option) + " takes a seq, a time or a duration before now, not \"" + text + "\"",
        "such as 1042, 2026-11-22T13:39:00Z or 5m"};
}

// What cannot be compared here, a time and a duration, the daemon compares by its own clock.
Status check_order(const std::string& from, const std::string& until) {
    if (from.empty() || until.empty() || from == "start" || from == "end") return {};
    KLOG_TRY_ASSIGN(const Point first, parse_point("--from", from));
    KLOG_TRY_ASSIGN(const Point last, parse_point("--until", until));
    const bool wrong =
        first.kind == last.kind && (first.kind == Point::Kind::seq    ? first.seq > last.seq
                                    : first.kind == Point::Kind::time ? first.micros > last.micros
                                                                      : first.micros < last.micros);
    if (!wrong) return {};
    return Error{Code::bad_option, "--from " + from + " lies after --until " + until,
                 "--from " + until + " --until " + from};
}

void add_filters(Target& target, const TailOptions& options) {
    for (const std::string& filter : options.filters) target.add("filter", filter);
    for (const std::string& filter : options.nots) target.add("not", filter);
    target.add_given("key", options.key);
}

Result<std::uint64_t> ask_head(const Context& context, const std::string& filter) {
    Target target("/v1/head");
    target.add_given("filter", filter);
    KLOG_TRY_ASSIGN(const Answer answer, ask(context, target));
    if (!answer.good()) return as_error(answer);
    const auto seq = parse_digits(member(answer.body, "seq").value_or(""));
    if (!seq) return Error{Code::not_klog, "the answer holds no seq", "look at --url and KLOG_URL"};
    return *seq;
}

Result<Start> find_start(const Context& context, const TailOptions& options, bool follow) {
    Start start;
    if (!options.after.empty()) {
        KLOG_TRY_ASSIGN(start.cursor, parse_number("--after", options.after, 0));
        return start;
    }
    const bool from_end = options.from == "end" || (options.from.empty() && follow);
    if (!options.last.empty() && options.last != "0") {
        KLOG_TRY_ASSIGN(start, probe(context, options, "last", options.last));
        start.from.clear();
        return start;
    }
    if (options.last == "0" || from_end) {
        KLOG_TRY_ASSIGN(start.cursor, ask_head(context, ""));
        return start;
    }
    if (options.from == "start" || options.from.empty()) return start;
    KLOG_TRY_ASSIGN(const Point point, parse_point("--from", options.from));
    if (point.kind == Point::Kind::seq) {
        start.cursor = point.seq == 0 ? 0 : point.seq - 1;
        return start;
    }
    KLOG_TRY_ASSIGN(start, probe(context, options, "from", options.from));
    // Nothing there yet: a time to come stays a time until its first record shows its seq.
    const bool keep = !start.from.empty() && point.kind == Point::Kind::time;
    start.from = keep ? options.from : "";
    return start;
}

void advise_ahead(const Context& context, std::uint64_t cursor, bool follow) {
    if (context.quiet) return;
    const auto newest = ask_head(context.within(kAdviceWait), "");
    if (!newest || *newest >= cursor) return;
    notice("the cursor " + std::to_string(cursor) + " lies ahead of the head, which is " +
           std::to_string(*newest) + (follow ? "; waiting" : "; there is nothing to show"));
}

void advise(const Context& context, const TailOptions& options, const Start& start, bool follow) {
    if (context.quiet) return;
    advise_quotes(options.filters);
    advise_literal(context, "tail", options.filters);
    const bool at_end = follow && !options.newest_per_key && options.after.empty() &&
                        options.last.empty() && (options.from.empty() || options.from == "end");
    if (at_end && is_terminal(STDERR_FILENO) && is_terminal(STDOUT_FILENO)) {
        advise_earlier(context, options, start);
    }
    if (options.after.empty() && options.from.empty() && options.cursor_file.empty()) return;
    advise_ahead(context, start.cursor, follow);
}

}  // namespace klog::cli
