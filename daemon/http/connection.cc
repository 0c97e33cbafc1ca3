#include "daemon/http/connection.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <variant>

#include "daemon/http/exchange_impl.h"
#include "daemon/http/response_head.h"

namespace klog::http {
namespace {

// The method, its blanks and the version beside the target.
constexpr std::size_t kStartLineRestBytes = 64;
constexpr int kTryLater = 503;

HeadLimits head_limits(const ServerLimits& limits) {
    return HeadLimits{limits.target_bytes_max + kStartLineRestBytes, limits.header_bytes_max,
                      limits.header_fields_max};
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, int fd, bool tcp)
    : Strand(core->loop),
      core_(std::move(core)),
      limits_(core_->options.limits),
      fd_(fd),
      tcp_(tcp),
      timer_(core_->io),
      read_size_(kReadBytesFirst),
      scanner_(head_limits(limits_)) {}

Connection::~Connection() {
    if (phase_ != Phase::closed) ::close(fd_);
    core_->unsent_bytes.fetch_sub(counted_unsent_, std::memory_order_relaxed);
}

Status Connection::start(bool refused) {
    try {
        auto watch = loop().watch(fd_, self());
        if (!watch) {
            drop();
            return std::move(watch).error();
        }
        watch_ = *watch;
        turn([&] {
            enter_head();
            if (refused) {
                fail(kTryLater, Error{Code::backpressure, "the daemon has too many connections",
                                      "try again later"});
            }
        });
    } catch (const std::bad_alloc&) {
        close_now();
        drop();
        return Error{Code::backpressure, "no memory for one more connection", ""};
    }
    begin();
    return {};
}

void Connection::begin_drain() {
    post([connection = self()] {
        connection->keep_alive_ = false;
        // What was sent before the drain began is answered, also where nobody has read it yet.
        if (connection->phase_ == Phase::head && connection->in_.empty()) {
            connection->receive_head();
        }
        if (connection->phase_ == Phase::head && connection->in_.empty()) connection->close_now();
        if (connection->exchange_ && connection->exchange_->drain_call_) {
            connection->calls_.push_back(
                std::exchange(connection->exchange_->drain_call_, nullptr));
        }
    });
}

void Connection::stop() {
    post([connection = self()] { connection->peer_gone(); });
}

void Connection::on_events(std::uint32_t epoll_events) {
    armed_ = 0;
    if (phase_ == Phase::closed) return;
    // An error or the end shows in what is tried next.
    if ((epoll_events & kTimerFired) != 0) turn([this] { on_timer(); });
    const bool ended = (epoll_events & (EPOLLERR | EPOLLHUP)) != 0;
    if (ended || (epoll_events & EPOLLIN) != 0) readable_ = true;
    if (ended || (epoll_events & EPOLLOUT) != 0) writable_ = true;
    turn([] {});
}

void Connection::turn(const std::function<void()>& work) {
    if (in_turn_) {
        guarded(work);
        return;
    }
    in_turn_ = true;
    guarded(work);
    try {
        settle();
    } catch (const std::bad_alloc&) {
        close_now();  // not even its time-out can be set
    }
    count_unsent();
    in_turn_ = false;
}

void Connection::count_unsent() noexcept {
    const std::size_t now = out_.unsent();
    if (now == counted_unsent_) return;
    core_->unsent_bytes.fetch_add(now - counted_unsent_, std::memory_order_relaxed);
    counted_unsent_ = now;
}

// A handler that runs out of memory, or has a bug that throws, loses its request and no more.
void Connection::guarded(const std::function<void()>& work) {
    try {
        work();
    } catch (const std::bad_alloc&) {
        out_of_memory();
    } catch (const std::exception& exception) {
        give_up(Code::bug, exception);
    }
}

void Connection::out_of_memory() noexcept { give_up(Code::backpressure, std::bad_alloc()); }

// An answer takes memory itself, and so does telling who waits: where there is none even for that
// the connection just ends.
void Connection::give_up(Code code, const std::exception& exception) noexcept {
    try {
        answer_failure(code, exception);
    } catch (const std::exception&) {
        close_now();
    }
}

void Connection::answer_failure(Code code, const std::exception& exception) {
    if (phase_ != Phase::exchange || exchange_->answered_ || exchange_->streaming_ ||
        exchange_->outcome_open_) {
        peer_gone();
        return;
    }
    keep_alive_ = false;
    Error error{Code::backpressure, "there is not enough memory for this request", ""};
    if (code == Code::bug) {
        error = Error{code, std::string("the request failed: ") + exception.what(), ""};
    }
    Response response = problem(error);
    if (response.status == kTryLater) response.headers.emplace_back("Retry-After", "1");
    exchange_->respond(std::move(response));
}

// True if the next step may hand something to the log, and so wait for the disk.
bool Connection::may_commit_next() const {
    if (!calls_.empty()) return true;
    const bool has_input = !in_.empty() || readable_;
    return has_input &&
           (phase_ == Phase::head || (phase_ == Phase::exchange && exchange_->body_call_));
}

void Connection::settle() {
    int steps = 0;
    while (try_step()) {
        if (++steps < kStepsPerTurnMax && !(IoLoop::others_wait() && may_commit_next())) {
            continue;
        }
        post([] {});
        return;
    }
    if (phase_ == Phase::closed) return;
    arm_waits();
    arm_timer();
}

// Room for what is received may be missing as well.
bool Connection::try_step() {
    try {
        return step();
    } catch (const std::bad_alloc&) {
        out_of_memory();
        return true;
    }
}

// One thing that can be done now; false if all waits for something.
bool Connection::step() {
    if (!calls_.empty()) {
        const std::function<void()> call = std::move(calls_.front());
        calls_.pop_front();
        guarded(call);
        return true;
    }
    if (phase_ == Phase::closed) return false;
    if (!send_out()) {
        peer_gone();
        return true;
    }
    switch (phase_) {
        case Phase::head:
            return step_head();
        case Phase::exchange:
            return step_exchange();
        case Phase::skip_body:
            return step_skip_body();
        case Phase::linger:
            return step_linger();
        case Phase::closed:
            break;
    }
    return false;
}

// False if the peer is gone.
bool Connection::send_out() {
    if (out_.empty() || !writable_) return true;
    std::size_t sent = 0;
    const OutQueue::Sent result = out_.send(fd_, sent);
    if (result == OutQueue::Sent::broken) return false;
    if (result == OutQueue::Sent::all) {
        write_deadline_ = kNever;
        return true;
    }
    writable_ = false;
    if (sent > 0 || write_deadline_ == kNever) {
        // Who is still sending may not read meanwhile. The handler has a limit for that; what it
        // then says is there for as long again.
        const int times = phase_ == Phase::exchange && !body_.done() ? 2 : 1;
        write_deadline_ = std::chrono::steady_clock::now() + times * limits_.write_timeout;
    }
    return true;
}

bool Connection::wants_read() const {
    switch (phase_) {
        case Phase::head:
        case Phase::skip_body:
            return true;
        case Phase::exchange:
            return exchange_->body_call_ != nullptr || (!watch_off_ && !exchange_->answered_);
        case Phase::linger:
            return shut_;
        case Phase::closed:
            break;
    }
    return false;
}

void Connection::arm_waits() {
    std::uint32_t events = 0;
    if (!readable_ && !ended_ && wants_read()) {
        in_.release_if_empty();
        events |= EPOLLIN;
    }
    if (!writable_) events |= EPOLLOUT;
    if ((events & ~armed_) == 0) return;
    armed_ |= events;
    loop().arm(watch_, fd_, armed_);
}

// The timer is only moved to fire earlier: most deadlines are moved away long before, and a timer
// that fires too early costs less than one that is set again for each request.
void Connection::arm_timer() {
    const TimePoint deadline = std::min(read_deadline_, write_deadline_);
    if (deadline >= timer_at_) return;
    timer_at_ = deadline;
    timer_.expires_at(deadline);
    timer_.async_wait([connection = self()](const boost::system::error_code& error) {
        if (!error) connection->add_event(kTimerFired);
    });
}

void Connection::on_timer() {
    if (phase_ == Phase::closed) return;
    timer_at_ = kNever;
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= write_deadline_) {
        peer_gone();
    } else if (now >= read_deadline_) {
        read_deadline_ = kNever;
        on_read_deadline();
    }
}

void Connection::on_read_deadline() {
    switch (phase_) {
        case Phase::head:
            if (in_.empty()) {
                close_now();
            } else {
                fail(408, Error{Code::timeout, "the request's head did not come in time", ""});
            }
            return;
        case Phase::exchange:
            keep_alive_ = false;
            finish_body_read(Error{Code::timeout, "the request's body stalled", ""});
            return;
        case Phase::skip_body:
            enter_linger();
            return;
        case Phase::linger:
            close_now();
            return;
        case Phase::closed:
            return;
    }
}

void Connection::enter_head() {
    phase_ = Phase::head;
    head_begun_ = false;
    scanner_.reset();
    read_deadline_ = std::chrono::steady_clock::now() + limits_.idle_timeout;
}

bool Connection::step_head() {
    if (!in_.empty()) {
        switch (scanner_.scan(in_.view())) {
            case HeadScanner::State::done:
                dispatch(in_.view().substr(scanner_.begin(), scanner_.end() - scanner_.begin()));
                return true;
            case HeadScanner::State::failed:
                fail(scanner_.failure().status, scanner_.failure().error);
                return true;
            case HeadScanner::State::more:
                break;
        }
        if (!head_begun_) {
            head_begun_ = true;
            read_deadline_ = std::chrono::steady_clock::now() + limits_.header_timeout;
        }
    }
    if (ended_) {  // what is there will never be a whole head
        close_now();
        return true;
    }
    if (!readable_) return false;
    receive_head();
    return true;
}

void Connection::receive_head() {
    std::size_t size = 0;
    // Heads beyond the usual size are read in larger and larger steps.
    const std::size_t room = std::max(kHeadReadBytes, in_.size());
    switch (in_.receive_some(fd_, room, size)) {
        case Received::bytes:
            if (size < room) readable_ = false;
            return;
        case Received::blocked:
            readable_ = false;
            return;
        case Received::end:
        case Received::broken:
            // Nobody is left to be told that half a head is none.
            close_now();
            return;
    }
}

void Connection::dispatch(std::string_view head_bytes) {
    core_->requests_total.fetch_add(1, std::memory_order_relaxed);
    auto parsed = parse_request_head(head_bytes);
    if (!parsed.ok()) {
        fail(400, parsed.error());
        return;
    }
    auto checked =
        check_request_head(std::move(parsed).value(), tcp_ ? core_->tcp_rules : core_->unix_rules);
    if (const auto* failure = std::get_if<HeadFailure>(&checked)) {
        fail(failure->status, failure->error);
        return;
    }
    if (core_->draining.load(std::memory_order_relaxed)) {
        fail(kTryLater, Error{Code::stopping, "the daemon is stopping", "try again later"});
        return;
    }
    in_.consume(scanner_.end());
    RequestHead& head = std::get<RequestHead>(checked);
    body_ = BodySource();
    if (head.chunked) body_.set_chunked();
    if (head.request.content_length) body_.set_length(*head.request.content_length);
    continue_wanted_ = head.expect_continue;
    keep_alive_ = head.keep_alive && !(ended_ && in_.empty());
    watch_off_ = false;
    read_deadline_ = kNever;
    exchange_ = std::make_shared<ExchangeImpl>(self(), std::move(head));
    phase_ = Phase::exchange;
    if (exchange_->head_.preflight) {
        answer_preflight(exchange_->head_);
        return;
    }
    const std::shared_ptr<Exchange> exchange = exchange_;  // handle() may end it
    guarded([&] { core_->handler.handle(exchange); });
}

void Connection::answer_preflight(const RequestHead& /*head*/) {
    Response response;
    response.status = 204;
    response.headers = {
        {"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"},
        {"Access-Control-Allow-Headers",
         "Accept, Authorization, Content-Type, Klog-Lease, Klog-Tenant, Last-Event-ID"},
        {"Access-Control-Max-Age", "600"}};
    exchange_->respond(std::move(response));
}

// The server's own refusal: the connection ends with it, since what follows cannot be trusted.
void Connection::fail(int status, const Error& error) {
    Response response = problem(status, error);
    if (status == kTryLater) response.headers.emplace_back("Retry-After", "1");
    ResponseFraming framing;
    framing.content_length = response.body.size();
    framing.close = true;
    std::string bytes =
        write_response_head(status, response.content_type, response.headers, framing);
    out_.add(std::move(bytes) + response.body);
    count_response(status);
    enter_linger();
}

void Connection::count_response(int status) {
    if (status >= 500) {
        core_->responses_5xx.fetch_add(1, std::memory_order_relaxed);
    } else if (status >= 400) {
        core_->responses_4xx.fetch_add(1, std::memory_order_relaxed);
    }
}

bool Connection::step_exchange() {
    ExchangeImpl& exchange = *exchange_;
    if (exchange.unsent_call_ && out_.unsent() <= exchange.unsent_below_) {
        calls_.push_back(std::exchange(exchange.unsent_call_, nullptr));
        return true;
    }
    if (exchange.answered_) {
        // A read that was not over when the answer was given has lost its sense.
        exchange.body_call_ = nullptr;
        read_deadline_ = kNever;
        if (!out_.empty()) return false;
        end_exchange();
        return true;
    }
    return exchange.body_call_ ? serve_body() : watch_peer();
}

void Connection::end_exchange() {
    const std::shared_ptr<ExchangeImpl> exchange = std::exchange(exchange_, nullptr);
    exchange->end();
    read_deadline_ = kNever;
    // A peer that sends no more may have sent the next request already.
    if (!keep_alive_ || (ended_ && in_.empty()) ||
        core_->draining.load(std::memory_order_relaxed)) {
        enter_linger();
    } else if (!body_.done()) {
        enter_skip_body();
    } else {
        enter_head();
    }
}

}  // namespace klog::http
