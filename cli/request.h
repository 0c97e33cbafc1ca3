// One question to the daemon and its answer, and what problem documents become.
#ifndef KLOG_CLI_REQUEST_H
#define KLOG_CLI_REQUEST_H

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "cli/context.h"
#include "daemon/http/client.h"
#include "klog/result.h"

namespace klog::cli {

// How long an answer may take unless --timeout says otherwise.
inline constexpr std::chrono::milliseconds kAnswerWait{30'000};
// How long connecting may take.
inline constexpr std::chrono::milliseconds kConnectWait{5'000};
// A problem document larger than this is none.
inline constexpr std::size_t kProblemBytesMax = 1U << 20U;
// One record of 64 MiB in base64, with its topic, key and headers.
inline constexpr std::size_t kAnswerBytesMax = 128U << 20U;

// A path and query under construction.
class Target {
public:
    explicit Target(std::string path) : text_(std::move(path)) {}
    // Appends "/segment", encoded.
    Target& segment(std::string_view text);
    Target& add(std::string_view name, std::string_view value);
    // Nothing where the value is empty.
    Target& add_given(std::string_view name, std::string_view value);
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
    bool query_ = false;
};

// Something a daemon refused: code and exit code by interface.md's tables, so that codes newer
// than this client keep their meaning.
struct Problem {
    std::string code;
    std::string message;
    std::string hint;
    int exit = 0;
};

// What a status and its problem document (or an ack line) say.
[[nodiscard]] Problem read_problem(int status, std::string_view document);
// Prints it and gives the exit code.
int report(const Problem& problem);

[[nodiscard]] http::ClientRequest make_request(const Context& context, std::string method,
                                               std::string target);

// Errors: unreachable, with `klog daemon` as its hint; usage for a bad URL.
[[nodiscard]] Result<std::unique_ptr<http::Client>> dial(const Context& context);

struct Answer {
    int status = 0;
    std::string content_type;
    std::string body;
    [[nodiscard]] bool good() const { return status >= 200 && status < 300; }
    [[nodiscard]] Problem problem() const { return read_problem(status, body); }
};

// A read has no outcome that could be unknown: where its connection broke, the daemon is gone.
[[nodiscard]] Error read_error(Error error);

// Errors: unreachable, timeout, not_klog; outcome_unknown if the connection broke after sending.
[[nodiscard]] Result<Answer> ask(const Context& context, const http::ClientRequest& request);
// A read. Errors: as read_error().
[[nodiscard]] Result<Answer> ask(const Context& context, const Target& target);

}  // namespace klog::cli

#endif  // KLOG_CLI_REQUEST_H
