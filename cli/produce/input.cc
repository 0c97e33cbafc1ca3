#include "cli/produce/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "cli/produce/produce.h"

namespace klog::cli {
namespace {

constexpr int kPipeBytes = 1 << 20;

// Where the line behind `from` lines begins.
std::size_t skip_lines(std::string_view bytes, std::uint64_t lines) {
    std::size_t at = 0;
    for (; lines > 0; --lines) at = bytes.find('\n', at) + 1;
    return at;
}

// How many lines at the end hold nothing but white space.
std::uint64_t blank_lines_at_end(std::string_view bytes) {
    std::uint64_t blank = 0;
    for (std::size_t at = bytes.size(); at > 0; --at) {
        const char c = bytes[at - 1];
        if (c != '\n' && c != ' ' && c != '\t' && c != '\r') break;
        if (c == '\n') ++blank;
    }
    // The last line's own line feed was counted, unless no line holds anything.
    const bool any = bytes.find_first_not_of(" \t\r\n") != std::string_view::npos;
    return any ? blank - 1 : blank;
}

}  // namespace

void Window::push(Block block) {
    bytes_ += block.bytes.size();
    lines_ += block.lines;
    blocks_.push_back(std::move(block));
}

void Window::drop(std::uint64_t line) {
    while (!blocks_.empty() && blocks_.front().last_line() <= line) {
        bytes_ -= blocks_.front().bytes.size();
        lines_ -= blocks_.front().lines;
        blocks_.pop_front();
        if (next_ > 0) --next_;
    }
}

const Block* Window::next() const { return next_ < blocks_.size() ? &blocks_[next_] : nullptr; }

void Window::rewind(std::uint64_t answered) {
    next_ = 0;
    drop(answered);
    if (blocks_.empty() || blocks_.front().first_line > answered) return;
    Block& front = blocks_.front();
    const std::uint64_t gone = answered + 1 - front.first_line;
    const std::size_t cut = skip_lines(front.bytes, gone);
    front.bytes.erase(0, cut);
    front.first_line += gone;
    front.lines -= gone;
    bytes_ -= cut;
    lines_ -= gone;
}

Input::Input() {
    // A larger pipe means fewer, larger reads; where it is no pipe, or not allowed, nothing is
    // lost.
    static_cast<void>(::fcntl(STDIN_FILENO, F_SETPIPE_SZ, kPipeBytes));
}

Status Input::read(Window& window) {
    const std::size_t before = rest_.size();
    std::string bytes = std::move(rest_);
    rest_.clear();
    bytes.resize(before + kReadBytes);
    const ssize_t got = ::read(STDIN_FILENO, bytes.data() + before, kReadBytes);
    if (got < 0) {
        bytes.resize(before);
        rest_ = std::move(bytes);
        if (errno == EINTR || errno == EAGAIN) return {};
        return Error{Code::io, std::string("standard input: ") + std::strerror(errno), ""};
    }
    bytes.resize(before + static_cast<std::size_t>(got));
    if (got == 0) {
        at_end_ = true;
        if (!bytes.empty()) cut(std::move(bytes) + "\n", window);
        return {};
    }
    const std::size_t end = std::string_view(bytes).substr(before).rfind('\n');
    if (end == std::string_view::npos) {
        if (bytes.size() > kInputBytesMax) {
            return Error{Code::value_too_large,
                         "line " + std::to_string(lines_ + 1) + " is longer than any record", ""};
        }
        rest_ = std::move(bytes);
        return {};
    }
    rest_.assign(bytes, before + end + 1);
    bytes.resize(before + end + 1);
    cut(std::move(bytes), window);
    return {};
}

void Input::cut(std::string bytes, Window& window) {
    Block block;
    block.first_line = lines_ + 1;
    std::size_t start = 0;
    const auto push = [&](std::string part) {
        lines_ += block.lines;
        const std::uint64_t blank = blank_lines_at_end(part);
        if (blank < block.lines) last_with_text_ = lines_ - blank;
        block.bytes = std::move(part);
        window.push(std::move(block));
        block = Block{};
        block.first_line = lines_ + 1;
    };
    for (std::size_t at = 0; at < bytes.size();) {
        at = bytes.find('\n', at) + 1;  // there is one: the last byte
        ++block.lines;
        if (block.lines == kBlockLinesMax && at < bytes.size()) {
            push(bytes.substr(start, at - start));
            start = at;
        }
    }
    push(start == 0 ? std::move(bytes) : bytes.substr(start));
}

}  // namespace klog::cli
