// `klog produce`: what is asked for, one record, a stream of lines, or an atomic batch of them.
#ifndef KLOG_CLI_PRODUCE_PRODUCE_H
#define KLOG_CLI_PRODUCE_PRODUCE_H

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/request.h"
#include "klog/result.h"

namespace klog::cli {

struct ProduceOptions {
    std::vector<std::string> operands;  // as given; topic and value are made of them
    std::string topic;                  // empty with --envelope
    std::optional<std::string> value;   // "-": standard input
    std::string key;
    std::string key_from;
    std::vector<std::string> headers;  // k=v
    std::string id;
    std::string id_from;
    std::string event_time;
    std::string expect;
    std::vector<std::string> expect_none;  // filters
    std::string after;                     // the cursor behind which nothing may match them
    bool atomic = false;
    bool tombstone = false;
    bool raw = false;
    bool envelope = false;
    std::string ack;
    std::string on_error;
    bool acks = false;

    // One record, rather than one a line of standard input.
    [[nodiscard]] bool one() const { return value.has_value() || tombstone; }
    // Its parts come out of its value, which is what the daemon does for lines.
    [[nodiscard]] bool from_value() const {
        return envelope || !key_from.empty() || !id_from.empty() ||
               topic.find('{') != std::string::npos;
    }
};

// How long a producer looks for a daemon that it has lost, unless --timeout says otherwise.
inline constexpr std::chrono::milliseconds kProduceWait{60'000};
inline constexpr std::chrono::milliseconds kBackoffMin{20};
inline constexpr std::chrono::milliseconds kBackoffMax{1'000};

// Whether an answer leaves open what became of an attempt: the one that it answers, or an earlier
// one, of which a daemon that ends or takes nothing just now says nothing.
[[nodiscard]] bool leaves_open(int status, bool sent_before);

// Asks until an answer says what became of it, and for --timeout at most; only once unless it can
// be repeated without harm. status_of: the status of an answer, which may stand inside of it.
// Errors: as ask(); outcome_unknown, with `unknown` as its text and hint.
[[nodiscard]] Result<Answer> ask_until_settled(const Context& context,
                                               const http::ClientRequest& request, bool repeatable,
                                               const std::function<int(const Answer&)>& status_of,
                                               const Error& unknown);
// All of standard input. Errors: io; what `too_long` says past kInputBytesMax.
[[nodiscard]] Result<std::string> read_input(const Error& too_long);

// Standard input as one record, or one line of it: a value of 64 MiB in base64 and what is
// around it.
inline constexpr std::size_t kInputBytesMax = 96U << 20U;

// The parts of a query that are the same for one record and for lines.
[[nodiscard]] Target record_target(const ProduceOptions& options);

// Writes one record and prints its ack. Gives the exit code. Errors: outcome_unknown where the
// connection broke after sending and no id lets us ask again.
[[nodiscard]] Result<int> produce_one(const Context& context, const ProduceOptions& options);

// All of standard input, a record a line, in one request: all of them are written or none.
[[nodiscard]] Result<int> produce_atomic(const Context& context, const ProduceOptions& options);

// One record a line of standard input.
[[nodiscard]] Result<int> produce_lines(const Context& context, const ProduceOptions& options);

}  // namespace klog::cli

#endif  // KLOG_CLI_PRODUCE_PRODUCE_H
