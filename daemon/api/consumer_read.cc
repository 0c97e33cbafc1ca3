// GET /v1/consumers/{name}/records: a read from the position on, under a lease of its own.
#include <fmt/core.h>

#include <array>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/api/read_stream.h"
#include "klog/consumer.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

constexpr std::array kParams = {ParamSpec{"follow"}, ParamSpec{"limit"}, ParamSpec{"marks"},
                                ParamSpec{"after"},  ParamSpec{"until"}, ParamSpec{"take_over"}};

// Holds the consumer's place for as long as the answer goes on, and moves its position past what
// does not match.
class ConsumerReading final : public ReadObserver {
public:
    ConsumerReading(const Context& context, ConsumerReaders::PlacePtr place)
        : context_(context), place_(std::move(place)) {}
    ConsumerReading(const ConsumerReading&) = delete;
    ConsumerReading& operator=(const ConsumerReading&) = delete;
    ~ConsumerReading() override { context_.readers->end(place_); }

    void leased(std::uint64_t lease) {
        lease_ = lease;
        context_.readers->leased(place_, lease);
    }
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const override {
        return {{"Klog-Lease", std::to_string(lease_)}};
    }
    void begun(std::function<void(Error)> stop) override {
        stop_ = stop;
        context_.readers->begun(place_, std::move(stop));
    }
    void looked(Seq sent, Seq read_to) override {
        const Status passed = context_.log.consumers().pass(place_->name, lease_, sent, read_to);
        if (passed || stop_ == nullptr) return;
        Error error = passed.error();
        if (error.code == Code::stale_lease) error.code = Code::fenced;
        stop_(std::move(error));
        stop_ = nullptr;
    }
    void ended() override {
        stop_ = nullptr;
        // Somebody was here until now, so it was not idle.
        static_cast<void>(context_.log.consumers().ack(place_->name, Seq{}, lease_, ""));
        context_.readers->end(place_);
    }

private:
    const Context& context_;
    const ConsumerReaders::PlacePtr place_;
    std::uint64_t lease_ = 0;
    std::function<void(Error)> stop_;
};

struct ConsumerRead {
    ReadRequest request;
    bool take_over = false;
    std::uint64_t known_lease = 0;
    Seq after;
};

Result<ConsumerRead> parse_read(const http::Request& request, Time now) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kParams));
    ConsumerRead read;
    KLOG_TRY_ASSIGN(read.request.options.follow, params.flag("follow"));
    KLOG_TRY_ASSIGN(read.request.marks, params.flag("marks"));
    KLOG_TRY_ASSIGN(read.take_over, params.flag("take_over"));
    KLOG_TRY_ASSIGN(auto after, params.number("after"));
    if (const auto seen = request.header("last-event-id"); seen && !seen->empty()) {
        after = parse_number(*seen);
        if (!after) return bad_value("Last-Event-ID", *seen, "a seq");
    }
    read.after = Seq{after.value_or(0)};
    KLOG_TRY_ASSIGN(const Until until, parse_until(params, now));
    read.request.options.until_seq = until.seq;
    read.request.options.until_time = until.time;
    KLOG_TRY_ASSIGN(const auto limit, params.number("limit"));
    if (limit && *limit == 0) return bad_value("limit", "0", "a number from 1");
    if (limit) read.request.limit = *limit;
    if (const auto lease = request.header("klog-lease")) {
        const auto number = parse_number(*lease);
        if (!number) return bad_value("Klog-Lease", *lease, "the number that an earlier read gave");
        read.known_lease = *number;
    }
    const auto form = parse_form(request);
    if (!form) {
        return Error{Code::bad_option, "the answer cannot be frames and server-sent events at once",
                     fmt::format("Accept: {} or {}, not both", kBatchMediaType, kEventStream)};
    }
    read.request.form = *form;
    return read;
}

void begin_read(const Context& context, const ExchangePtr& exchange, ConsumerRead read,
                const Result<ConsumerInfo>& info, const std::shared_ptr<ConsumerReading>& reading) {
    if (!info) return answer_error(exchange, info.error());
    reading->leased(info->lease);
    ReadOptions& options = read.request.options;
    options.filters = info->filters;
    options.not_filters = info->not_filters;
    options.from.form = ReadFrom::Form::after;
    options.from.seq = std::max(info->position, read.after);
    read.request.observer = reading;
    stream_records(context, exchange, std::move(read.request));
}

}  // namespace

void handle_consumer_read(const Context& context, const ExchangePtr& exchange) {
    const http::Request& request = exchange->request();
    Result<ConsumerRead> read = parse_read(request, context.options.now());
    if (!read) return answer_error(exchange, read.error());
    const std::string& name = request.segments[2];
    const Result<ConsumerInfo> known = context.log.consumers().find(name);
    if (!known) return answer_error(exchange, known.error());
    if (request.method == "HEAD") {  // asks what an answer would be, and must fence nobody
        http::Response response;
        response.content_type = kNdjson;
        return exchange->respond(std::move(response));
    }
    ConsumerReaders::Claim claim;
    claim.name = name;
    claim.follow = read->request.options.follow;
    claim.take_over = read->take_over;
    claim.known_lease = read->known_lease;
    claim.who = exchange->peer();
    claim.now = context.options.now();
    const auto place = context.readers->claim(claim);
    if (!place) return answer_error(exchange, place.error());
    const auto reading = std::make_shared<ConsumerReading>(context, *place);
    auto info = std::make_shared<std::optional<Result<ConsumerInfo>>>();
    exchange->run_blocking(
        [&context, name, info] { info->emplace(context.log.consumers().lease(name)); },
        [&context, exchange, info, reading, read = std::move(*read)] {
            begin_read(context, exchange, read, **info, reading);
        });
}

}  // namespace klog::api
