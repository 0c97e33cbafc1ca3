#include "cli/listing.h"

#include <optional>

#include "cli/json_text.h"
#include "cli/lines.h"
#include "cli/options.h"
#include "daemon/json/record_json.h"

namespace klog::cli {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kTopic = "\x1b[36m";
constexpr std::string_view kKey = "\x1b[33m";
constexpr std::string_view kReset = "\x1b[0m";
constexpr std::size_t kMillisColumns = 23;  // 2026-11-22T13:39:00.123

void paint(std::string& out, std::string_view text, std::string_view color, bool on) {
    if (on) out.append(color);
    out.append(text);
    if (on) out.append(kReset);
}

// Text that a producer chose must not steer the terminal: DEL and the C1 controls, the only
// controls that JSON lets through unescaped, become question marks.
void append_safe(std::string& out, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool c1 =
            byte == 0xC2U && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0U;
        if (c1) ++i;
        out.push_back(c1 || byte == 0x7FU || byte < 0x20U ? '?' : text[i]);
    }
}

void pretty_record(std::string& out, std::string_view line, bool color) {
    std::string time = text_member(line, "time").substr(0, kMillisColumns);
    if (time.size() > 10) time[10] = ' ';
    paint(out, time + "Z", kDim, color);
    out.append("  ");
    std::string topic = text_member(line, "topic");
    if (topic.empty()) topic = text_member(line, "space");
    paint(out, topic, kTopic, color);
    out.append("  ");
    const std::string key = text_member(line, "key");
    if (!key.empty()) {
        std::string entity;
        append_safe(entity, key);
        entity.append("@").append(member(line, "version").value_or("?"));
        paint(out, entity, kKey, color);
        out.append("  ");
    }
    const std::string kind = text_member(line, "kind");
    if (!kind.empty()) out.append("(").append(kind).append(") ");
    if (const auto value = member(line, "value")) append_safe(out, *value);
    if (const auto raw = member(line, "value_base64")) out.append("base64:").append(unquote(*raw));
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out.push_back('\n');
}

void record_value(std::string& out, std::string_view line) {
    if (const auto value = member(line, "value")) {
        out.append(*value);
    } else if (const auto raw = member(line, "value_base64")) {
        // What a daemon sends as base64 is base64; an unsound answer shows as nothing.
        if (const auto bytes = json::parse_base64(unquote(*raw))) out.append(*bytes);
    } else {
        return;  // a tombstone has none
    }
    out.push_back('\n');
}

void pretty_key(std::string& out, std::string_view line, bool color) {
    std::string key;
    append_safe(key, text_member(line, "key"));
    paint(out, key + "@" + std::string(member(line, "version").value_or("?")), kKey, color);
    out.append("  seq ").append(member(line, "seq").value_or("?"));
    const std::string state = text_member(line, "state");
    if (!state.empty()) out.append("  ").append(state);
    out.push_back('\n');
}

void key_value(std::string& out, std::string_view line) {
    out.append(text_member(line, "key")).append("\n");
}

void pretty_topic(std::string& out, std::string_view line, bool color) {
    paint(out, text_member(line, "topic"), kTopic, color);
    const std::string_view records = member(line, "records").value_or("?");
    out.append("  ").append(records).append(records == "1" ? " record" : " records");
    out.append("  last seq ").append(member(line, "last_seq").value_or("?")).append("\n");
}

void topic_value(std::string& out, std::string_view line) {
    out.append(text_member(line, "topic")).append("\n");
}

void pretty_consumer(std::string& out, std::string_view line, bool color) {
    paint(out, text_member(line, "name"), kTopic, color);
    out.append("  at seq ").append(member(line, "position").value_or("?"));
    if (const auto lag = member(line, "lag")) out.append("  ").append(*lag).append(" behind");
    for (const auto& [name, lead] : {std::pair("filter", "  "), std::pair("not", "  not ")}) {
        if (const auto list = member(line, name)) append_safe(out.append(lead), *list);
    }
    if (member(line, "reader").value_or("") == "true") out.append("  being read");
    std::string active = text_member(line, "last_active").substr(0, kMillisColumns);
    if (active.size() > 10) active[10] = ' ';
    out.append("  ");
    paint(out, "active " + active + "Z", kDim, color);
    if (const auto result = member(line, "result")) append_safe(out.append("  result "), *result);
    out.push_back('\n');
}

void consumer_value(std::string& out, std::string_view line) {
    out.append(text_member(line, "name")).append("\n");
}

// An answer that breaks off ends with such a line; nothing that is listed begins so.
constexpr std::string_view kErrorLine = "{\"error\":";

Problem problem_of(std::string_view line) {
    const std::string_view error = member(line, "error").value_or("");
    const auto status = parse_digits(member(error, "status").value_or(""));
    return read_problem(static_cast<int>(status.value_or(0)), error);
}

constexpr LineStyle kRecordStyle = {pretty_record, record_value};
constexpr LineStyle kKeyStyle = {pretty_key, key_value};
constexpr LineStyle kTopicStyle = {pretty_topic, topic_value};
constexpr LineStyle kConsumerStyle = {pretty_consumer, consumer_value};

}  // namespace

const LineStyle& record_style() { return kRecordStyle; }
const LineStyle& key_style() { return kKeyStyle; }
const LineStyle& topic_style() { return kTopicStyle; }
const LineStyle& consumer_style() { return kConsumerStyle; }

void LinePrinter::print(std::string_view line) {
    switch (mode_) {
        case OutputMode::pretty:
            style_.pretty(out_.buffer(), line, color_);
            break;
        case OutputMode::value:
            style_.value(out_.buffer(), line);
            break;
        case OutputMode::json:
            out_.append(any_ ? ",\n  " : "[\n  ");
            append_indented(out_.buffer(), line, 1);
            break;
        case OutputMode::ndjson:
            out_.append(line);
            out_.append("\n");
            break;
    }
    any_ = true;
}

void LinePrinter::finish() {
    if (mode_ == OutputMode::json) out_.append(any_ ? "\n]\n" : "[]\n");
}

Result<int> print_listing(const Context& context, const Target& target, const LineStyle& style) {
    KLOG_TRY_ASSIGN(const auto client, dial(context));
    KLOG_TRY(client->send(make_request(context, "GET", target.text())));
    const auto limit = context.timeout().value_or(kAnswerWait);
    const auto head = client->read_head(limit);
    if (!head) return read_error(head.error());
    if (head->status != 200) {
        KLOG_TRY_ASSIGN(const std::string body, client->read_all(kProblemBytesMax, limit));
        return report(read_problem(head->status, body));
    }
    Output out;
    LinePrinter printer(out, context.output(), context.color(), style);
    LineSplitter lines;
    std::optional<Problem> broken;
    while (!broken) {
        auto chunk = client->read_body(kReadBytes, limit);
        if (!chunk) return read_error(std::move(chunk).error());
        if (chunk->empty()) break;
        lines.feed(*chunk, [&](std::string_view line) {
            if (line.starts_with(kErrorLine)) {
                broken = problem_of(line);
                return false;
            }
            if (!line.empty()) printer.print(line);
            return true;
        });
        if (out.full()) {
            KLOG_TRY_ASSIGN(const bool open, out.flush());
            if (!open) return 0;
        }
    }
    // An array that is not whole is not closed either.
    if (!broken) printer.finish();
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return broken ? report(*broken) : 0;
}

}  // namespace klog::cli
