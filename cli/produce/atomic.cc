// An atomic batch: all of standard input in one request.
#include <unistd.h>

#include <algorithm>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/produce/produce.h"
#include "cli/violations.h"

namespace klog::cli {
namespace {

bool is_blank(std::string_view line) {
    return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// Whether the daemon knows the batch again by the ids of its records, so that sending it twice
// cannot write it twice. Acks alone have no ids, and guards alone nothing to write.
bool is_repeatable(const ProduceOptions& options, std::string_view lines) {
    if (!options.envelope) return !options.id_from.empty();
    bool any_record = false;
    bool any_ack = false;
    while (!lines.empty()) {
        const std::size_t end = std::min(lines.find('\n'), lines.size());
        const std::string_view line = lines.substr(0, end);
        lines.remove_prefix(std::min(end + 1, lines.size()));
        if (is_blank(line) || member(line, "guard")) continue;
        if (member(line, "ack")) {
            any_ack = true;
            continue;
        }
        if (text_member(line, "id").empty()) return false;
        any_record = true;
    }
    return any_record || !any_ack;
}

Error outcome_unknown(bool repeatable) {
    return Error{Code::outcome_unknown,
                 "no answer says what became of it; the batch was written once or not at all",
                 repeatable ? "send it again as it is: its ids keep it from being written twice"
                            : "give each record an id: then it can be sent again safely"};
}

// Every violation with its line; the exit code is that of the first one.
int report_refusal(const Answer& answer) {
    const Problem problem = answer.problem();
    const auto violations = read_violations(answer.body);
    if (violations.empty()) return report(problem);
    // What to do about guards is the same for all of them, and said once.
    const auto of_guard = [](const ViolationText& violation) {
        return violation.code == code_name(Code::guard_conflict);
    };
    for (std::size_t i = 0; i < violations.size(); ++i) {
        const ViolationText& violation = violations[i];
        const std::string line =
            violation.line == 0 ? "" : "line " + std::to_string(violation.line) + ": ";
        const bool again = i + 1 < violations.size() && violations[i + 1].hint == violation.hint;
        complain(violation.code,
                 line + (violation.message.empty() ? problem.message : violation.message),
                 again || of_guard(violation) ? "" : violation.hint);
    }
    if (const auto left = member(answer.body, "violations_left_out")) {
        notice(std::string(*left) + " more stand against it");
    }
    const bool said = !of_guard(violations.front()) && !violations.front().hint.empty();
    if (!said && !problem.hint.empty()) write_error_stream("hint: " + problem.hint + "\n");
    return problem.exit;
}

// {"line":N,"seq":S,…} as a stream acknowledges it.
void append_ack(Output& out, std::string_view record, int status) {
    constexpr std::string_view kLine = "{\"line\":";
    const std::size_t comma = record.find(',');
    if (!record.starts_with(kLine) || comma == std::string_view::npos) return;
    out.append(record.substr(0, comma));
    out.append(",\"status\":" + std::to_string(status));
    out.append(record.substr(comma));
    out.append("\n");
}

void summarise(std::string_view body, bool duplicate) {
    const std::string count(member(body, "count").value_or("0"));
    std::string text = count + (count == "1" ? " record" : " records");
    const auto first = member(body, "first_seq");
    const auto last = member(body, "last_seq");
    if (first) text += ", seq " + std::string(*first);
    if (first && last && *first != *last) text += " to " + std::string(*last);
    if (duplicate) text += ", " + count + " known already";
    notice(text);
}

Result<int> judge(const Context& context, const ProduceOptions& options, const Answer& answer) {
    if (!answer.good()) return report_refusal(answer);
    if (!member(answer.body, "count")) {
        return Error{Code::not_klog, "the answer is no ack", "look at --url and KLOG_URL"};
    }
    constexpr int kKnown = 200;
    if (options.acks) {
        Output out;
        for (const std::string_view record :
             elements(member(answer.body, "records").value_or("[]"))) {
            append_ack(out, record, answer.status);
        }
        KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    }
    if (!context.quiet) summarise(answer.body, answer.status == kKnown);
    return 0;
}

}  // namespace

Result<int> produce_atomic(const Context& context, const ProduceOptions& options) {
    if (is_terminal(STDIN_FILENO) && !context.quiet) {
        notice("one record a line; Ctrl-D ends, and writes them all");
    }
    http::ClientRequest request = make_request(context, "POST", record_target(options).text());
    request.content_type = "application/x-ndjson";
    KLOG_TRY_ASSIGN(
        request.body,
        read_input(Error{Code::batch_too_large, "standard input is longer than any atomic batch",
                         "write it in parts, or as a stream, without --atomic"}));
    const bool repeatable = is_repeatable(options, request.body);
    KLOG_TRY_ASSIGN(const Answer answer,
                    ask_until_settled(
                        context, request, repeatable, [](const Answer& a) { return a.status; },
                        outcome_unknown(repeatable)));
    return judge(context, options, answer);
}

}  // namespace klog::cli
