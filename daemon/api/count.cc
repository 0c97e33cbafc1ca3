// How many records match.
#include <array>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/api/read_options.h"

namespace klog::api {
namespace {

constexpr std::array kCountParams = {ParamSpec{"filter", true}, ParamSpec{"not", true},
                                     ParamSpec{"after"}, ParamSpec{"until"}, ParamSpec{"key"}};

Result<CountOptions> parse_count(const http::Request& request, Time now) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kCountParams));
    CountOptions options;
    if (params.has("filter")) options.filters = params.all("filter");
    options.not_filters = params.all("not");
    if (const auto key = params.text("key")) options.key = std::string(*key);
    KLOG_TRY_ASSIGN(const auto after, params.number("after"));
    options.after = Seq{after.value_or(0)};
    KLOG_TRY_ASSIGN(const Until until, parse_until(params, now));
    options.until_seq = until.seq;
    options.until_time = until.time;
    return options;
}

// A count of a long log takes seconds: it goes step by step, so that neither an io thread nor one
// of the few that may block belongs to it for longer than a step.
class CountAnswer : public std::enable_shared_from_this<CountAnswer> {
public:
    CountAnswer(const Context& context, ExchangePtr exchange, CountOptions options)
        : context_(context), exchange_(std::move(exchange)), options_(std::move(options)) {}

    void start() {
        if (!options_.until_time) {
            begin();
            return begun();
        }
        // Searching for a time may read the disk.
        exchange_->run_blocking([self = shared_from_this()] { self->begin(); },
                                [self = shared_from_this()] { self->begun(); });
    }

private:
    void begin() {
        Result<std::unique_ptr<Counter>> counter = context_.log.counter(options_);
        if (counter) {
            counter_ = std::move(*counter);
        } else {
            error_ = explain_filter(std::move(counter).error(), options_.filters);
        }
    }

    void begun() {
        if (error_) return answer_error(exchange_, *error_);
        // What is in memory is a step or two; the rest goes where the disk may be waited for.
        if (counter_->ready_in_memory()) look();
        go_on();
    }

    void look() {
        const Result<bool> final = counter_->step();
        if (!final) {
            error_ = final.error();
        } else {
            final_ = *final;
        }
    }

    void go_on() {
        if (exchange_->closed()) return;
        if (error_) return answer_error(exchange_, *error_);
        if (final_) {
            return answer_json(exchange_, 200,
                               "{\"count\":" + std::to_string(counter_->records()) + "}\n");
        }
        exchange_->run_blocking([self = shared_from_this()] { self->look(); },
                                [self = shared_from_this()] { self->go_on(); });
    }

    const Context& context_;
    ExchangePtr exchange_;
    CountOptions options_;
    std::unique_ptr<Counter> counter_;
    std::optional<Error> error_;
    bool final_ = false;
};

}  // namespace

void handle_count(const Context& context, const ExchangePtr& exchange) {
    Result<CountOptions> options = parse_count(exchange->request(), context.options.now());
    if (!options) return answer_error(exchange, options.error());
    std::make_shared<CountAnswer>(context, exchange, *std::move(options))->start();
}

}  // namespace klog::api
