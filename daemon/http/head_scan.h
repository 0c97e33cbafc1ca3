// Finds the end of a message's head, strictly: every line ends with CR LF, no line is folded, no
// NUL anywhere, and each limit is seen while bytes arrive, not behind them. What is found here is
// whole and of limited size; head_parse.h reads its grammar.
#ifndef KLOG_DAEMON_HTTP_HEAD_SCAN_H
#define KLOG_DAEMON_HTTP_HEAD_SCAN_H

#include <cstddef>
#include <string_view>

#include "klog/result.h"

namespace klog::http {

// A refusal with the status that answers it.
struct HeadFailure {
    int status = 400;
    Error error;
};

struct HeadLimits {
    std::size_t start_line_bytes_max = 0;  // 414
    std::size_t field_bytes_max = 0;       // all fields together: 431
    std::size_t fields_max = 0;            // 431
};

class HeadScanner {
public:
    enum class State { more, done, failed };

    explicit HeadScanner(const HeadLimits& limits) : limits_(limits) {}

    // bytes: everything of this message so far; each call may only have more than the one before.
    State scan(std::string_view bytes);
    // After done: where the start line begins (one empty line before it is forgiven) and where the
    // head ends, behind its empty line.
    [[nodiscard]] std::size_t begin() const { return begin_; }
    [[nodiscard]] std::size_t end() const { return line_; }
    // After failed.
    [[nodiscard]] const HeadFailure& failure() const { return failure_; }
    // For the next message.
    void reset();

private:
    State fail(int status, Code code, const char* message, const char* hint = "");
    State take_line(std::string_view line);
    State check_limits(std::size_t size);

    HeadLimits limits_;
    std::size_t begin_ = 0;
    std::size_t line_ = 0;     // where the line that is being read begins
    std::size_t scanned_ = 0;  // no line feed before here is news
    std::size_t fields_begin_ = 0;
    std::size_t fields_ = 0;
    bool started_ = false;  // the start line was seen
    HeadFailure failure_;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_HEAD_SCAN_H
