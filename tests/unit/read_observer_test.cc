// Who is told how far an answer has come may end it from within the call.
#include <doctest/doctest.h>

#include "daemon/api/read_stream.h"
#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;

namespace {

const Error kFenced{Code::fenced, "somebody else reads", ""};

// Ends the answer at one of the calls.
struct Stopping final : api::ReadObserver {
    enum class At { begun, looked, never };
    At at = At::never;
    int calls = 0;
    int ends = 0;
    std::function<void(Error)> stop;

    explicit Stopping(At when) : at(when) {}
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const override {
        return {};
    }
    void begun(std::function<void(Error)> stopper) override {
        ++calls;
        stop = std::move(stopper);
        if (at == At::begun) stop(kFenced);
    }
    void looked(Seq /*sent*/, Seq /*read_to*/) override {
        ++calls;
        if (at == At::looked) stop(kFenced);
    }
    void ended() override { ++ends; }
};

struct Observed {
    FakeStore store;
    api::Context context{store, store.log_, {}, nullptr, nullptr};
    std::shared_ptr<FakeExchange> exchange = FakeExchange::make("GET", "/v1/records");

    explicit Observed(const std::shared_ptr<Stopping>& observer, bool follow) {
        store.log_.add("orders/1", "1", "10");
        api::ReadRequest request;
        request.observer = observer;
        request.options.follow = follow;
        // On the strand, as the server calls its handlers.
        exchange->run_blocking(
            0, [] {}, [this, request] { api::stream_records(context, exchange, request); });
        exchange->run();
    }
    ~Observed() { exchange->end(); }
    Observed(const Observed&) = delete;
    Observed& operator=(const Observed&) = delete;
};

}  // namespace

TEST_CASE("read observer: it may end the answer from within each call") {
    for (const bool follow : {false, true}) {
        for (const auto at : {Stopping::At::begun, Stopping::At::looked}) {
            CAPTURE(follow);
            const auto observer = std::make_shared<Stopping>(at);
            const Observed answer(observer, follow);
            CHECK(observer->calls == (at == Stopping::At::begun ? 1 : 2));
            CHECK(observer->ends == 1);
            CHECK(answer.exchange->aborted_);
            CHECK_FALSE(answer.exchange->finished_);
            CHECK(answer.exchange->text().find("fenced") != std::string::npos);
            observer->stop(kFenced);  // too late: nothing is left to end
            answer.exchange->run();
            CHECK(observer->ends == 1);
        }
    }
}

TEST_CASE("read observer: one that lets the answer be is told of its end once") {
    const auto observer = std::make_shared<Stopping>(Stopping::At::never);
    const Observed answer(observer, false);
    CHECK(observer->calls == 2);
    CHECK(observer->ends == 1);
    CHECK(answer.exchange->finished_);
    CHECK(answer.exchange->text().find("orders/1") != std::string::npos);
}
