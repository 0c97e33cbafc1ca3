// One HTTP request and its answer, without any HTTP library in sight: what handlers are written
// against. daemon/http/server.* implements it with Beast.
//
// Threads: an exchange has a strand. handle() and every callback run on it, and every method
// must be called on it, but for post(), which may be called from any thread. Callbacks never run
// inside the call that takes them. Callbacks must not block; run_blocking() is for what does.
#ifndef KLOG_DAEMON_HTTP_EXCHANGE_H
#define KLOG_DAEMON_HTTP_EXCHANGE_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::http {

// The head, checked and decoded by the server.
struct Request {
    std::string method;  // GET, HEAD, POST, PUT, DELETE …
    std::string path;    // as sent, without the query; not decoded
    // Path segments, each percent-decoded on its own (so %2F stays within its segment).
    std::vector<std::string> segments;
    // Form-decoded, in order: "+" and %20 are spaces. Repeats stand as they came.
    std::vector<std::pair<std::string, std::string>> query;
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::optional<std::uint64_t> content_length;
    bool has_body = false;

    // The first header of that (lower-case) name.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
};

// Some bytes of a request's body. The buffer may be written to and has kPadding bytes of zeros
// behind size() in its allocation, as simdjson wants.
struct BodyChunk {
    static constexpr std::size_t kPadding = 64;
    std::shared_ptr<std::string> bytes;  // size() is the data; padding is within the capacity
    bool last = false;                   // nothing follows
};

class Exchange : public std::enable_shared_from_this<Exchange> {
public:
    virtual ~Exchange() = default;

    [[nodiscard]] virtual const Request& request() const = 0;

    // Who asks, for people: "process 4711" of this machine, "127.0.0.1:40312"; empty where the
    // system does not say.
    [[nodiscard]] virtual std::string peer() const = 0;

    // The next bytes of the body, as many as are there, at most bytes_max and at least one unless
    // last. One read at a time. Errors: timeout (a body that stalls), io (the peer is gone),
    // bad_request (broken framing), value_too_large (a stated length above body_bytes_max).
    virtual void read_body(std::size_t bytes_max,
                           std::function<void(Result<BodyChunk>)> callback) = 0;

    // A whole answer; ends the exchange, and a read of the body that is under way is dropped
    // without its callback (so does finish). HEAD gets no body. An unread body is read up to a
    // limit or the connection is closed behind the answer.
    virtual void respond(Response response) = 0;

    // A streamed answer (chunked): start_stream once, then write any number of times, then finish.
    // It may run while the body is still being read.
    virtual void start_stream(int status, std::string content_type,
                              std::vector<std::pair<std::string, std::string>> headers) = 0;
    virtual void write(std::string bytes) = 0;
    virtual void finish() = 0;
    // Bytes given to write() that the socket has not taken yet.
    [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
    // The same of all connections of the server together, about.
    [[nodiscard]] virtual std::size_t unsent_bytes_of_all() const = 0;
    // Calls back once unsent_bytes() <= bytes (later, also if that holds now) or the peer is gone.
    virtual void on_unsent_below(std::size_t bytes, std::function<void()> callback) = 0;

    // From here on something may have been done that cannot be taken back: where the handler fails
    // (out of memory) the connection ends without an answer, instead of with one that says no.
    virtual void outcome_is_open() = 0;
    // Ends the connection at once.
    virtual void abort() = 0;
    // The peer is gone or the daemon is ending; called at most once. Set before anything waits.
    virtual void on_closed(std::function<void()> callback) = 0;
    [[nodiscard]] virtual bool closed() const = 0;
    // The daemon drains: long answers should end soon, with what is complete. At most once.
    virtual void on_drain(std::function<void()> callback) = 0;

    // From any thread: run this on the strand (inline if this thread is on it already).
    virtual void post(std::function<void()> work) = 0;
    // The same for what may wait until others had their turn: news for one of many readers.
    virtual void post_late(std::function<void()> work) = 0;
    // Run work on a thread that may block, then `then` on the strand. Where several wait for a
    // thread the lowest order comes first; it is 0 for all but long reads: see work_queue.h.
    virtual void run_blocking(std::uint64_t order, std::function<void()> work,
                              std::function<void()> then) = 0;
    void run_blocking(std::function<void()> work, std::function<void()> then) {
        run_blocking(0, std::move(work), std::move(then));
    }
    // One timer an exchange; a new call replaces the old one. Zero cancels.
    virtual void set_timer(std::chrono::milliseconds after, std::function<void()> callback) = 0;
};

class Handler {
public:
    virtual ~Handler() = default;
    // Every request that passed the server's own checks. Must answer sooner or later.
    virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;
};

// Code to HTTP as application/problem+json (RFC 9457). `extra` is JSON members, such as
// "violations":[…], without braces; may be empty.
[[nodiscard]] Response problem(const Error& error, std::string_view extra = {});
[[nodiscard]] Response problem(int status, const Error& error, std::string_view extra = {});

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_EXCHANGE_H
