// The parameters of reads, checked.
#ifndef KLOG_DAEMON_API_READ_OPTIONS_H
#define KLOG_DAEMON_API_READ_OPTIONS_H

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "daemon/api/params.h"
#include "daemon/api/read_observer.h"
#include "daemon/http/exchange.h"
#include "klog/log.h"
#include "klog/result.h"

namespace klog::api {

struct ReadRequest {
    ReadOptions options;
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    bool marks = false;
    enum class Form : std::uint8_t { lines, events, frames };
    Form form = Form::lines;   // NDJSON, server-sent events, the frames of schemas/batch.md
    bool read_to_head = true;  // Klog-Read-To in the head of a read that does not follow
    std::optional<HistoryOptions> history;   // read in place of `options`
    std::shared_ptr<ReadObserver> observer;  // may be null
};

// A seq, a time, or a duration before now, as `until` takes it.
struct Until {
    std::optional<Seq> seq;
    std::optional<Time> time;
};
// Neither where the parameter is missing. Errors: bad_option.
[[nodiscard]] Result<Until> parse_until(const Params& params, Time now);

// "start", "end", a seq, a time or a duration before now. Errors: bad_option, naming `name`.
[[nodiscard]] Result<ReadFrom> parse_from(std::string_view name, std::string_view text, Time now);

// The hint of a filter that holds a space, which was a "+" in the query. Otherwise the error as it
// is.
[[nodiscard]] Error explain_filter(Error error, const std::vector<std::string>& filters);

// The form that a read's Accept headers ask for; NDJSON where they name none of the others.
// nullopt: two at once, which no single answer can be.
[[nodiscard]] std::optional<ReadRequest::Form> parse_form(const http::Request& request);

// The form is left to parse_form. now: what AGO counts from. Errors: unknown_parameter, bad_option;
// filters are left to Log::read.
[[nodiscard]] Result<ReadRequest> parse_read_request(const http::Request& request, Time now);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_READ_OPTIONS_H
