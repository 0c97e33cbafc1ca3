// Standard output and standard error.
#ifndef KLOG_CLI_OUTPUT_H
#define KLOG_CLI_OUTPUT_H

#include <cstddef>
#include <string>
#include <string_view>

#include "klog/result.h"

namespace klog::cli {

[[nodiscard]] bool is_terminal(int fd);

// Prints "klog: CODE: message" and, unless it is empty, "hint: …" on stderr.
void complain(std::string_view code, std::string_view message, std::string_view hint);
// A line on stderr that is no error: "klog: message".
void notice(std::string_view message);
// Bytes on stderr as they are (progress).
void write_error_stream(std::string_view bytes);

// What goes to stdout, gathered until it is flushed. Not thread-safe.
class Output {
public:
    // Flush when this much is gathered; a caller asks with full().
    static constexpr std::size_t kBytesWanted = 256U << 10U;

    void append(std::string_view text) { buffer_.append(text); }
    [[nodiscard]] std::string& buffer() { return buffer_; }
    [[nodiscard]] bool full() const { return buffer_.size() >= kBytesWanted; }

    // Writes all of it. False: nobody reads stdout any more (a closed pipe), which is a quiet
    // success. Errors: io. Precondition for false: SIGPIPE is ignored.
    [[nodiscard]] Result<bool> flush();

private:
    std::string buffer_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_OUTPUT_H
