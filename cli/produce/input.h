// Standard input as blocks of whole lines, and the window of those that are not acknowledged.
#ifndef KLOG_CLI_PRODUCE_INPUT_H
#define KLOG_CLI_PRODUCE_INPUT_H

#include <cstdint>
#include <deque>
#include <string>

#include "klog/result.h"

namespace klog::cli {

// Some whole lines, each with its line feed.
struct Block {
    std::string bytes;
    std::uint64_t first_line = 1;  // counted from 1 over all of the input
    std::uint64_t lines = 0;
    [[nodiscard]] std::uint64_t last_line() const { return first_line + lines - 1; }
};

// Lines that may have to be sent again. Blocks go in at the back, and out at the front once all of
// their lines are answered; `next` walks from front to back as they are sent. Not thread-safe.
class Window {
public:
    // Unanswered input that is kept. A longer line stands in the window alone.
    static constexpr std::size_t kBytesMax = 8U << 20U;
    static constexpr std::uint64_t kLinesMax = 65'536;

    [[nodiscard]] bool has_room() const {
        return blocks_.empty() || (bytes_ < kBytesMax && lines_ < kLinesMax);
    }
    [[nodiscard]] bool empty() const { return blocks_.empty(); }
    void push(Block block);
    // Drops what is answered up to this line.
    void drop(std::uint64_t line);
    // The next block to send; null if all are sent. sent() moves on.
    [[nodiscard]] const Block* next() const;
    void sent() { ++next_; }
    // The last line that was sent on this connection, as long as its block is here; else 0.
    [[nodiscard]] std::uint64_t sent_to() const {
        return next_ == 0 ? 0 : blocks_[next_ - 1].last_line();
    }
    // Begins again with the line behind `answered`: nothing counts as sent.
    void rewind(std::uint64_t answered);

private:
    std::deque<Block> blocks_;
    std::size_t next_ = 0;
    std::size_t bytes_ = 0;
    std::uint64_t lines_ = 0;
};

// Reads standard input. Not thread-safe.
class Input {
public:
    static constexpr std::size_t kReadBytes = 256U << 10U;
    // So that a block of very short lines does not overrun the window.
    static constexpr std::uint64_t kBlockLinesMax = 8'192;

    Input();
    // Reads once (which blocks unless poll(2) said that there is something) and pushes the lines
    // that are complete. Errors: io, value_too_large (a line without end).
    Status read(Window& window);
    [[nodiscard]] bool at_end() const { return at_end_; }
    [[nodiscard]] std::uint64_t lines() const { return lines_; }
    // The last line that holds anything but white space; the daemon skips empty ones silently.
    [[nodiscard]] std::uint64_t last_line_with_text() const { return last_with_text_; }

private:
    void cut(std::string bytes, Window& window);

    std::string rest_;
    std::uint64_t lines_ = 0;
    std::uint64_t last_with_text_ = 0;
    bool at_end_ = false;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_PRODUCE_INPUT_H
