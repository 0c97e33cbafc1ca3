#include "daemon/api/write_options.h"

#include <fmt/core.h>

#include <array>
#include <limits>

#include "daemon/api/read_options.h"
#include "daemon/json/guard_json.h"
#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"

namespace klog::api {
namespace {

constexpr std::array kSingleParams = {
    ParamSpec{"topic"},        ParamSpec{"key"},        ParamSpec{"expect"},
    ParamSpec{"id"},           ParamSpec{"ack"},        ParamSpec{"kind"},
    ParamSpec{"header", true}, ParamSpec{"event_time"}, ParamSpec{"expect_none", true},
    ParamSpec{"after"},
};

constexpr std::array kStreamParams = {
    ParamSpec{"topic"},        ParamSpec{"key"},
    ParamSpec{"key_from"},     ParamSpec{"id_from"},
    ParamSpec{"header", true}, ParamSpec{"on_error"},
    ParamSpec{"acks"},         ParamSpec{"ack"},
    ParamSpec{"envelope"},     ParamSpec{"session"},
    ParamSpec{"session_line"}, ParamSpec{"session_after"},
    ParamSpec{"atomic"},       ParamSpec{"expect_none", true},
    ParamSpec{"after"},
};

Status check_ack(const Params& params) {
    const auto ack = params.text("ack");
    if (!ack || *ack == "local") return {};
    if (*ack == "bucket") {
        return Error{Code::no_bucket, "this daemon has no bucket, so nothing can be durable in it",
                     "ack=local"};
    }
    return bad_value("ack", *ack, "local or bucket");
}

Result<std::string> parse_headers(const Params& params) {
    const std::vector<std::string> texts = params.all("header");
    std::vector<Header> headers;
    for (const std::string& text : texts) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos) return bad_value("header", text, "NAME=VALUE");
        const std::string_view view(text);
        headers.push_back({view.substr(0, equals), view.substr(equals + 1)});
    }
    return json::checked_headers(headers);
}

Status check_topic_given(const Params& params) {
    if (params.has("topic")) return {};
    return Error{Code::bad_topic, "there is no topic", "topic=orders/123/created"};
}

// A number, a time offset's "+" that arrived as a space: say how to write it.
Result<Time> parse_event_time(std::string_view text) {
    Result<Time> time = json::parse_time(text);
    if (!time && text.find(' ') != std::string_view::npos) {
        time.error().hint = "'+' is a space in a query: write %2B";
    }
    return time;
}

// expect_none and after: what must not be there for the write to succeed.
Result<std::optional<FilterGuard>> parse_guard(const Params& params) {
    KLOG_TRY_ASSIGN(const auto after, params.number("after"));
    if (!params.has("expect_none")) {
        if (!after) return std::optional<FilterGuard>();
        return Error{Code::bad_option, "'after' stands without 'expect_none'",
                     "expect_none=FILTER says what must not be there behind it"};
    }
    FilterGuard guard;
    guard.none = params.all("expect_none");
    guard.after = Seq{after.value_or(0)};
    if (guard.none.size() > Limits::kGuardFiltersMax) {
        return Error{Code::bad_option,
                     fmt::format("'expect_none' stands {} times, at most {} are allowed",
                                 guard.none.size(), Limits::kGuardFiltersMax),
                     "a wider filter may do the work of several"};
    }
    if (Status status = json::check_guard(guard); !status) {
        return explain_filter(std::move(status).error(), guard.none);
    }
    return std::optional<FilterGuard>(std::move(guard));
}

// What an atomic batch does not take, and what only it takes.
Status check_atomic(const Params& params, const StreamOptions& options) {
    if (!options.atomic) {
        if (!options.guard) return {};
        return Error{Code::bad_option, "'expect_none' is for one record or an atomic batch",
                     "in a stream each envelope carries its own guard as 'expect'"};
    }
    for (const std::string_view name :
         {"on_error", "acks", "session", "session_line", "session_after"}) {
        if (params.has(name)) {
            return Error{Code::bad_option,
                         fmt::format("'{}' and 'atomic' exclude each other", name),
                         "an atomic batch is written whole or not at all, and answered once"};
        }
    }
    return {};
}

// 32 hexadecimal digits, not all zero.
std::optional<SessionId> parse_session(std::string_view text) {
    SessionId session;
    if (text.size() != session.bytes.size() * 2) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        int digit = -1;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
        if (digit < 0) return std::nullopt;
        std::uint8_t& byte = session.bytes[i / 2];
        byte = static_cast<std::uint8_t>(byte * 16 + digit);
    }
    if (session.empty()) return std::nullopt;
    return session;
}

Status take_session(const Params& params, StreamOptions& options) {
    const auto session = params.text("session");
    if (!session) {
        for (const std::string_view name : {"session_line", "session_after"}) {
            if (params.has(name)) {
                return Error{
                    Code::bad_option, fmt::format("'{}' stands without 'session'", name), {}};
            }
        }
        return {};
    }
    const auto id = parse_session(*session);
    if (!id) return bad_value("session", *session, "32 hexadecimal digits, not all zero");
    options.session = *id;
    KLOG_TRY_ASSIGN(const auto line, params.number("session_line"));
    KLOG_TRY_ASSIGN(const auto after, params.number("session_after"));
    constexpr std::uint64_t kLineMax = std::numeric_limits<std::uint64_t>::max() / 2;
    options.session_line = line.value_or(1);
    if (options.session_line == 0 || options.session_line > kLineMax) {
        return bad_value("session_line", *params.text("session_line"), "a line from 1");
    }
    options.session_after = Seq{after.value_or(0)};
    return {};
}

// One of two words; the first one where it is missing.
Result<bool> second_word(const Params& params, std::string_view name, std::string_view first,
                         std::string_view second) {
    const auto value = params.text(name);
    if (!value || *value == first) return false;
    if (*value == second) return true;
    return bad_value(name, *value, fmt::format("{} or {}", first, second));
}

}  // namespace

Result<TopicTemplate> TopicTemplate::parse(std::string_view text) {
    TopicTemplate made;
    made.text_ = text;
    std::size_t done = 0;
    for (;;) {
        const std::size_t open = text.find('{', done);
        if (open == std::string_view::npos) break;
        const std::size_t close = text.find('}', open);
        const bool level = (open == 0 || text[open - 1] == '/') &&
                           close != std::string_view::npos &&
                           (close + 1 == text.size() || text[close + 1] == '/');
        if (!level) {
            return Error{Code::bad_topic,
                         fmt::format("'{{' begins no whole level here (column {})", open + 1),
                         "a level is filled from the value as in orders/{/id}/created"};
        }
        KLOG_TRY_ASSIGN(auto pointer, json::parse_pointer(text.substr(open + 1, close - open - 1)));
        made.levels_.push_back({std::string(text.substr(done, open - done)), std::move(pointer)});
        done = close + 1;
    }
    made.rest_ = text.substr(done);
    return made;
}

Result<std::string> TopicTemplate::fill(std::string_view value) const {
    std::string topic;
    for (const Level& level : levels_) {
        KLOG_TRY_ASSIGN(const std::string text, json::text_at(value, level.pointer));
        if (text.find('/') != std::string::npos) {
            return Error{Code::bad_record,
                         fmt::format("'{}' holds a slash and cannot be one level of a topic",
                                     text.substr(0, 100)),
                         {}};
        }
        topic += level.before;
        topic += text;
    }
    topic += rest_;
    return topic;
}

Result<SingleOptions> parse_single_options(const http::Request& request) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kSingleParams));
    KLOG_TRY(check_topic_given(params));
    KLOG_TRY(check_ack(params));
    SingleOptions options;
    options.topic = *params.text("topic");
    if (const auto key = params.text("key")) options.key = std::string(*key);
    if (const auto id = params.text("id")) {
        if (id->empty() || id->size() > Limits::kIdBytesMax) {
            return bad_value("id", *id, fmt::format("1 to {} bytes", Limits::kIdBytesMax));
        }
        options.id = *id;
    }
    KLOG_TRY_ASSIGN(options.headers, parse_headers(params));
    if (const auto kind = params.text("kind")) {
        if (*kind != "plain" && *kind != "tombstone") {
            return bad_value("kind", *kind, "plain or tombstone");
        }
        if (*kind == "tombstone") options.kind = Kind::tombstone;
    }
    if (const auto time = params.text("event_time")) {
        KLOG_TRY_ASSIGN(options.event_time, parse_event_time(*time));
    }
    if (const auto expect = params.text("expect")) {
        KLOG_TRY_ASSIGN(options.expect, json::parse_expect(*expect));
    }
    KLOG_TRY_ASSIGN(options.guard, parse_guard(params));
    return options;
}

Result<StreamOptions> parse_stream_options(const http::Request& request) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kStreamParams));
    KLOG_TRY(check_ack(params));
    StreamOptions options;
    KLOG_TRY_ASSIGN(options.envelope, params.flag("envelope"));
    KLOG_TRY_ASSIGN(options.atomic, params.flag("atomic"));
    KLOG_TRY_ASSIGN(options.guard, parse_guard(params));
    KLOG_TRY(check_atomic(params, options));
    if (options.envelope) {
        for (const std::string_view name : {"topic", "key", "key_from", "id_from", "header"}) {
            if (params.has(name)) {
                return Error{Code::bad_option,
                             fmt::format("'{}' and 'envelope' exclude each other", name),
                             "an envelope carries its own topic, key, id and headers"};
            }
        }
    } else {
        KLOG_TRY(check_topic_given(params));
        KLOG_TRY_ASSIGN(options.topic, TopicTemplate::parse(*params.text("topic")));
    }
    if (const auto key = params.text("key")) options.key = std::string(*key);
    if (const auto pointer = params.text("key_from")) {
        if (options.key) {
            return Error{Code::bad_option, "'key' and 'key_from' exclude each other", {}};
        }
        KLOG_TRY_ASSIGN(options.key_from, json::parse_pointer(*pointer));
    }
    if (const auto pointer = params.text("id_from")) {
        KLOG_TRY_ASSIGN(options.id_from, json::parse_pointer(*pointer));
    }
    KLOG_TRY_ASSIGN(options.headers, parse_headers(params));
    KLOG_TRY_ASSIGN(options.skip_errors, second_word(params, "on_error", "stop", "skip"));
    KLOG_TRY_ASSIGN(options.summary, second_word(params, "acks", "stream", "summary"));
    KLOG_TRY(take_session(params, options));
    return options;
}

}  // namespace klog::api
