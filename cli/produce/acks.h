// The answer to a stream of lines, read on a thread of its own.
#ifndef KLOG_CLI_PRODUCE_ACKS_H
#define KLOG_CLI_PRODUCE_ACKS_H

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "cli/lines.h"
#include "cli/output.h"
#include "cli/request.h"
#include "klog/result.h"

namespace klog::cli {

// A line that was refused.
struct LineProblem {
    std::uint64_t line = 0;
    Problem problem;
};

// What is known of a whole run, over all of its connections. Lines count over all of the input.
struct Tally {
    std::uint64_t answered = 0;  // all lines up to this one are
    std::uint64_t written = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t refused = 0;
    std::uint64_t first_seq = 0;
    std::uint64_t last_seq = 0;
    std::optional<LineProblem> first_refused;
    // This line was not taken for now (the daemon stops, its disk is full …): send it again.
    std::optional<LineProblem> put_off;
    // When the daemon last took something.
    std::chrono::steady_clock::time_point progress;
};

// Reads acks as they come and tells the main thread through a descriptor. Made for one run; one
// connection at a time.
class AckReader {
public:
    // silent: sent lines were not answered for the time that was given.
    enum class State { idle, reading, finished, lost, refused, silent };

    // skip: --on-error skip. print: acks go to stdout. wait: how long sent lines may stay
    // unanswered.
    AckReader(bool skip, bool print, std::chrono::milliseconds wait)
        : skip_(skip), print_(print), wait_(wait) {}
    ~AckReader();
    AckReader(const AckReader&) = delete;
    AckReader& operator=(const AckReader&) = delete;

    // Errors: io.
    Status open();
    // Starts to read a client's answer, whose line 1 is first_line of the input. The client must
    // outlive stop().
    void start(http::Client& client, std::uint64_t first_line);
    // Ends the reading; the client's connection is of no use afterwards.
    void stop();
    // From any thread: the daemon's answer is waited for no longer.
    void interrupt() const;
    // Lines are being sent; all that was sent is answered.
    void note_sent();
    void note_nothing_sent();

    // Readable when something changed since calm().
    [[nodiscard]] int descriptor() const { return event_fd_; }
    void calm() const;
    [[nodiscard]] State state() const;
    [[nodiscard]] Tally tally() const;
    // Where the daemon refused the stream as a whole: status and problem document.
    [[nodiscard]] std::pair<int, std::string> refusal() const;

private:
    void read_all();
    [[nodiscard]] bool silent_too_long() const;
    [[nodiscard]] State read_lines();
    void set_state(State state);
    [[nodiscard]] bool take(std::string_view chunk);
    bool take_line(std::string_view line);
    void note_written(std::uint64_t line, int status, std::string_view ack);
    bool note_refused(LineProblem found);
    void refuse(const LineProblem& found);
    void print(std::uint64_t line, std::string_view ack);
    void flush();
    void raise() const;

    const bool skip_;
    bool print_;
    const std::chrono::milliseconds wait_;
    int event_fd_ = -1;
    http::Client* client_ = nullptr;
    std::uint64_t offset_ = 0;
    LineSplitter lines_;
    Output out_;
    std::uint64_t complaints_ = 0;

    mutable std::mutex mutex_;
    std::chrono::steady_clock::time_point came_;  // the newest piece; guarded by mutex_
    Tally tally_;                                 // guarded by mutex_
    State state_ = State::idle;                   // guarded by mutex_
    std::optional<std::chrono::steady_clock::time_point> sent_;  // guarded by mutex_
    int refusal_status_ = 0;                                     // guarded by mutex_
    std::string refusal_body_;                                   // guarded by mutex_
    std::jthread thread_;
};

// What an ack line says, read with no more work than its fixed form needs.
struct AckLine {
    std::uint64_t line = 0;
    int status = 0;
    std::size_t rest = 0;  // where the text behind the status begins
};
[[nodiscard]] std::optional<AckLine> parse_ack(std::string_view text);

}  // namespace klog::cli

#endif  // KLOG_CLI_PRODUCE_ACKS_H
