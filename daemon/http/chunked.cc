#include "daemon/http/chunked.h"

#include <algorithm>
#include <cstring>

namespace klog::http {
namespace {

// 60 bits: far above any body, and no sum of it with another size can overflow.
constexpr unsigned kSizeDigitsMax = 15;

Error broken(const char* what) {
    return Error{Code::bad_request, std::string("the chunked body is broken: ") + what, ""};
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

}  // namespace

Result<ChunkDecoder::Step> ChunkDecoder::decode(const char* in, std::size_t size, char* out) {
    Step step;
    while (step.consumed < size && state_ != State::done) {
        if (state_ != State::data) {
            KLOG_TRY(take_framing(in[step.consumed]));
            ++step.consumed;
            continue;
        }
        const auto take = static_cast<std::size_t>(
            std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(size - step.consumed)));
        std::memmove(out + step.produced, in + step.consumed, take);
        step.consumed += take;
        step.produced += take;
        left_ -= take;
        if (left_ == 0) state_ = State::data_return;
    }
    return step;
}

void ChunkDecoder::end_size_line() { state_ = left_ == 0 ? State::trailer_first : State::data; }

Status ChunkDecoder::take_framing(char c) {
    switch (state_) {
        case State::size_first:
        case State::size:
        case State::extension:
            return take_size(c);
        case State::size_feed:
            if (c != '\n') return broken("a size line does not end with CR LF");
            end_size_line();
            return {};
        case State::data_return:
            if (c != '\r') return broken("a chunk is longer than its size says");
            state_ = State::data_feed;
            return {};
        case State::data_feed:
            if (c != '\n') return broken("a chunk does not end with CR LF");
            state_ = State::size_first;
            return {};
        default:
            return take_trailer(c);
    }
}

Status ChunkDecoder::take_size(char c) {
    if (state_ == State::size_first) {
        left_ = 0;
        digits_ = 0;
        line_bytes_ = 0;
        if (hex_value(c) < 0) return broken("a chunk begins without a size");
        state_ = State::size;
    }
    if (++line_bytes_ > kSizeLineBytesMax) return broken("a size line is too long");
    if (c == '\r') {
        state_ = State::size_feed;
        return {};
    }
    if (state_ == State::extension) {
        if (is_control(c)) return broken("there is a control character in an extension");
        return {};
    }
    if (const int value = hex_value(c); value >= 0) {
        if (++digits_ > kSizeDigitsMax) return broken("a chunk's size is too large");
        left_ = left_ * 16 + static_cast<std::uint64_t>(value);
        return {};
    }
    // A blank before the extension is bad white space that RFC 9112 asks to be accepted.
    if (c != ';' && c != ' ' && c != '\t') return broken("a chunk's size is no hexadecimal number");
    state_ = State::extension;
    return {};
}

Status ChunkDecoder::take_trailer(char c) {
    if (++trailer_bytes_ > kTrailerBytesMax) return broken("its trailers are too large");
    switch (state_) {
        case State::trailer_first:
            if (c == '\r') {
                state_ = State::end_feed;
                return {};
            }
            if (c == ' ' || c == '\t' || is_control(c)) return broken("a trailer begins badly");
            state_ = State::trailer;
            return {};
        case State::trailer:
            if (c == '\r') {
                state_ = State::trailer_feed;
                return {};
            }
            if (is_control(c)) return broken("there is a control character in a trailer");
            return {};
        case State::trailer_feed:
            if (c != '\n') return broken("a trailer does not end with CR LF");
            state_ = State::trailer_first;
            return {};
        default:
            if (c != '\n') return broken("it does not end with CR LF");
            state_ = State::done;
            return {};
    }
}

}  // namespace klog::http
