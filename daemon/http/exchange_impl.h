// One request on a connection. Forwards to the connection while it is the current one; afterwards
// it is inert.
#ifndef KLOG_DAEMON_HTTP_EXCHANGE_IMPL_H
#define KLOG_DAEMON_HTTP_EXCHANGE_IMPL_H

#include <memory>
#include <optional>

#include "daemon/http/connection.h"

namespace klog::http {

class ExchangeImpl final : public Exchange {
public:
    ExchangeImpl(std::shared_ptr<Connection> connection, RequestHead head);

    [[nodiscard]] const Request& request() const override { return head_.request; }
    [[nodiscard]] std::string peer() const override;
    void read_body(std::size_t bytes_max, std::function<void(Result<BodyChunk>)> callback) override;
    void respond(Response response) override;
    void start_stream(int status, std::string content_type,
                      std::vector<std::pair<std::string, std::string>> headers) override;
    void write(std::string bytes) override;
    void finish() override;
    [[nodiscard]] std::size_t unsent_bytes() const override;
    [[nodiscard]] std::size_t unsent_bytes_of_all() const override;
    void on_unsent_below(std::size_t bytes, std::function<void()> callback) override;
    void outcome_is_open() override { outcome_open_ = true; }
    void abort() override;
    void on_closed(std::function<void()> callback) override;
    [[nodiscard]] bool closed() const override { return closed_; }
    void on_drain(std::function<void()> callback) override;
    void post(std::function<void()> work) override;
    void post_late(std::function<void()> work) override;
    void run_blocking(std::uint64_t order, std::function<void()> work,
                      std::function<void()> then) override;
    void set_timer(std::chrono::milliseconds after, std::function<void()> callback) override;

private:
    friend class Connection;

    [[nodiscard]] bool live() const { return !over_; }
    // Runs on a later step, whether or not this exchange is over.
    void call_later(std::function<void()> call);
    // Lets go of whatever callbacks hold. The exchange is over.
    void end();

    const std::shared_ptr<Connection> connection_;
    const RequestHead head_;
    bool answered_ = false;   // nothing more will be written
    bool streaming_ = false;  // a streamed answer was started
    bool mute_ = false;       // its body is not sent (HEAD, 204)
    bool over_ = false;       // the connection has gone on
    bool closed_ = false;     // the peer is gone or the daemon is ending
    bool outcome_open_ = false;

    std::size_t body_bytes_max_ = 0;
    std::function<void(Result<BodyChunk>)> body_call_;
    std::size_t unsent_below_ = 0;
    std::function<void()> unsent_call_;
    std::function<void()> closed_call_;
    std::function<void()> drain_call_;
    std::optional<SteadyTimer> timer_;
    std::uint64_t timer_number_ = 0;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_EXCHANGE_IMPL_H
