// `klog tail`: what is asked for, and the run that reads, prints and goes on where it was.
#ifndef KLOG_CLI_TAIL_TAIL_H
#define KLOG_CLI_TAIL_TAIL_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/context.h"
#include "cli/lines.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/signals.h"
#include "cli/tail/acker.h"
#include "cli/tail/cursor_file.h"
#include "daemon/json/record_json.h"
#include "klog/result.h"
#include "segment/batch_decoder.h"

namespace klog::cli {

struct TailOptions {
    std::vector<std::string> filters;
    std::vector<std::string> nots;
    std::string from;  // start, end, SEQ, TIME or AGO; empty: not given
    std::string after;
    std::string last;
    std::string until;
    bool follow_given = false;
    bool no_follow = false;
    std::string limit;
    std::string key;
    std::string cursor_file;
    bool newest_per_key = false;
    std::string as;  // a consumer's name; empty: none
    bool no_ack = false;
    bool take_over = false;
};

// A point in the log as --from and --until name it.
struct Point {
    enum class Kind { seq, time, ago };
    Kind kind = Kind::seq;
    std::uint64_t seq = 0;
    std::int64_t micros = 0;  // time: since 1970; ago: the duration
};
// Errors: bad_option, naming `option`.
[[nodiscard]] Result<Point> parse_point(std::string_view option, const std::string& text);

// --from and --until as they were given, or empty. Errors: bad_option where the first lies after
// the second; equal is fine.
Status check_order(const std::string& from, const std::string& until);

// filter, not and key of a request.
void add_filters(Target& target, const TailOptions& options);

// The newest seq under one filter; of everything where it is empty. Errors: as ask(), and
// what the daemon says.
[[nodiscard]] Result<std::uint64_t> ask_head(const Context& context, const std::string& filter);

// Where a tail starts.
struct Start {
    std::uint64_t cursor = 0;  // a seq that counts as seen
    // Set where the start is a time to come: the cursor alone would start too early.
    std::string from;
    // How far the log went when the start was looked up: there a tail that does not follow ends.
    std::optional<std::uint64_t> read_to;
};
// Finds the cursor of --from, --after and -n (from what is there now), so that everything later,
// a lost connection too, goes on from a seq. Errors: as ask(), and what the daemon says.
[[nodiscard]] Result<Start> find_start(const Context& context, const TailOptions& options,
                                       bool follow);

// --as, --no-ack and --take-over beside the rest. Errors: usage, bad_option.
Status check_consumer_options(const TailOptions& options);
// The position of the consumer --as, which is made where there is none; or what the daemon refused.
[[nodiscard]] Result<std::variant<Problem, Start>> find_consumer(const Context& context,
                                                                 const TailOptions& options);

// Advice on stderr, before anything is read. Never fails a tail.
void advise(const Context& context, const TailOptions& options, const Start& start, bool follow);

// A notice where the log ends before the cursor. Never fails a tail.
void advise_ahead(const Context& context, std::uint64_t cursor, bool follow);

class Tail {
public:
    Tail(Context& context, const TailOptions& options);
    // Gives the exit code. Errors: what ends a tail.
    [[nodiscard]] Result<int> run();

private:
    enum class End { done, lost, closed_pipe };

    Status check_options();
    Status begin();
    Status begin_as_consumer();
    // Everything up to cursor_ was shown and flushed.
    Status keep_position(bool last);
    [[nodiscard]] Result<int> finish(Result<int> code);
    [[nodiscard]] Result<int> read_on();
    // One connection. A refusal is printed, and its exit code is in refused_.
    [[nodiscard]] Result<End> read_once();
    [[nodiscard]] Result<End> read_answer(http::Client& client);
    [[nodiscard]] http::ClientRequest request() const;
    void take_lease(const http::ClientResponse& head);
    // What a worker needs to acknowledge, in the record's own line.
    void add_meta(std::string& line, std::size_t end) const;
    [[nodiscard]] Result<End> take(std::string chunk);
    bool take_line(std::string_view line);
    Status take_frames(std::string chunk);
    Status take_frame(const BatchFrame& frame);
    void show(const RecordView& record);
    void looked_at(std::uint64_t seq);
    [[nodiscard]] Result<End> ended();
    [[nodiscard]] std::string request_target() const;
    // Waits before the next try. False: out of time, or a signal came.
    bool pause();
    // Whether this connection waits for what comes: not before the newest of each key were shown.
    [[nodiscard]] bool waits() const { return follow_ && !newest_; }
    // True: all of the newest were shown, and a tail that follows goes on with what comes.
    [[nodiscard]] bool begin_waiting();
    [[nodiscard]] bool limit_reached() const { return limit_ && shown_ >= *limit_; }
    [[nodiscard]] bool tells() const;

    Context& context_;
    const TailOptions& options_;
    bool follow_ = true;
    bool newest_ = false;  // of what is there, the newest record of each key is asked for
    std::optional<std::uint64_t> limit_;
    std::optional<Point> until_;
    std::optional<std::uint64_t> read_to_;  // where a tail ends that does not wait

    const OutputMode mode_;
    Output out_;
    LinePrinter printer_;
    bool framed_ = false;  // this answer comes in frames; older daemons know lines alone
    std::optional<BatchDecoder> frames_;
    LineSplitter lines_;
    std::string line_;  // a record that is printed otherwise than it comes
    json::TimeCache times_;
    CursorFile cursor_file_;
    Acker acker_;
    std::uint64_t lease_ = 0;
    std::string meta_;  // of each record, where a worker acknowledges
    std::uint64_t cursor_ = 0;
    std::string from_;
    std::uint64_t shown_ = 0;
    std::uint64_t shown_seq_ = 0;  // of the last record
    bool caught_up_ = false;       // this answer's last mark came
    std::optional<int> refused_;

    std::chrono::steady_clock::time_point contact_;
    std::chrono::milliseconds backoff_{0};
    bool lost_told_ = false;
    bool reached_ = false;     // a daemon was there once
    bool look_ahead_ = false;  // an answer came, and the next may be that of another log

    std::mutex mutex_;
    std::shared_ptr<http::Client> client_;  // guarded by mutex_
    // Last, so that its thread ends before what it uses.
    SignalWatch signals_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_TAIL_TAIL_H
