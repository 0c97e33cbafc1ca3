// What one request needs that is sent until its outcome is known.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/produce/produce.h"

namespace klog::cli {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;

}  // namespace

Result<std::string> read_input(const Error& too_long) {
    std::string bytes;
    while (true) {
        const std::size_t before = bytes.size();
        bytes.resize(before + kReadBytes);
        const ssize_t got = ::read(STDIN_FILENO, bytes.data() + before, kReadBytes);
        if (got < 0) {
            bytes.resize(before);
            if (errno == EINTR) continue;
            return Error{Code::io, std::string("standard input: ") + std::strerror(errno), ""};
        }
        bytes.resize(before + static_cast<std::size_t>(got));
        if (got == 0) return bytes;
        if (bytes.size() > kInputBytesMax) return too_long;
    }
}

bool leaves_open(int status, bool sent_before) {
    constexpr int kServerFailed = 500;
    if (status == code_info(Code::outcome_unknown).http_status) return true;
    return sent_before &&
           (status >= kServerFailed || status == code_info(Code::timeout).http_status ||
            status == code_info(Code::backpressure).http_status);
}

Result<Answer> ask_until_settled(const Context& context, const http::ClientRequest& request,
                                 bool repeatable,
                                 const std::function<int(const Answer&)>& status_of,
                                 const Error& unknown) {
    const auto deadline =
        std::chrono::steady_clock::now() + context.timeout().value_or(kProduceWait);
    auto backoff = kBackoffMin;
    bool sent = false;
    while (true) {
        auto answer = ask(context, request);
        const Code code = answer ? Code::bug : answer.error().code;
        const bool unsettled = answer ? leaves_open(status_of(*answer), sent)
                                      : code == Code::outcome_unknown || code == Code::timeout ||
                                            (sent && code == Code::unreachable);
        if (!unsettled) return answer;
        sent = true;
        if (!repeatable || std::chrono::steady_clock::now() + backoff >= deadline) {
            if (answer && !repeatable) return answer;
            return unknown;
        }
        ::poll(nullptr, 0, static_cast<int>(backoff.count()));
        backoff = std::min(backoff * 2, kBackoffMax);
    }
}

}  // namespace klog::cli
