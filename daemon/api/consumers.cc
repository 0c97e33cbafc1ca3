// Consumers: made, found, listed, acknowledged, reset.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "daemon/api/context.h"
#include "daemon/api/listings.h"
#include "daemon/api/params.h"
#include "daemon/api/read_options.h"
#include "daemon/api/small_body.h"
#include "daemon/json/body_object.h"
#include "daemon/json/record_json.h"
#include "klog/consumer.h"

namespace klog::api {
namespace {

// A count may look at much of the log: few of them together on one thread.
constexpr std::size_t kCountedPageRows = 16;

constexpr std::array kGetParams = {ParamSpec{"lag"}};
constexpr std::array kListParams = {ParamSpec{"lag"}, ParamSpec{"limit"}, ParamSpec{"after"}};
constexpr std::array<std::string_view, 3> kPutMembers = {"filter", "not", "from"};
constexpr std::array<std::string_view, 3> kAckMembers = {"seq", "result", "lease"};
constexpr std::array<std::string_view, 1> kResetMembers = {"position"};

const std::string& name_of(const ExchangePtr& exchange) { return exchange->request().segments[2]; }

void append_strings(std::string& out, const std::vector<std::string>& texts) {
    out.push_back('[');
    for (const std::string& text : texts) {
        if (out.back() != '[') out.push_back(',');
        json::append_quoted(out, text);
    }
    out.push_back(']');
}

// One line, with its line feed.
std::string line_of(const ConsumerInfo& info, bool reader, std::optional<std::uint64_t> lag) {
    std::string out = "{\"name\":";
    json::append_quoted(out, info.name);
    out += ",\"filter\":";
    append_strings(out, info.filters);
    if (!info.not_filters.empty()) {
        out += ",\"not\":";
        append_strings(out, info.not_filters);
    }
    out += ",\"position\":" + std::to_string(info.position.value);
    if (lag) out += ",\"lag\":" + std::to_string(*lag);
    if (info.lease != 0) out += ",\"lease\":" + std::to_string(info.lease);
    out += reader ? ",\"reader\":true" : ",\"reader\":false";
    out += ",\"created\":\"";
    json::append_time(out, info.created);
    out += "\",\"last_active\":\"";
    json::append_time(out, info.last_active);
    out.push_back('"');
    if (!info.result.empty()) out += ",\"result\":" + info.result;
    out += "}\n";
    return out;
}

CountOptions lag_of(const ConsumerInfo& info) {
    CountOptions count;
    count.filters = info.filters;
    count.not_filters = info.not_filters;
    count.after = info.position;
    return count;
}

// One consumer, with a count that goes step by step.
class ConsumerAnswer : public std::enable_shared_from_this<ConsumerAnswer> {
public:
    ConsumerAnswer(const Context& context, ExchangePtr exchange, ConsumerInfo info)
        : context_(context), exchange_(std::move(exchange)), info_(std::move(info)) {}

    void start() {
        auto counter = context_.log.counter(lag_of(info_));
        if (!counter) return answer_error(exchange_, counter.error());
        counter_ = std::move(*counter);
        step();
    }

private:
    void step() {
        if (exchange_->closed()) return;
        exchange_->run_blocking(
            [self = shared_from_this()] { self->final_ = self->counter_->step(); },
            [self = shared_from_this()] { self->stepped(); });
    }

    void stepped() {
        if (!final_) return answer_error(exchange_, final_.error());
        if (!*final_) return step();
        answer_json(exchange_, 200,
                    line_of(info_, context_.readers->reading(info_.name), counter_->records()));
    }

    const Context& context_;
    ExchangePtr exchange_;
    ConsumerInfo info_;
    std::unique_ptr<Counter> counter_;
    Result<bool> final_ = false;
};

// Counts for one listing. What many builds left behind has few filters and positions, each of which
// is counted once.
class Lags {
public:
    explicit Lags(Log& log) : log_(log), head_(log.head()) {}

    Result<std::uint64_t> of(const ConsumerInfo& info) {
        if (info.position >= head_) return 0;
        std::string key = std::to_string(info.position.value);
        for (const std::string& filter : info.filters) key.append(" ").append(filter);
        for (const std::string& filter : info.not_filters) key.append(" !").append(filter);
        if (const auto known = known_.find(key); known != known_.end()) return known->second;
        CountOptions options = lag_of(info);
        options.until_seq = head_;
        KLOG_TRY_ASSIGN(const std::uint64_t lag, log_.count(options));
        if (known_.size() < kKnownMax) known_.emplace(std::move(key), lag);
        return lag;
    }

private:
    static constexpr std::size_t kKnownMax = 4096;

    Log& log_;
    const Seq head_;  // all of them count up to here
    std::unordered_map<std::string, std::uint64_t> known_;
};

Result<Lines> consumers_page(const Context& context, Lags* lags, const std::string& after,
                             std::size_t limit) {
    const Page<ConsumerInfo> page = context.log.consumers().page(after, limit);
    Lines lines;
    lines.more = page.more;
    lines.rows = page.rows.size();
    if (!page.rows.empty()) lines.last = page.rows.back().name;
    for (const ConsumerInfo& row : page.rows) {
        std::optional<std::uint64_t> behind;
        if (lags != nullptr) {
            KLOG_TRY_ASSIGN(behind, lags->of(row));
        }
        lines.text += line_of(row, context.readers->reading(row.name), behind);
    }
    return lines;
}

Status start_consumers(const Context& context, const ExchangePtr& exchange) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(exchange->request(), kListParams));
    KLOG_TRY_ASSIGN(const bool lag, params.flag("lag"));
    const auto lags = lag ? std::make_shared<Lags>(context.log) : nullptr;
    return start_listing(
        exchange, params,
        [&context, lags](const std::string& after, std::size_t limit) {
            return consumers_page(context, lags.get(), after, limit);
        },
        lag ? kCountedPageRows : kPageRows);
}

// Where a consumer that is to be made begins: behind the seq that a reader would begin behind.
Result<Seq> start_of(Log& log, const ConsumerOptions& options, const ReadFrom& from) {
    if (from.form == ReadFrom::Form::end) return log.head();
    ReadOptions read;
    read.filters = options.filters;
    read.not_filters = options.not_filters;
    read.from = from;
    KLOG_TRY_ASSIGN(const std::unique_ptr<Reader> reader, log.read(read));
    return reader->begin_after();
}

struct PutRequest {
    ConsumerOptions options;
    ReadFrom from;
};

Result<PutRequest> parse_put(const std::string& body, Time now) {
    KLOG_TRY_ASSIGN(const json::BodyObject members, json::BodyObject::parse(body, kPutMembers));
    PutRequest put;
    KLOG_TRY_ASSIGN(put.options.filters, members.texts("filter"));
    KLOG_TRY_ASSIGN(put.options.not_filters, members.texts("not"));
    if (put.options.filters.empty()) put.options.filters.emplace_back(">");
    KLOG_TRY_ASSIGN(const auto from, members.text("from"));
    put.from.form = ReadFrom::Form::end;
    if (from) {
        KLOG_TRY_ASSIGN(put.from, parse_from("from", *from, now));
    }
    return put;
}

Result<Consumers::Put> make_consumer(Log& log, const std::string& name, PutRequest put) {
    Consumers& consumers = log.consumers();
    // Where it is there, nobody looks for a start.
    if (!consumers.find(name)) {
        KLOG_TRY(check_consumer_name(name));
        KLOG_TRY_ASSIGN(put.options.start_after, start_of(log, put.options, put.from));
    }
    return consumers.put(name, put.options);
}

// Runs what waits for the disk, then answers its error, or what `then` makes of it.
template <class T>
void answer_after(const ExchangePtr& exchange, std::function<Result<T>()> work,
                  std::function<void(const T&)> then) {
    auto done = std::make_shared<std::optional<Result<T>>>();
    exchange->outcome_is_open();
    exchange->run_blocking([work = std::move(work), done] { done->emplace(work()); },
                           [exchange, done, then = std::move(then)] {
                               if (!**done) return answer_error(exchange, (*done)->error());
                               then(***done);
                           });
}

void put_consumer(const Context& context, const ExchangePtr& exchange, const std::string& body) {
    Result<PutRequest> put = parse_put(body, context.options.now());
    if (!put) return answer_error(exchange, put.error());
    answer_after<Consumers::Put>(
        exchange,
        [&log = context.log, name = name_of(exchange), put = std::move(*put)] {
            return make_consumer(log, name, put);
        },
        [&context, exchange](const Consumers::Put& made) {
            const bool reader = context.readers->reading(made.consumer.name);
            answer_json(exchange, made.made ? 201 : 200, line_of(made.consumer, reader, {}));
        });
}

Result<std::optional<std::uint64_t>> lease_of(const http::Request& request) {
    const auto lease = request.header("klog-lease");
    if (!lease) return std::optional<std::uint64_t>();
    const auto number = parse_number(*lease);
    if (!number) return bad_value("Klog-Lease", *lease, "the number that the read's head gave");
    return number;
}

Result<Seq> ack(const Context& context, const ExchangePtr& exchange, const std::string& body) {
    KLOG_TRY_ASSIGN(const auto lease, lease_of(exchange->request()));
    KLOG_TRY_ASSIGN(const json::BodyObject members, json::BodyObject::parse(body, kAckMembers));
    if (members.raw("lease")) {
        return Error{Code::bad_record, "'lease' is no member here, as it is in a batch",
                     "the header Klog-Lease: N"};
    }
    KLOG_TRY_ASSIGN(const auto seq, members.number("seq"));
    if (!seq) {
        return Error{Code::bad_record, "'seq' is missing: up to which record all is done",
                     R"({"seq":1042})"};
    }
    // Where a listing shows it, it stands in one line: white space of JSON is of no meaning.
    std::string result(members.raw("result").value_or(""));
    std::replace_if(
        result.begin(), result.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    return context.log.consumers().ack(name_of(exchange), Seq{*seq}, lease, result);
}

void answer_position(const ExchangePtr& exchange, Seq position) {
    answer_json(exchange, 200, "{\"position\":" + std::to_string(position.value) + "}\n");
}

Result<Seq> parse_position(Log& log, const std::string& body) {
    KLOG_TRY_ASSIGN(const json::BodyObject members, json::BodyObject::parse(body, kResetMembers));
    KLOG_TRY_ASSIGN(const auto text, members.text("position"));
    if (text == "start") return Seq{};
    if (text == "end") return log.head();
    const auto seq = parse_number(text.value_or(""));
    if (!seq) {
        return Error{Code::bad_record, "'position' is missing or wrong",
                     R"(start, end, or a seq that counts as done: {"position":1042})"};
    }
    return Seq{*seq};
}

void reset_consumer(const Context& context, const ExchangePtr& exchange, const std::string& body) {
    const Result<Seq> position = parse_position(context.log, body);
    if (!position) return answer_error(exchange, position.error());
    const Status free = context.readers->check_free(name_of(exchange));
    if (!free) return answer_error(exchange, free.error());
    answer_after<Seq>(
        exchange,
        [&log = context.log, name = name_of(exchange), position = *position]() -> Result<Seq> {
            KLOG_TRY(log.consumers().reset(name, position));
            return position;
        },
        [exchange](const Seq& seq) { answer_position(exchange, seq); });
}

// Without any parameter.
bool no_params(const ExchangePtr& exchange) {
    const auto params = Params::parse(exchange->request(), {});
    if (!params) answer_error(exchange, params.error());
    return params.ok();
}

}  // namespace

void handle_consumers(const Context& context, const ExchangePtr& exchange) {
    const Status started = start_consumers(context, exchange);
    if (!started) answer_error(exchange, started.error());
}

void handle_consumer_get(const Context& context, const ExchangePtr& exchange) {
    const Result<Params> params = Params::parse(exchange->request(), kGetParams);
    if (!params) return answer_error(exchange, params.error());
    const auto lag = params->has("lag") ? params->flag("lag") : Result<bool>(true);
    if (!lag) return answer_error(exchange, lag.error());
    Result<ConsumerInfo> info = context.log.consumers().find(name_of(exchange));
    if (!info) return answer_error(exchange, info.error());
    if (*lag) {
        return std::make_shared<ConsumerAnswer>(context, exchange, std::move(*info))->start();
    }
    answer_json(exchange, 200, line_of(*info, context.readers->reading(info->name), {}));
}

void handle_consumer_put(const Context& context, const ExchangePtr& exchange) {
    if (!no_params(exchange)) return;
    read_small_body(exchange, [&context, exchange](const std::string& body) {
        put_consumer(context, exchange, body);
    });
}

void handle_consumer_ack(const Context& context, const ExchangePtr& exchange) {
    if (!no_params(exchange)) return;
    read_small_body(exchange, [&context, exchange](const std::string& body) {
        const Result<Seq> position = ack(context, exchange, body);
        if (!position) return answer_error(exchange, position.error());
        answer_position(exchange, *position);
    });
}

void handle_consumer_reset(const Context& context, const ExchangePtr& exchange) {
    if (!no_params(exchange)) return;
    read_small_body(exchange, [&context, exchange](const std::string& body) {
        reset_consumer(context, exchange, body);
    });
}

}  // namespace klog::api
