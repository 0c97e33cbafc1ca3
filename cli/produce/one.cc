// One record.
#include <utility>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/produce/produce.h"
#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"

namespace klog::cli {
namespace {

// The daemon takes targets up to 64 KiB; what is longer goes as an envelope.
constexpr std::size_t kTargetBytesMax = 60U << 10U;
constexpr int kStatusFailed = 400;

void append_string(std::string& out, std::string_view name, std::string_view text) {
    out += ",\"" + std::string(name) + "\":";
    json::append_quoted(out, text);
}

// An expected version as JSON.
std::string version_text(const std::string& expect) {
    if (parse_digits(expect)) return expect;
    std::string text;
    json::append_quoted(text, expect);
    return text;
}

void append_expect(std::string& out, const ProduceOptions& options) {
    if (options.expect_none.empty()) {
        if (!options.expect.empty()) out += ",\"expect\":" + version_text(options.expect);
        return;
    }
    out += ",\"expect\":{\"none\":";
    char before = '[';
    for (const std::string& filter : options.expect_none) {
        out.push_back(std::exchange(before, ','));
        json::append_quoted(out, filter);
    }
    out += "]";
    if (!options.after.empty()) out += ",\"after\":" + options.after;
    if (!options.expect.empty()) out += ",\"version\":" + version_text(options.expect);
    out += "}";
}

void append_headers(std::string& out, const std::vector<std::string>& headers) {
    if (headers.empty()) return;
    out += ",\"headers\":{";
    for (std::size_t i = 0; i < headers.size(); ++i) {
        const std::size_t equals = headers[i].find('=');
        if (i > 0) out += ',';
        json::append_quoted(out, headers[i].substr(0, equals));
        out += ':';
        json::append_quoted(out, headers[i].substr(equals + 1));
    }
    out += '}';
}

// The record as an envelope. The value is checked, so that it cannot reach beyond its member.
Result<std::string> make_envelope(const ProduceOptions& options, std::string value) {
    std::string line = "{\"topic\":";
    json::append_quoted(line, options.topic);
    if (!options.key.empty()) append_string(line, "key", options.key);
    if (!options.id.empty()) append_string(line, "id", options.id);
    if (!options.event_time.empty()) append_string(line, "event_time", options.event_time);
    if (options.tombstone) append_string(line, "kind", "tombstone");
    append_expect(line, options);
    append_headers(line, options.headers);
    if (options.raw) {
        line += ",\"value_base64\":\"";
        json::append_base64(line, value);
        line += '"';
    } else if (options.value) {
        KLOG_TRY_ASSIGN(const std::string_view checked,
                        json::Checker().check(value.data(), value.size()));
        line += ",\"value\":";
        line += checked;
    }
    return line + "}\n";
}

// What to send: a request for one record, or a stream of one line.
Result<http::ClientRequest> build(const Context& context, const ProduceOptions& options) {
    std::string value = options.value.value_or("");
    if (options.value && *options.value == "-") {
        KLOG_TRY_ASSIGN(value, read_input(Error{Code::value_too_large,
                                                "standard input is longer than any value", ""}));
    }
    if (options.from_value()) {
        flatten(value);
        auto request = make_request(context, "POST", record_target(options).text());
        request.content_type = "application/x-ndjson";
        request.body = value + "\n";
        return request;
    }
    Target target = record_target(options);
    if (options.tombstone) target.add("kind", "tombstone");
    if (target.text().size() > kTargetBytesMax) {
        Target shorter("/v1/records");
        shorter.add("envelope", "true").add_given("ack", options.ack);
        auto request = make_request(context, "POST", shorter.text());
        request.content_type = "application/x-ndjson";
        KLOG_TRY_ASSIGN(request.body, make_envelope(options, std::move(value)));
        return request;
    }
    auto request = make_request(context, "POST", target.text());
    if (options.value) {
        request.content_type = options.raw ? "application/octet-stream" : "application/json";
        request.body = std::move(value);
    }
    return request;
}

std::string pretty_ack(std::string_view ack) {
    std::string text = "seq " + std::string(member(ack, "seq").value_or("?"));
    if (const auto version = member(ack, "version")) text += "  version " + std::string(*version);
    if (const std::string time = text_member(ack, "time"); !time.empty()) text += "  " + time;
    const std::string durable = text_member(ack, "durable");
    if (!durable.empty()) text += "  durable: " + durable;
    if (member(ack, "duplicate") == "true") text += "  (known already)";
    return text + "\n";
}

Result<int> print_ack(const Context& context, std::string_view ack) {
    Output out;
    switch (context.output()) {
        case OutputMode::pretty:
            out.append(pretty_ack(ack));
            break;
        case OutputMode::value:
            out.append(member(ack, "seq").value_or("?"));
            out.append("\n");
            break;
        case OutputMode::json:
            append_indented(out.buffer(), ack, 0);
            out.append("\n");
            break;
        case OutputMode::ndjson:
            out.append(ack);
            out.append("\n");
            break;
    }
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Result<int> refused(const ProduceOptions& options, int status, std::string_view document) {
    Problem problem = read_problem(status, document);
    if (problem.code == code_name(Code::bad_json) && !options.raw && !options.envelope) {
        problem.hint =
            "klog produce --raw takes a value that is no JSON as it is; a JSON string stands in "
            "quotes";
    }
    return report(problem);
}

// A stream of one line has its status inside.
int status_of(const Answer& answer) {
    if (!answer.good()) return answer.status;
    const auto inner = member(answer.body, "status");
    if (!inner) return answer.status;
    return static_cast<int>(parse_digits(*inner).value_or(0));
}

Result<int> judge(const Context& context, const ProduceOptions& options, const Answer& answer) {
    std::string_view body = answer.body;
    while (!body.empty() && (body.back() == '\n' || body.back() == '\r')) body.remove_suffix(1);
    if (!answer.good()) return refused(options, answer.status, body);
    if (const int status = status_of(answer); status >= kStatusFailed) {
        return refused(options, status, body);
    }
    if (!member(body, "seq")) {
        return Error{Code::not_klog, "the answer is no ack", "look at --url and KLOG_URL"};
    }
    return print_ack(context, body);
}

Error outcome_unknown(const ProduceOptions& options) {
    return Error{Code::outcome_unknown,
                 "no answer says what became of it; the record was written once or not at all",
                 options.id.empty() ? "give it an --id: then it can be sent again safely"
                                    : "send it again with --id " + options.id};
}

}  // namespace

Target record_target(const ProduceOptions& options) {
    Target target("/v1/records");
    if (options.envelope) target.add("envelope", "true");
    if (options.atomic) target.add("atomic", "true");
    target.add_given("topic", options.topic);
    target.add_given("key", options.key).add_given("key_from", options.key_from);
    for (const std::string& header : options.headers) target.add("header", header);
    target.add_given("id", options.id).add_given("id_from", options.id_from);
    target.add_given("event_time", options.event_time).add_given("expect", options.expect);
    for (const std::string& filter : options.expect_none) target.add("expect_none", filter);
    return target.add_given("after", options.after).add_given("ack", options.ack);
}

Result<int> produce_one(const Context& context, const ProduceOptions& options) {
    KLOG_TRY_ASSIGN(const http::ClientRequest request, build(context, options));
    // With an id the daemon knows a record again, so asking twice cannot write it twice.
    KLOG_TRY_ASSIGN(const Answer answer, ask_until_settled(context, request, !options.id.empty(),
                                                           status_of, outcome_unknown(options)));
    return judge(context, options, answer);
}

}  // namespace klog::cli
