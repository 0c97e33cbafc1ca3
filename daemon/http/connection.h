// One connection: reads heads, hands requests to the handler one after the other, sends answers.
//
// Everything but the constructor and the three calls marked so runs on the connection's strand,
// inside a turn: a turn runs one callback and then whatever follows from it (settle), so callbacks
// never run inside the call that takes them and all that a callback wrote goes out with one system
// call. Sockets are read and written without waiting; the loop only says when that may succeed.
#ifndef KLOG_DAEMON_HTTP_CONNECTION_H
#define KLOG_DAEMON_HTTP_CONNECTION_H

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/fifo.h"
#include "daemon/http/asio.h"
#include "daemon/http/buffers.h"
#include "daemon/http/head_scan.h"
#include "daemon/http/io_loop.h"
#include "daemon/http/server_core.h"

namespace klog::http {

class ExchangeImpl;

class Connection final : public Strand {
public:
    // Takes fd, which does not block.
    Connection(std::shared_ptr<ServerCore> core, int fd, bool tcp);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Before anybody else knows of it: serve it, or answer 503 and close where there are too many.
    // Errors: io, where there is no room in epoll for one more; backpressure without memory.
    Status start(bool refused);
    // From any thread.
    void begin_drain();
    void stop();

    // Runs work and what follows from it. May be called within a turn.
    void turn(const std::function<void()>& work);

protected:
    void run(const std::function<void()>& work) override { turn(work); }
    void on_events(std::uint32_t epoll_events) override;

private:
    friend class ExchangeImpl;
    using TimePoint = std::chrono::steady_clock::time_point;
    static constexpr TimePoint kNever = TimePoint::max();
    // Beside epoll's own events.
    static constexpr std::uint32_t kTimerFired = 1U << 20U;
    // An unread body is read up to this size so that the connection can go on.
    static constexpr std::size_t kSkipBytesMax = 1024 * 1024;
    // For that, and for a peer to take the last answer and close.
    static constexpr std::chrono::milliseconds kLingerTimeout{1000};
    // An answer's body is copied behind its head up to this size, else sent from where it is.
    static constexpr std::size_t kCopiedBodyBytesMax = 4 * 1024;
    // Room for a head and what comes with it; larger heads make it grow.
    static constexpr std::size_t kHeadReadBytes = 8 * 1024;
    // What is kept of requests that are sent ahead of an answer; then TCP holds the client back.
    static constexpr std::size_t kAheadBytesMax = 8 * 1024;
    // A turn gives its thread to others after so many steps.
    static constexpr int kStepsPerTurnMax = 64;
    static constexpr std::size_t kReadBytesMin = 4 * 1024;
    static constexpr std::size_t kReadBytesFirst = 64 * 1024;

    enum class Phase { head, exchange, skip_body, linger, closed };

    [[nodiscard]] std::shared_ptr<Connection> self() {
        return std::static_pointer_cast<Connection>(shared_from_this());
    }

    // connection.cc: turns.
    void guarded(const std::function<void()>& work);
    void settle();
    [[nodiscard]] bool may_commit_next() const;
    bool try_step();
    bool step();
    void out_of_memory() noexcept;
    void give_up(Code code, const std::exception& exception) noexcept;
    void answer_failure(Code code, const std::exception& exception);
    bool send_out();
    void count_unsent() noexcept;
    void arm_waits();
    void arm_timer();
    void on_timer();
    void on_read_deadline();
    [[nodiscard]] bool wants_read() const;

    // connection.cc: requests.
    bool step_head();
    void receive_head();
    void dispatch(std::string_view head_bytes);
    void answer_preflight(const RequestHead& head);
    void fail(int status, const Error& error);
    bool step_exchange();
    void end_exchange();
    void enter_head();

    // connection_body.cc.
    bool serve_body();
    bool serve_body_from_buffer();
    bool serve_body_from_socket();
    bool finish_body_read(Result<BodyChunk> result);
    bool watch_peer();
    bool on_end_of_input();
    bool step_skip_body();
    void enter_skip_body();
    bool step_linger();
    void enter_linger();
    void peer_gone();
    void close_now() noexcept;
    void count_response(int status);

    std::shared_ptr<ServerCore> core_;
    const ServerLimits& limits_;
    const int fd_;
    IoLoop::Watch watch_;
    const bool tcp_;
    SteadyTimer timer_;
    TimePoint timer_at_ = kNever;
    TimePoint read_deadline_ = kNever;
    TimePoint write_deadline_ = kNever;

    Phase phase_ = Phase::head;
    bool in_turn_ = false;
    bool readable_ = false;  // receiving may succeed
    bool writable_ = true;
    std::uint32_t armed_ = 0;  // the events that the loop waits for
    bool ended_ = false;       // the peer sends no more
    bool watch_off_ = false;   // nothing more can be learnt of the peer by receiving
    bool keep_alive_ = true;   // after this exchange
    bool head_begun_ = false;  // the head's time runs
    bool shut_ = false;        // lingering: our side is closed
    std::size_t discarded_ = 0;
    std::size_t read_size_;

    InBuffer in_;
    OutQueue out_;
    std::size_t counted_unsent_ = 0;  // of it, in the core's sum
    HeadScanner scanner_;
    BodySource body_;
    bool continue_wanted_ = false;  // the peer waits for 100 Continue
    std::shared_ptr<ExchangeImpl> exchange_;
    Fifo<std::function<void()>> calls_;  // to run in this turn, in order
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_CONNECTION_H
