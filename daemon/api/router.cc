// Paths to handlers, and what holds for every answer.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "daemon/api/context.h"
#include "klog/env.h"

namespace klog::api {
namespace {

using Handle = void (*)(const Context&, const ExchangePtr&);

struct Route {
    std::string_view method;
    std::string_view path;  // "*" stands for one segment
    Handle handle;
};

constexpr std::array kRoutes = {
    Route{"POST", "v1/records", handle_produce},
    Route{"GET", "v1/records", handle_read},
    Route{"GET", "v1/spaces/*/keys/*", handle_get},
    Route{"GET", "v1/spaces/*/keys/*/history", handle_history},
    Route{"GET", "v1/spaces/*/keys", handle_keys},
    Route{"GET", "v1/topics", handle_topics},
    Route{"GET", "v1/head", handle_head},
    Route{"GET", "v1/count", handle_count},
    Route{"GET", "v1/consumers", handle_consumers},
    Route{"DELETE", "v1/consumers", handle_consumers_delete},
    Route{"GET", "v1/consumers/*", handle_consumer_get},
    Route{"PUT", "v1/consumers/*", handle_consumer_put},
    Route{"DELETE", "v1/consumers/*", handle_consumer_delete},
    Route{"GET", "v1/consumers/*/records", handle_consumer_read},
    Route{"POST", "v1/consumers/*/ack", handle_consumer_ack},
    Route{"POST", "v1/consumers/*/reset", handle_consumer_reset},
    Route{"GET", "livez", handle_livez},
    Route{"GET", "readyz", handle_readyz},
    Route{"GET", "metrics", handle_metrics},
    Route{"GET", "v1/openapi.json", handle_openapi},
};

bool matches(std::string_view pattern, std::span<const std::string> segments) {
    for (const std::string& segment : segments) {
        if (pattern.empty()) return false;
        const std::size_t slash = pattern.find('/');
        const std::string_view part = pattern.substr(0, slash);
        if (part != "*" && part != segment) return false;
        pattern = slash == std::string_view::npos ? std::string_view() : pattern.substr(slash + 1);
    }
    return pattern.empty() && !segments.empty();
}

// However large one value may be, so many of them find room.
constexpr std::uint64_t kLargestBodiesMin = 4;

class Api final : public http::Handler {
public:
    Api(Store& store, const ApiOptions& options)
        : context_{store, store.default_log(), options,
                   std::make_shared<BodyBudget>(std::max(
                       options.bodies_bytes_max, options.value_bytes_max * kLargestBodiesMin)),
                   std::make_shared<ConsumerReaders>()} {
        if (!context_.options.now) {
            env_ = make_posix_env();
            context_.options.now = [this] { return env_->now(); };
        }
    }

    void handle(const ExchangePtr& exchange) override {
        const http::Request& request = exchange->request();
        // A HEAD is a GET whose body the server drops.
        std::string_view method = request.method;
        if (method == "HEAD") method = "GET";
        std::string allowed;
        for (const Route& route : kRoutes) {
            if (!matches(route.path, request.segments)) continue;
            if (route.method != method) {
                if (!allowed.empty()) allowed += ", ";
                allowed += route.method == "GET" ? "GET, HEAD" : route.method;
                continue;
            }
            if (!check_tenant(exchange) || !check_writable(route, exchange)) return;
            route.handle(context_, exchange);
            return;
        }
        if (allowed.empty()) {
            exchange->respond(http::problem(
                404, Error{Code::unsupported,
                           fmt::format("there is no '{}' here", request.path.substr(0, 200)),
                           "GET /v1/openapi.json lists what there is"}));
            return;
        }
        http::Response response = http::problem(
            405, Error{Code::unsupported,
                       fmt::format("{} is not allowed on '{}'", request.method, request.path),
                       fmt::format("allowed: {}", allowed)});
        response.headers.emplace_back("Allow", allowed);
        exchange->respond(std::move(response));
    }

private:
    // There is one tenant so far. A request for another one must not reach its data.
    static bool check_tenant(const ExchangePtr& exchange) {
        const auto tenant = exchange->request().header("klog-tenant");
        if (!tenant || *tenant == "default") return true;
        exchange->respond(
            http::problem(404, Error{Code::config, fmt::format("there is no tenant '{}'", *tenant),
                                     "this version has the tenant 'default' only"}));
        return false;
    }

    // Before anything of a body is read.
    bool check_writable(const Route& route, const ExchangePtr& exchange) const {
        if (!context_.options.read_only || route.method == "GET") return true;
        answer_error(exchange,
                     Error{Code::not_allowed,
                           "this daemon was started with --read-only, so it takes no records",
                           "write through a daemon without --read-only, once this one has ended"});
        return false;
    }

    Context context_;
    std::unique_ptr<Env> env_;
};

}  // namespace

std::unique_ptr<http::Handler> make_api(Store& store, const ApiOptions& options) {
    return std::make_unique<Api>(store, options);
}

void answer_error(const ExchangePtr& exchange, const Error& error, std::string_view extra) {
    http::Response response = http::problem(error, extra);
    const bool later = error.code == Code::backpressure || error.code == Code::stopping ||
                       error.code == Code::too_many || error.code == Code::locked ||
                       error.code == Code::rebuilding || error.code == Code::consumer_busy;
    if (later) response.headers.emplace_back("Retry-After", "1");
    exchange->respond(std::move(response));
}

void answer_json(const ExchangePtr& exchange, int status, std::string body) {
    http::Response response;
    response.status = status;
    response.body = std::move(body);
    exchange->respond(std::move(response));
}

}  // namespace klog::api
