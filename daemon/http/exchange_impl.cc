#include "daemon/http/exchange_impl.h"

#include <exception>

#include "base/assert.h"
#include "daemon/http/peer_name.h"
#include "daemon/http/response_head.h"

namespace klog::http {

ExchangeImpl::ExchangeImpl(std::shared_ptr<Connection> connection, RequestHead head)
    : connection_(std::move(connection)), head_(std::move(head)) {}

void ExchangeImpl::call_later(std::function<void()> call) {
    if (live()) {
        connection_->calls_.push_back(std::move(call));
        return;
    }
    connection_->post(std::move(call));
}

std::string ExchangeImpl::peer() const {
    if (!live() || connection_->phase_ == Connection::Phase::closed) return "";
    return peer_name(connection_->fd_);
}

void ExchangeImpl::read_body(std::size_t bytes_max,
                             std::function<void(Result<BodyChunk>)> callback) {
    KLOG_ASSERT(!body_call_ && bytes_max > 0);
    if (!live()) {
        call_later([callback = std::move(callback)] {
            callback(Error{Code::io, "the connection has ended", ""});
        });
        return;
    }
    body_bytes_max_ = bytes_max;
    body_call_ = std::move(callback);
    connection_->read_deadline_ =
        std::chrono::steady_clock::now() + connection_->limits_.body_timeout;
}

void ExchangeImpl::respond(Response response) {
    if (!live()) return;
    KLOG_ASSERT(!answered_ && !streaming_);
    Connection& connection = *connection_;
    // A client that still waits for 100 Continue may send its body or not: nobody can tell.
    if (!connection.body_.done() &&
        (connection.continue_wanted_ || connection.body_.left() > Connection::kSkipBytesMax)) {
        connection.keep_alive_ = false;
    }
    ResponseFraming framing;
    framing.content_length = response.body.size();
    framing.close = !connection.keep_alive_;
    framing.allowed_origin = head_.origin;
    std::string bytes =
        write_response_head(response.status, response.content_type, response.headers, framing);
    if (head_.request.method != "HEAD" && !is_bodiless(response.status)) {
        if (response.body.size() <= Connection::kCopiedBodyBytesMax) {
            bytes += response.body;
            response.body.clear();
        }
    } else {
        response.body.clear();
    }
    connection.out_.add(std::move(bytes));
    connection.out_.add(std::move(response.body));
    connection.count_response(response.status);
    answered_ = true;
}

void ExchangeImpl::start_stream(int status, std::string content_type,
                                std::vector<std::pair<std::string, std::string>> headers) {
    if (!live()) return;
    KLOG_ASSERT(!answered_ && !streaming_);
    Connection& connection = *connection_;
    // Without chunks only the connection's end can end the body.
    if (head_.http_1_0) connection.keep_alive_ = false;
    ResponseFraming framing;
    framing.chunked = !head_.http_1_0 && !is_bodiless(status);
    framing.close = !connection.keep_alive_;
    framing.allowed_origin = head_.origin;
    connection.out_.add(write_response_head(status, content_type, headers, framing));
    connection.out_.begin_body(framing.chunked);
    connection.count_response(status);
    streaming_ = true;
    mute_ = head_.request.method == "HEAD" || is_bodiless(status);
    if (connection.ended_ && connection.tcp_) {
        connection.calls_.push_back([self = connection_] { self->peer_gone(); });
    }
}

void ExchangeImpl::write(std::string bytes) {
    if (!live()) return;
    KLOG_ASSERT(streaming_ && !answered_);
    if (!mute_) connection_->out_.add_body(std::move(bytes));
}

void ExchangeImpl::finish() {
    if (!live()) return;
    KLOG_ASSERT(streaming_ && !answered_);
    if (!mute_) connection_->out_.end_body();
    answered_ = true;
}

std::size_t ExchangeImpl::unsent_bytes() const { return live() ? connection_->out_.unsent() : 0; }

std::size_t ExchangeImpl::unsent_bytes_of_all() const {
    return connection_->core_->unsent_bytes.load(std::memory_order_relaxed);
}

void ExchangeImpl::on_unsent_below(std::size_t bytes, std::function<void()> callback) {
    if (!live()) {
        call_later(std::move(callback));
        return;
    }
    unsent_below_ = bytes;
    unsent_call_ = std::move(callback);
}

void ExchangeImpl::abort() {
    if (!live()) return;
    closed_ = true;
    connection_->close_now();
}

void ExchangeImpl::on_closed(std::function<void()> callback) {
    if (closed_) {
        call_later(std::move(callback));
    } else if (live()) {
        closed_call_ = std::move(callback);
    }
}

void ExchangeImpl::on_drain(std::function<void()> callback) {
    if (!live()) return;
    if (connection_->core_->draining.load(std::memory_order_relaxed)) {
        call_later(std::move(callback));
    } else {
        drain_call_ = std::move(callback);
    }
}

void ExchangeImpl::post(std::function<void()> work) {
    if (connection_->running_in_this_thread()) {
        connection_->turn(work);
    } else {
        connection_->post(std::move(work));
    }
}

void ExchangeImpl::post_late(std::function<void()> work) {
    if (connection_->running_in_this_thread()) {
        connection_->turn(work);
    } else {
        connection_->post_late(std::move(work));
    }
}

void ExchangeImpl::run_blocking(std::uint64_t order, std::function<void()> work,
                                std::function<void()> then) {
    connection_->core_->run_blocking(order, [connection = connection_, work = std::move(work),
                                             then = std::move(then)]() mutable {
        try {
            work();
        } catch (const std::exception&) {
            // It costs this request and no more, as on the strand: see Connection::guarded.
            connection->post(
                [failed = std::current_exception()] { std::rethrow_exception(failed); });
            return;
        }
        connection->post(std::move(then));
    });
}

void ExchangeImpl::set_timer(std::chrono::milliseconds after, std::function<void()> callback) {
    const std::uint64_t number = ++timer_number_;
    if (!live() || after <= std::chrono::milliseconds::zero()) {
        timer_.reset();
        return;
    }
    if (!timer_) timer_.emplace(connection_->core_->io);
    timer_->expires_after(after);
    // The timer dies with the exchange, so it must not keep it alive.
    std::weak_ptr<Exchange> weak = weak_from_this();
    auto fire = [weak, number, callback = std::move(callback)] {
        const std::shared_ptr<Exchange> self = weak.lock();
        if (!self) return;
        const auto& exchange = static_cast<const ExchangeImpl&>(*self);
        // It may have been replaced after it fired.
        if (exchange.timer_number_ == number && exchange.live()) callback();
    };
    timer_->async_wait(
        [connection = connection_, fire = std::move(fire)](const boost::system::error_code& error) {
            if (!error) connection->post(fire);
        });
}

void ExchangeImpl::end() {
    over_ = true;
    ++timer_number_;
    timer_.reset();
    body_call_ = nullptr;
    unsent_call_ = nullptr;
    closed_call_ = nullptr;
    drain_call_ = nullptr;
}

}  // namespace klog::http
