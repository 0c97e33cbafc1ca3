#include "daemon/api/read_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/json/record_json.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

constexpr std::array kReadParams = {
    ParamSpec{"filter", true}, ParamSpec{"not", true},      ParamSpec{"from"},
    ParamSpec{"after"},        ParamSpec{"last"},           ParamSpec{"until"},
    ParamSpec{"limit"},        ParamSpec{"follow"},         ParamSpec{"key"},
    ParamSpec{"marks"},        ParamSpec{"newest_per_key"},
};

// RFC 3339, or a duration before now.
Result<Time> parse_moment(std::string_view name, std::string_view text, std::string_view wanted,
                          Time now) {
    if (const auto ago = json::parse_duration(text)) return Time{now.micros - *ago};
    if (const auto time = json::parse_time(text)) return *time;
    Error error = bad_value(name, text, wanted);
    if (text.find(' ') != std::string_view::npos) {
        error.hint = "'+' is a space in a query: write %2B";
    }
    return error;
}

Status take_start(const Params& params, const http::Request& request, Time now,
                  ReadOptions& options) {
    int given = 0;
    for (const std::string_view name : {"from", "after", "last"}) given += params.has(name) ? 1 : 0;
    if (given > 1) {
        return Error{Code::bad_option, "'from', 'after' and 'last' exclude each other", {}};
    }
    // First the newest of what is there: that is what it is asked for.
    if (options.follow && !options.newest_per_key) options.from.form = ReadFrom::Form::end;
    if (const auto from = params.text("from")) {
        KLOG_TRY_ASSIGN(options.from, parse_from("from", *from, now));
    }
    KLOG_TRY_ASSIGN(auto after, params.number("after"));
    // A browser that reconnects says how far it came; that counts before the URL.
    if (const auto seen = request.header("last-event-id"); seen && !seen->empty()) {
        after = parse_number(*seen);
        if (!after) return bad_value("Last-Event-ID", *seen, "a seq");
    }
    if (after) {
        options.from = ReadFrom{};
        options.from.form = ReadFrom::Form::after;
        options.from.seq = Seq{*after};
        return {};
    }
    KLOG_TRY_ASSIGN(const auto last, params.number("last"));
    if (last) {
        options.from.form = *last == 0 ? ReadFrom::Form::end : ReadFrom::Form::last;
        options.from.count = *last;
    }
    return {};
}

bool accepts(const http::Request& request, std::string_view type) {
    return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
        return header.first == "accept" && header.second.find(type) != std::string::npos;
    });
}

// A seq behind which nothing is wanted, or a moment. An `after` further on is no mistake: that much
// was seen already.
Status check_order(const Params& params, const ReadOptions& options) {
    using Form = ReadFrom::Form;
    const bool seqs = options.from.form == Form::from && options.until_seq;
    const bool times = options.from.form == Form::time && options.until_time;
    const bool wrong = (seqs && options.from.seq > *options.until_seq) ||
                       (times && options.from.time > *options.until_time);
    if (!wrong) return {};
    return Error{Code::bad_option,
                 fmt::format("'from' ({}) lies after 'until' ({})", *params.text("from"),
                             *params.text("until")),
                 "both are part of what is read: from the earlier one until the later one"};
}

}  // namespace

Result<ReadFrom> parse_from(std::string_view name, std::string_view text, Time now) {
    ReadFrom from;
    if (text == "start") return from;
    if (text == "end") {
        from.form = ReadFrom::Form::end;
        return from;
    }
    if (const auto seq = parse_number(text)) {
        from.form = ReadFrom::Form::from;
        from.seq = Seq{*seq};
        return from;
    }
    from.form = ReadFrom::Form::time;
    KLOG_TRY_ASSIGN(from.time,
                    parse_moment(name, text, "start, end, a seq, a time or a duration", now));
    return from;
}

Result<Until> parse_until(const Params& params, Time now) {
    Until until;
    const auto text = params.text("until");
    if (!text) return until;
    if (const auto seq = parse_number(*text)) {
        until.seq = Seq{*seq};
        return until;
    }
    KLOG_TRY_ASSIGN(until.time, parse_moment("until", *text, "a seq, a time or a duration", now));
    return until;
}

Error explain_filter(Error error, const std::vector<std::string>& filters) {
    if (error.code != Code::bad_filter || !error.hint.empty()) return error;
    for (const std::string& filter : filters) {
        if (filter.find(' ') != std::string::npos) {
            error.hint = "'+' is a space in a query: write %2B";
        }
    }
    return error;
}

std::optional<ReadRequest::Form> parse_form(const http::Request& request) {
    const bool events = accepts(request, kEventStream);
    const bool frames = accepts(request, kBatchMediaType);
    if (events && frames) return std::nullopt;
    if (frames) return ReadRequest::Form::frames;
    return events ? ReadRequest::Form::events : ReadRequest::Form::lines;
}

Result<ReadRequest> parse_read_request(const http::Request& request, Time now) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kReadParams));
    ReadRequest read;
    if (params.has("filter")) read.options.filters = params.all("filter");
    read.options.not_filters = params.all("not");
    KLOG_TRY_ASSIGN(read.options.follow, params.flag("follow"));
    KLOG_TRY_ASSIGN(read.marks, params.flag("marks"));
    KLOG_TRY_ASSIGN(read.options.newest_per_key, params.flag("newest_per_key"));
    KLOG_TRY(take_start(params, request, now, read.options));
    KLOG_TRY_ASSIGN(const Until until, parse_until(params, now));
    read.options.until_seq = until.seq;
    read.options.until_time = until.time;
    KLOG_TRY(check_order(params, read.options));
    KLOG_TRY_ASSIGN(const auto limit, params.number("limit"));
    if (limit) {
        if (*limit == 0) return bad_value("limit", "0", "a number from 1");
        read.limit = *limit;
    }
    if (const auto key = params.text("key")) read.options.key = std::string(*key);
    return read;
}

}  // namespace klog::api
