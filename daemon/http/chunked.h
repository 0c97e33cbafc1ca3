// The chunked transfer coding, decoded as it arrives. Extensions and trailers are checked for form
// and dropped.
#ifndef KLOG_DAEMON_HTTP_CHUNKED_H
#define KLOG_DAEMON_HTTP_CHUNKED_H

#include <cstddef>
#include <cstdint>

#include "klog/result.h"

namespace klog::http {

class ChunkDecoder {
public:
    // A chunk's size line with its extensions, and all trailers together.
    static constexpr std::size_t kSizeLineBytesMax = 4096;
    static constexpr std::size_t kTrailerBytesMax = 16 * 1024;

    struct Step {
        std::size_t consumed = 0;
        std::size_t produced = 0;
    };

    // Decodes size bytes at in to out, of which there are never more; out may be in itself. Takes
    // all of it, unless the body ends before. Errors: bad_request.
    Result<Step> decode(const char* in, std::size_t size, char* out);
    // The last chunk and the trailers were taken.
    [[nodiscard]] bool done() const { return state_ == State::done; }

private:
    enum class State : std::uint8_t {
        size_first,
        size,
        extension,
        size_feed,
        data,
        data_return,
        data_feed,
        trailer_first,
        trailer,
        trailer_feed,
        end_feed,
        done,
    };
    Status take_framing(char c);
    Status take_size(char c);
    Status take_trailer(char c);
    void end_size_line();

    State state_ = State::size_first;
    std::uint64_t left_ = 0;  // of the chunk; while its size is read, that size
    unsigned digits_ = 0;
    std::size_t line_bytes_ = 0;
    std::size_t trailer_bytes_ = 0;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_CHUNKED_H
