// The API over a log in memory.
#ifndef KLOG_TESTS_SUPPORT_API_FIXTURE_H
#define KLOG_TESTS_SUPPORT_API_FIXTURE_H

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/api/api.h"
#include "support/fake_exchange.h"
#include "support/fake_store.h"

namespace klog::test {

struct ApiFixture {
    FakeStore store;
    std::unique_ptr<http::Handler> api;
    mutable std::vector<std::weak_ptr<FakeExchange>> started;

    explicit ApiFixture(std::uint64_t value_bytes_max = 1024) {
        api::ApiOptions options;
        options.value_bytes_max = value_bytes_max;
        options.version = "1.2.3";
        options.now = [] { return Time{FakeLog::kFirstMicros + 3'600'000'000}; };
        api = api::make_api(store, options);
    }
    ApiFixture(const ApiFixture&) = delete;
    ApiFixture& operator=(const ApiFixture&) = delete;
    ~ApiFixture() {
        for (const auto& weak : started) {
            if (const auto exchange = weak.lock()) exchange->end();
        }
    }
    [[nodiscard]] FakeLog& log() { return store.log_; }

    std::shared_ptr<FakeExchange> start(const std::shared_ptr<FakeExchange>& exchange) const {
        started.push_back(exchange);
        api->handle(exchange);
        exchange->run();
        return exchange;
    }
    std::shared_ptr<FakeExchange> get(const std::string& target) const {
        return start(FakeExchange::make("GET", target));
    }
    std::shared_ptr<FakeExchange> post(const std::string& target, const std::string& type,
                                       const std::string& body) const {
        auto exchange = FakeExchange::make("POST", target, type);
        exchange->feed(body, true);
        return start(exchange);
    }
    std::shared_ptr<FakeExchange> post_lines(const std::string& query,
                                             const std::string& body) const {
        return post("/v1/records?" + query, "application/x-ndjson", body);
    }
};

inline nlohmann::json body_of(const FakeExchange& exchange) {
    return nlohmann::json::parse(exchange.text());
}

inline std::vector<nlohmann::json> lines_of(const FakeExchange& exchange) {
    std::vector<nlohmann::json> lines;
    std::size_t begin = 0;
    const std::string& text = exchange.text();
    while (begin < text.size()) {
        const std::size_t end = text.find('\n', begin);
        if (end > begin) lines.push_back(nlohmann::json::parse(text.substr(begin, end - begin)));
        begin = end + 1;
    }
    return lines;
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_API_FIXTURE_H
