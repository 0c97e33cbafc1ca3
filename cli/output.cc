#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace klog::cli {
namespace {

// False with errno set when it failed.
bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
        if (wrote < 0) {
            if (errno == EINTR) continue;
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

void write_error_stream(std::string_view bytes) {
    // Where stderr is gone there is nobody left to tell.
    static_cast<void>(write_all(STDERR_FILENO, bytes));
}

void complain(std::string_view code, std::string_view message, std::string_view hint) {
    std::string text = "klog: ";
    text.append(code).append(": ").append(message).append("\n");
    if (!hint.empty()) text.append("hint: ").append(hint).append("\n");
    write_error_stream(text);
}

void notice(std::string_view message) {
    std::string text = "klog: ";
    text.append(message).append("\n");
    write_error_stream(text);
}

Result<bool> Output::flush() {
    if (buffer_.empty()) return true;
    const bool wrote = write_all(STDOUT_FILENO, buffer_);
    const int problem = errno;
    buffer_.clear();
    if (wrote) return true;
    if (problem == EPIPE) return false;
    return Error{Code::io, std::string("standard output: ") + std::strerror(problem), ""};
}

}  // namespace klog::cli
