// Consumers that go: one by its name, or all that were idle for long.
#include <array>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/json/record_json.h"
#include "klog/consumer.h"

namespace klog::api {
namespace {

constexpr std::size_t kRowsPerStep = 1000;
constexpr std::array kIdleParams = {ParamSpec{"idle"}};

void answer_removed(const ExchangePtr& exchange, std::uint64_t removed) {
    answer_json(exchange, 200, "{\"removed\":" + std::to_string(removed) + "}\n");
}

void stop_reader(const Context& context, const std::string& name) {
    context.readers->stop(name, Error{Code::fenced, "the consumer \"" + name + "\" was removed",
                                      "klog tail --as NAME makes it anew"});
}

// A page at a time: a hundred thousand are normal.
class IdleRemoval : public std::enable_shared_from_this<IdleRemoval> {
public:
    IdleRemoval(const Context& context, ExchangePtr exchange, Time before)
        : context_(context), exchange_(std::move(exchange)), before_(before) {}

    void step() {
        if (exchange_->closed()) return;
        exchange_->run_blocking([self = shared_from_this()] { self->done_ = self->remove_some(); },
                                [self = shared_from_this()] { self->stepped(); });
    }

private:
    Status remove_some() {
        const Page<ConsumerInfo> page = context_.log.consumers().page(after_, kRowsPerStep);
        more_ = page.more;
        if (!page.rows.empty()) after_ = page.rows.back().name;
        std::vector<std::string> names;
        for (const ConsumerInfo& row : page.rows) {
            if (row.last_active < before_ && !context_.readers->reading(row.name)) {
                names.push_back(row.name);
            }
        }
        KLOG_TRY_ASSIGN(const std::uint64_t removed,
                        context_.log.consumers().remove_idle(names, before_));
        removed_ += removed;
        return {};
    }

    void stepped() {
        if (!done_) return answer_error(exchange_, done_.error());
        if (more_) return step();
        answer_removed(exchange_, removed_);
    }

    const Context& context_;
    ExchangePtr exchange_;
    const Time before_;
    std::string after_;
    bool more_ = false;
    std::uint64_t removed_ = 0;
    Status done_;
};

Result<Time> parse_idle(const http::Request& request, Time now) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kIdleParams));
    const auto text = params.text("idle");
    if (!text) {
        return Error{Code::bad_option,
                     "'idle' is missing: for how long nobody read or acknowledged",
                     "DELETE /v1/consumers?idle=30d"};
    }
    const auto idle = json::parse_duration(*text);
    if (!idle) return bad_value("idle", *text, "a duration such as 30d");
    return Time{now.micros - *idle};
}

}  // namespace

void handle_consumer_delete(const Context& context, const ExchangePtr& exchange) {
    const auto params = Params::parse(exchange->request(), {});
    if (!params) return answer_error(exchange, params.error());
    auto done = std::make_shared<Status>();
    exchange->outcome_is_open();
    exchange->run_blocking(
        [&context, exchange, done] {
            *done = context.log.consumers().remove(exchange->request().segments[2]);
        },
        [&context, exchange, done] {
            if (!*done) return answer_error(exchange, done->error());
            stop_reader(context, exchange->request().segments[2]);
            answer_removed(exchange, 1);
        });
}

void handle_consumers_delete(const Context& context, const ExchangePtr& exchange) {
    const Result<Time> before = parse_idle(exchange->request(), context.options.now());
    if (!before) return answer_error(exchange, before.error());
    exchange->outcome_is_open();
    std::make_shared<IdleRemoval>(context, exchange, *before)->step();
}

}  // namespace klog::api
