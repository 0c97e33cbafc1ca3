// The incoming side of an exchange, and the ways in which a connection ends.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "daemon/http/connection.h"
#include "daemon/http/exchange_impl.h"

namespace klog::http {
namespace {

BodyChunk make_chunk(std::shared_ptr<std::string> bytes, std::size_t size, bool last) {
    // The zeros behind the end stay where they are: a smaller size does not touch them.
    bytes->resize(size + BodyChunk::kPadding);
    std::memset(bytes->data() + size, 0, BodyChunk::kPadding);
    bytes->resize(size);
    return BodyChunk{std::move(bytes), last};
}

}  // namespace

bool Connection::finish_body_read(Result<BodyChunk> result) {
    if (!exchange_ || !exchange_->body_call_) return false;
    read_deadline_ = kNever;
    auto call = std::exchange(exchange_->body_call_, nullptr);
    calls_.push_back([call = std::move(call), result = std::move(result)]() mutable {
        call(std::move(result));
    });
    return true;
}

// True if something was done.
bool Connection::serve_body() {
    if (body_.done()) {
        return finish_body_read(make_chunk(std::make_shared<std::string>(), 0, true));
    }
    if (!in_.empty()) return serve_body_from_buffer();
    if (ended_) {
        keep_alive_ = false;
        return finish_body_read(Error{Code::io, "the client closed in the middle of the body", ""});
    }
    if (continue_wanted_) {
        continue_wanted_ = false;
        if (!exchange_->streaming_) out_.add("HTTP/1.1 100 Continue\r\n\r\n");
        return true;
    }
    return readable_ && serve_body_from_socket();
}

bool Connection::serve_body_from_buffer() {
    continue_wanted_ = false;
    const std::size_t size = std::min(in_.size(), exchange_->body_bytes_max_);
    auto step = body_.take(in_.data(), size);
    if (!step.ok()) {
        keep_alive_ = false;
        return finish_body_read(std::move(step).error());
    }
    if (step->produced == 0 && !body_.done()) {
        in_.consume(step->consumed);
        return true;
    }
    auto bytes = std::make_shared<std::string>();
    bytes->reserve(step->produced + BodyChunk::kPadding);
    bytes->append(in_.data(), step->produced);
    in_.consume(step->consumed);
    return finish_body_read(make_chunk(std::move(bytes), step->produced, body_.done()));
}

bool Connection::serve_body_from_socket() {
    const std::size_t room =
        body_.ask(std::min({read_size_, exchange_->body_bytes_max_, limits_.read_bytes_max}));
    auto bytes = std::make_shared<std::string>(room + BodyChunk::kPadding, '\0');
    std::size_t size = 0;
    switch (receive(fd_, bytes->data(), room, size)) {
        case Received::bytes:
            break;
        case Received::blocked:
            readable_ = false;
            return true;
        case Received::end:
            return on_end_of_input();
        case Received::broken:
            peer_gone();
            return true;
    }
    if (size < room) readable_ = false;
    // Follow how much the peer brings at once: a read's buffer is cleared first, and that is wasted
    // on what stays empty.
    if (size == read_size_) read_size_ = std::min(read_size_ * 2, limits_.read_bytes_max);
    if (size < read_size_ / 4) read_size_ = std::max(read_size_ / 2, kReadBytesMin);
    auto step = body_.take(bytes->data(), size);
    if (!step.ok()) {
        keep_alive_ = false;
        return finish_body_read(std::move(step).error());
    }
    in_.append(std::string_view(*bytes).substr(step->consumed, size - step->consumed));
    if (step->produced == 0 && !body_.done()) return true;
    return finish_body_read(make_chunk(std::move(bytes), step->produced, body_.done()));
}

// While a handler neither reads nor has answered, only receiving tells that the peer has gone.
bool Connection::watch_peer() {
    if (watch_off_ || ended_ || !readable_) return false;
    std::size_t size = 0;
    Received received = Received::blocked;
    if (body_.done()) {
        if (in_.size() >= kAheadBytesMax) {
            watch_off_ = true;
            return false;
        }
        // The next request may come early.
        received = in_.receive_some(fd_, kAheadBytesMax, size);
        if (received == Received::bytes && size < kAheadBytesMax) readable_ = false;
    } else {
        char byte = 0;
        const ssize_t got = ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        if (got > 0) {
            watch_off_ = true;  // the body stands in the way until the handler reads it
            return false;
        }
        received = got == 0 ? Received::end
                            : (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
                                   ? Received::blocked
                                   : Received::broken);
    }
    switch (received) {
        case Received::bytes:
            return true;
        case Received::blocked:
            readable_ = false;
            return false;
        case Received::end:
            return on_end_of_input();
        case Received::broken:
            peer_gone();
            return true;
    }
    return false;
}

// The peer sends no more. It may still read (nc -N): a Unix socket tells, and over TCP a whole
// answer is tried while a stream, which may last, ends.
bool Connection::on_end_of_input() {
    ended_ = true;
    if (in_.empty() || !body_.done()) keep_alive_ = false;
    pollfd state{fd_, 0, 0};
    const bool hung_up = ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
    if (hung_up || (tcp_ && exchange_ && exchange_->streaming_)) peer_gone();
    return true;
}

void Connection::enter_skip_body() {
    phase_ = Phase::skip_body;
    discarded_ = 0;
    read_deadline_ = std::chrono::steady_clock::now() + kLingerTimeout;
}

bool Connection::step_skip_body() {
    if (body_.done()) {
        if (core_->draining.load(std::memory_order_relaxed)) {
            enter_linger();
        } else {
            enter_head();
        }
        return true;
    }
    if (discarded_ > kSkipBytesMax) {
        enter_linger();
        return true;
    }
    if (in_.empty()) {
        if (!readable_) return false;
        std::size_t size = 0;
        const Received received = in_.receive_some(fd_, kReadBytesMin, size);
        if (received == Received::end || received == Received::broken) close_now();
        if (size < kReadBytesMin) readable_ = false;
        return true;
    }
    auto step = body_.take(in_.data(), in_.size());
    if (!step.ok()) {
        enter_linger();
        return true;
    }
    discarded_ += step->consumed;
    in_.consume(step->consumed);
    return true;
}

// Closing with bytes unread would make the kernel throw away what was sent. So: send the rest, say
// that it was all, and read until the peer closes too, for a limited time.
void Connection::enter_linger() {
    phase_ = Phase::linger;
    shut_ = false;
    discarded_ = 0;
    read_deadline_ = kNever;
    in_ = InBuffer();
}

bool Connection::step_linger() {
    if (!out_.empty()) return false;
    if (!shut_) {
        shut_ = true;
        ::shutdown(fd_, SHUT_WR);
        read_deadline_ = std::chrono::steady_clock::now() + kLingerTimeout;
        readable_ = true;
    }
    if (ended_ || discarded_ > kSkipBytesMax) {
        close_now();
        return true;
    }
    if (!readable_) return false;
    std::array<char, kReadBytesMin> scratch;
    std::size_t size = 0;
    switch (receive(fd_, scratch.data(), scratch.size(), size)) {
        case Received::bytes:
            discarded_ += size;
            return true;
        case Received::blocked:
            readable_ = false;
            return false;
        case Received::end:
        case Received::broken:
            close_now();
            return true;
    }
    return false;
}

// Also for a daemon that ends: whoever waits for something on this connection is told.
void Connection::peer_gone() {
    if (exchange_) {
        ExchangeImpl& exchange = *exchange_;
        exchange.closed_ = true;
        finish_body_read(Error{Code::io, "the connection has ended", ""});
        if (exchange.unsent_call_) {
            calls_.push_back(std::exchange(exchange.unsent_call_, nullptr));
        }
        if (exchange.closed_call_) {
            calls_.push_back(std::exchange(exchange.closed_call_, nullptr));
        }
    }
    close_now();
}

void Connection::close_now() noexcept {
    if (phase_ == Phase::closed) return;
    phase_ = Phase::closed;
    if (exchange_) {
        const std::shared_ptr<ExchangeImpl> exchange = std::exchange(exchange_, nullptr);
        exchange->end();
    }
    timer_.cancel();
    loop().unwatch(watch_, fd_);
    ::close(fd_);
    in_ = InBuffer();
    out_.clear();
    core_->remove(this);
}

}  // namespace klog::http
