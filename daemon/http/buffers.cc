#include "daemon/http/buffers.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace klog::http {
namespace {

// Pieces of one sendmsg(2).
constexpr std::size_t kPiecesMax = 64;
// Small strings are copied together up to this size: a piece costs more than the copy.
constexpr std::size_t kGatherBytesMax = 64 * 1024;
constexpr std::size_t kSmallBytes = 4 * 1024;

// Buffers of the usual size that this thread's connections gave back: a connection that waits has
// none, and one that has something to read needs it for a moment.
constexpr std::size_t kUsualBytes = 8 * 1024;
constexpr std::size_t kKeptBuffersMax = 8;
using Buffer = std::unique_ptr<char[]>;  // NOLINT(modernize-avoid-c-arrays)

std::vector<Buffer>& kept_buffers() {
    thread_local std::vector<Buffer> kept;
    return kept;
}

Buffer make_buffer(std::size_t bytes) {
    auto& kept = kept_buffers();
    if (bytes != kUsualBytes || kept.empty()) {
        return std::make_unique_for_overwrite<char[]>(bytes);  // NOLINT
    }
    Buffer buffer = std::move(kept.back());
    kept.pop_back();
    return buffer;
}

void gather(Fifo<std::string>& queue, std::string bytes) {
    if (bytes.empty()) return;
    if (!queue.empty() && bytes.size() <= kSmallBytes &&
        queue.back().size() + bytes.size() <= kGatherBytesMax) {
        queue.back() += bytes;
    } else {
        queue.push_back(std::move(bytes));
    }
}

}  // namespace

Received receive(int fd, char* to, std::size_t room, std::size_t& size) {
    size = 0;
    for (;;) {
        const ssize_t got = ::recv(fd, to, room, MSG_DONTWAIT);
        if (got > 0) {
            size = static_cast<std::size_t>(got);
            return Received::bytes;
        }
        if (got == 0) return Received::end;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? Received::blocked : Received::broken;
    }
}

void InBuffer::consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
}

void InBuffer::make_room(std::size_t bytes) {
    if (capacity_ - end_ >= bytes) return;
    const std::size_t used = size();
    if (capacity_ - used >= bytes) {
        std::memmove(data_.get(), data_.get() + begin_, used);
    } else {
        const std::size_t capacity = std::max({used + bytes, 2 * capacity_, kUsualBytes});
        Buffer larger = make_buffer(capacity);
        if (used > 0) std::memcpy(larger.get(), data_.get() + begin_, used);
        data_ = std::move(larger);
        capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
}

void InBuffer::append(std::string_view bytes) {
    if (bytes.empty()) return;
    make_room(bytes.size());
    std::memcpy(data_.get() + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
}

Received InBuffer::receive_some(int fd, std::size_t wanted, std::size_t& size) {
    make_room(wanted);
    const Received received = receive(fd, data_.get() + end_, wanted, size);
    end_ += size;
    return received;
}

void InBuffer::release_if_empty() {
    if (!empty() || data_ == nullptr) return;
    auto& kept = kept_buffers();
    if (capacity_ == kUsualBytes && kept.size() < kKeptBuffersMax) kept.push_back(std::move(data_));
    data_.reset();
    capacity_ = begin_ = end_ = 0;
}

void BodySource::set_length(std::uint64_t bytes) {
    kind_ = bytes == 0 ? Kind::none : Kind::length;
    left_ = bytes;
}

void BodySource::set_chunked() {
    kind_ = Kind::chunked;
    decoder_ = ChunkDecoder();
}

bool BodySource::done() const {
    switch (kind_) {
        case Kind::length:
            return left_ == 0;
        case Kind::chunked:
            return decoder_.done();
        default:
            return true;
    }
}

std::size_t BodySource::ask(std::size_t wanted) const {
    if (kind_ != Kind::length) return wanted;
    return static_cast<std::size_t>(std::min<std::uint64_t>(left_, wanted));
}

Result<ChunkDecoder::Step> BodySource::take(char* data, std::size_t size) {
    if (kind_ == Kind::chunked) return decoder_.decode(data, size, data);
    const std::size_t bytes = kind_ == Kind::length ? ask(size) : 0;
    left_ -= bytes;
    return ChunkDecoder::Step{bytes, bytes};
}

void OutQueue::add(std::string bytes) {
    unsent_ += bytes.size();
    if (!bytes.empty()) wire_.push_back(std::move(bytes));
}

void OutQueue::begin_body(bool chunked) { chunked_ = chunked; }

void OutQueue::add_body(std::string bytes) {
    unsent_ += bytes.size();
    body_bytes_ += bytes.size();
    gather(body_, std::move(bytes));
}

void OutQueue::end_body() { ending_ = true; }

void OutQueue::frame_body() {
    const bool any = !body_.empty();
    if (any && chunked_) {
        std::array<char, 24> head{};
        const int size = std::snprintf(head.data(), head.size(), "%zx\r\n", body_bytes_);
        std::string line(head.data(), static_cast<std::size_t>(size));
        // A short body travels in one piece with its framing.
        if (body_.size() == 1 && body_.front().size() <= kSmallBytes) {
            line += body_.front();
            body_.pop_front();
        }
        unsent_ += static_cast<std::size_t>(size);
        wire_.push_back(std::move(line));
    }
    for (std::string& piece : body_) wire_.push_back(std::move(piece));
    body_.clear();
    body_bytes_ = 0;
    if (chunked_) {
        std::string tail = any ? "\r\n" : "";
        if (ending_) tail += "0\r\n\r\n";
        unsent_ += tail.size();
        if (!wire_.empty() && wire_.back().size() <= kSmallBytes) {
            wire_.back() += tail;
        } else if (!tail.empty()) {
            wire_.push_back(std::move(tail));
        }
    }
    ending_ = false;
}

void OutQueue::take_sent(std::size_t bytes) {
    unsent_ -= bytes;
    while (bytes > 0) {
        const std::size_t left = wire_.front().size() - wire_begin_;
        if (bytes < left) {
            wire_begin_ += bytes;
            return;
        }
        bytes -= left;
        wire_begin_ = 0;
        wire_.pop_front();
    }
}

OutQueue::Sent OutQueue::send(int fd, std::size_t& sent) {
    sent = 0;
    for (;;) {
        if (!body_.empty() || ending_) frame_body();
        if (wire_.empty()) return Sent::all;
        std::array<iovec, kPiecesMax> pieces{};
        std::size_t count = 0;
        std::size_t skip = wire_begin_;
        for (std::string& piece : wire_) {
            if (count == kPiecesMax) break;
            pieces[count++] = iovec{piece.data() + skip, piece.size() - skip};
            skip = 0;
        }
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = count;
        const ssize_t took = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (took < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? Sent::blocked : Sent::broken;
        }
        sent += static_cast<std::size_t>(took);
        take_sent(static_cast<std::size_t>(took));
    }
}

void OutQueue::clear() { *this = OutQueue(); }

}  // namespace klog::http
