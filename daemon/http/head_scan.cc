#include "daemon/http/head_scan.h"

#include <cstring>

namespace klog::http {

void HeadScanner::reset() {
    begin_ = line_ = scanned_ = fields_begin_ = fields_ = 0;
    started_ = false;
    failure_ = {};
}

HeadScanner::State HeadScanner::fail(int status, Code code, const char* message, const char* hint) {
    failure_ = HeadFailure{status, Error{code, message, hint}};
    return State::failed;
}

HeadScanner::State HeadScanner::check_limits(std::size_t size) {
    if (!started_) {
        if (size - begin_ > limits_.start_line_bytes_max) {
            return fail(414, Code::bad_request, "the request's target is too long",
                        "send what it says in an envelope: POST /v1/records?envelope=true");
        }
    } else if (size - fields_begin_ > limits_.field_bytes_max) {
        return fail(431, Code::bad_request, "the header fields are too large together");
    }
    return State::more;
}

// line: without its CR LF. line_ already stands behind it.
HeadScanner::State HeadScanner::take_line(std::string_view line) {
    if (std::memchr(line.data(), '\0', line.size()) != nullptr) {
        return fail(400, Code::bad_request, "there is a NUL in the head");
    }
    if (!started_) {
        if (line.empty()) {
            // Some old clients send an empty line behind a body (RFC 9112, 2.2).
            if (begin_ != 0) return fail(400, Code::bad_request, "the start line is missing");
            begin_ = line_;
            return State::more;
        }
        started_ = true;
        fields_begin_ = line_;
        return State::more;
    }
    if (line.empty()) return State::done;
    if (line.front() == ' ' || line.front() == '\t') {
        return fail(400, Code::bad_request, "a header field is folded over two lines");
    }
    if (++fields_ > limits_.fields_max) {
        return fail(431, Code::bad_request, "there are too many header fields");
    }
    return State::more;
}

HeadScanner::State HeadScanner::scan(std::string_view bytes) {
    for (;;) {
        const void* found = bytes.size() > scanned_ ? std::memchr(bytes.data() + scanned_, '\n',
                                                                  bytes.size() - scanned_)
                                                    : nullptr;
        if (found == nullptr) break;
        const auto feed = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
        if (feed == line_ || bytes[feed - 1] != '\r') {
            return fail(400, Code::bad_request, "a line ends with a bare line feed");
        }
        // Limits first: a head that is too large is answered so, whatever else is in it.
        if (check_limits(feed + 1) == State::failed) return State::failed;
        const std::string_view line = bytes.substr(line_, feed - 1 - line_);
        line_ = scanned_ = feed + 1;
        if (const State state = take_line(line); state != State::more) return state;
    }
    if (bytes.size() > scanned_ &&
        std::memchr(bytes.data() + scanned_, '\0', bytes.size() - scanned_) != nullptr) {
        return fail(400, Code::bad_request, "there is a NUL in the head");
    }
    scanned_ = bytes.size();
    return check_limits(bytes.size());
}

}  // namespace klog::http
