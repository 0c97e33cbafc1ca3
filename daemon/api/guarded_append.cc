#include "daemon/api/guarded_append.h"

#include <utility>

namespace klog::api {

void look_at_guards(const Context& context, const ExchangePtr& exchange,
                    std::unique_ptr<WriteBatch> batch,
                    std::function<void(std::unique_ptr<WriteBatch> batch)> then) {
    // What is run must be copyable, so the batch changes hands.
    const auto held = std::make_shared<std::unique_ptr<WriteBatch>>(std::move(batch));
    Log& log = context.log;
    exchange->run_blocking([&log, held] { log.look_at_guards(**held); },
                           [held, then = std::move(then)] { then(std::move(*held)); });
}

void append_guarded(const Context& context, const ExchangePtr& exchange,
                    std::unique_ptr<WriteBatch> batch) {
    const auto hand_in = [&context, exchange](std::unique_ptr<WriteBatch> looked) {
        exchange->outcome_is_open();
        context.log.append(std::move(looked));
    };
    if (context.log.guards_in_memory(*batch)) return hand_in(std::move(batch));
    look_at_guards(context, exchange, std::move(batch), hand_in);
}

}  // namespace klog::api
