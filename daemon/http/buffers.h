// What a connection keeps of bytes: those that came and are not used yet, those that go out and
// are not taken yet, and how a request's body is cut out of the former. No Asio here.
#ifndef KLOG_DAEMON_HTTP_BUFFERS_H
#define KLOG_DAEMON_HTTP_BUFFERS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fifo.h"
#include "daemon/http/chunked.h"
#include "klog/result.h"

namespace klog::http {

enum class Received { bytes, blocked, end, broken };

// recv(2) without waiting. size gets how many bytes came.
[[nodiscard]] Received receive(int fd, char* to, std::size_t room, std::size_t& size);

// Bytes that came and wait to be used. Costs nothing while empty and released.
class InBuffer {
public:
    [[nodiscard]] std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
    [[nodiscard]] char* data() { return data_.get() + begin_; }
    [[nodiscard]] std::size_t size() const { return end_ - begin_; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }
    void consume(std::size_t bytes);
    void append(std::string_view bytes);
    // Receives once, into at least 1 and about `wanted` bytes of room.
    [[nodiscard]] Received receive_some(int fd, std::size_t wanted, std::size_t& size);
    // Gives the memory back if nothing is in it.
    void release_if_empty();

private:
    void make_room(std::size_t bytes);

    std::unique_ptr<char[]> data_;  // NOLINT(modernize-avoid-c-arrays)
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// How a request's body is framed, and how much of it was taken.
class BodySource {
public:
    void set_none() { kind_ = Kind::none; }
    void set_length(std::uint64_t bytes);
    void set_chunked();

    [[nodiscard]] bool done() const;
    // Bytes worth asking the socket for, at most `wanted`: with a stated length none beyond it.
    [[nodiscard]] std::size_t ask(std::size_t wanted) const;
    // How much is known to come still; 0 where nobody can say.
    [[nodiscard]] std::uint64_t left() const { return kind_ == Kind::length ? left_ : 0; }
    // Decodes in place. Errors: bad_request.
    Result<ChunkDecoder::Step> take(char* data, std::size_t size);

private:
    enum class Kind : std::uint8_t { none, length, chunked };
    Kind kind_ = Kind::none;
    std::uint64_t left_ = 0;
    ChunkDecoder decoder_;
};

// Bytes that go out. What is streamed between two sends becomes one chunk, sent with one call.
class OutQueue {
public:
    enum class Sent { all, blocked, broken };

    // Goes out as it stands.
    void add(std::string bytes);
    // From here on add_body writes a body, chunked or (HTTP/1.0) bare.
    void begin_body(bool chunked);
    void add_body(std::string bytes);
    void end_body();

    [[nodiscard]] bool empty() const { return wire_.empty() && body_.empty() && !ending_; }
    [[nodiscard]] std::size_t unsent() const { return unsent_; }
    // sendmsg(2) without waiting, until all is taken or the socket takes no more. sent gets how
    // many bytes it took.
    [[nodiscard]] Sent send(int fd, std::size_t& sent);
    void clear();

private:
    void frame_body();
    void take_sent(std::size_t bytes);

    Fifo<std::string> wire_;      // framed
    Fifo<std::string> body_;      // streamed and not framed yet
    std::size_t wire_begin_ = 0;  // taken of wire_.front()
    std::size_t body_bytes_ = 0;
    std::size_t unsent_ = 0;
    bool chunked_ = false;
    bool ending_ = false;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_BUFFERS_H
