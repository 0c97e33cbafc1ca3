// Lines from standard input, in a stream that survives the daemon's death: what is not
// acknowledged is kept, and sent again under the same session and line numbers.
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "cli/output.h"
#include "cli/produce/acks.h"
#include "cli/produce/input.h"
#include "cli/produce/produce.h"
#include "cli/signals.h"

namespace klog::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kProgressEvery{200};
constexpr std::chrono::milliseconds kUnusedMax{1'000};
constexpr int kExitSignalBase = 128;
constexpr std::uint64_t kThousand = 1000;

// Something that passes: the daemon goes down, has too much to do, or has no room for now.
bool passes(int status) { return status == 408 || status == 429 || status == 503 || status == 507; }

std::string thousands(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) {
        at -= 3;
        text.insert(at, 1, ',');
    }
    return text;
}

Result<std::string> new_session() {
    std::array<unsigned char, 16> bytes = {};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        return Error{Code::io, "no random numbers for a session", ""};
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : bytes) {
        text.push_back(kDigits[byte >> 4U]);
        text.push_back(kDigits[byte & 15U]);
    }
    return text;
}

class LineStream {
public:
    LineStream(const Context& context, const ProduceOptions& options)
        : context_(context),
          options_(options),
          wait_(context.timeout().value_or(kProduceWait)),
          acks_(options.on_error == "skip", options.acks, wait_) {}

    Result<int> run() {
        KLOG_TRY(acks_.open());
        KLOG_TRY(signals_.start([this] { interrupt(); }));
        KLOG_TRY_ASSIGN(session_, new_session());
        // A daemon that was never there is told at once.
        KLOG_TRY_ASSIGN(client_, dial(context_));
        started_ = Clock::now();
        dialled_ = started_;
        auto code = go_on();
        acks_.stop();
        clear_progress();
        if (signals_.signal() != 0) return interrupted();
        if (code && !context_.quiet) summarise();
        return code;
    }

private:
    // Once round for each thing that happens: input, acks, a lost connection, time.
    Result<int> go_on() {
        while (signals_.signal() == 0) {
            acks_.calm();
            const AckReader::State state = acks_.state();
            const Tally tally = acks_.tally();
            take_progress(tally);
            if (tally.first_refused && options_.on_error != "skip") {
                return tally.first_refused->problem.exit;
            }
            std::optional<int> code;
            if (open_ && state != AckReader::State::reading) {
                code = connection_ended(state, tally);
            } else if (!has_to_send()) {
                KLOG_TRY(wait_for_something());
            } else if (!client_ || stale()) {
                code = connect_again(tally);
            } else {
                send_something();
            }
            if (code) return *code;
        }
        return kExitSignalBase + signals_.signal();
    }

    void take_progress(const Tally& tally) {
        show_progress(tally);
        if (tally.answered <= answered_) return;
        answered_ = tally.answered;
        window_.drop(answered_);
        if (window_.empty()) acks_.note_nothing_sent();
        trouble_since_.reset();
        backoff_ = std::chrono::milliseconds(0);
    }

    // The answer is over: well, or too early. Gives an exit code where the run is over too.
    std::optional<int> connection_ended(AckReader::State state, const Tally& tally) {
        acks_.stop();
        client_.reset();
        open_ = false;
        end_sent_ = false;
        put_off_ = tally.put_off;
        settle(state);
        if (state == AckReader::State::silent) return give_up(tally);
        if (state == AckReader::State::refused) {
            const auto [status, body] = acks_.refusal();
            Problem problem = read_problem(status, body);
            if (!passes(status)) return report(problem);
            put_off_ = LineProblem{tally.answered + 1, std::move(problem)};
        }
        // The daemon checks topic and options of an empty stream too, so that one needs its answer.
        const std::uint64_t last = input_.last_line_with_text();
        const bool answered = last > 0 || state == AckReader::State::finished;
        if (input_.at_end() && answered && tally.answered >= last) return exit_of(tally);
        window_.rewind(tally.answered);
        // A quiet stream may lose its connection; it gets another one when there is something to
        // send.
        if (!window_.empty() || input_.at_end()) {
            note_trouble(tally);
        } else {
            put_off_.reset();
        }
        return std::nullopt;
    }

    // What was sent without an answer may be written or not, unless the daemon took nothing, or
    // said of the line where it stopped that it is not written: then nothing behind it is either.
    void settle(AckReader::State state) {
        const bool says = put_off_ && put_off_->problem.code != code_name(Code::outcome_unknown);
        if (state == AckReader::State::refused) return;
        if (state == AckReader::State::finished && says) return;
        unsettled_to_ = std::max(unsettled_to_, sent_to());
    }

    [[nodiscard]] std::uint64_t sent_to() const {
        return std::min(window_.sent_to(), input_.last_line_with_text());
    }

    std::optional<int> connect_again(const Tally& tally) {
        while (signals_.signal() == 0) {
            if (trouble_since_) {
                if (Clock::now() - *trouble_since_ >= wait_) return give_up(tally);
                backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
                pollfd wait = {signals_.descriptor(), POLLIN, 0};
                ::poll(&wait, 1, static_cast<int>(backoff_.count()));
            }
            auto client = dial(context_);
            if (client) {
                client_ = std::move(client).value();
                dialled_ = Clock::now();
                return std::nullopt;
            }
            note_trouble(tally);
        }
        return std::nullopt;
    }

    // A daemon does not keep a connection for long on which nothing was asked.
    [[nodiscard]] bool stale() const { return !open_ && Clock::now() - dialled_ > kUnusedMax; }

    void note_trouble(const Tally& tally) {
        if (trouble_since_) return;
        trouble_since_ = Clock::now();
        if (context_.verbose || is_terminal(STDERR_FILENO)) tell_trouble(tally);
    }

    void tell_trouble(const Tally& tally) {
        if (context_.quiet) return;
        clear_progress();
        const std::string line = std::to_string(tally.answered + 1);
        notice(put_off_ ? put_off_->problem.code + " at line " + line + "; trying again"
                        : "the daemon is lost at line " + line + "; waiting for it");
    }

    // Out of time: 75 where a daemon is there and takes nothing, else 76.
    int give_up(const Tally& tally) {
        const std::uint64_t next = tally.answered + 1;
        const std::string line = "line " + std::to_string(next) + ": ";
        const std::string hint = unsettled_to_ >= next
                                     ? told_unsettled(tally)
                                     : "everything before line " + std::to_string(next) +
                                           " is written: go on from there";
        const std::string_view unknown = code_name(Code::outcome_unknown);
        const std::string_view stopping = code_name(Code::stopping);
        if (put_off_ && put_off_->problem.code != unknown && put_off_->problem.code != stopping) {
            complain(put_off_->problem.code, line + put_off_->problem.message, hint);
            return code_info(Code::backpressure).exit_code;
        }
        complain(unknown,
                 line + "no answer from " + context_.url() + " for " +
                     std::to_string(wait_.count() / static_cast<std::int64_t>(kThousand)) + " s",
                 hint);
        return code_info(Code::outcome_unknown).exit_code;
    }

    // Another run is another session, to which the daemon does not know what this one has sent.
    [[nodiscard]] std::string told_unsettled(const Tally& tally) const {
        const std::string next = "line " + std::to_string(tally.answered + 1);
        const std::string text = "every line before " + next + " is done, and " + next +
                                 " and what follows may be written too: ";
        if (!options_.id_from.empty()) return text + "go on from there, repeats are known by id";
        const std::string where =
            tally.last_seq == 0 ? "--last 10" : "--after " + std::to_string(tally.last_seq);
        return text + "klog tail " + where +
               " --no-follow shows what is there; with --id-from repeats are known";
    }

    [[nodiscard]] bool has_to_send() const {
        return window_.next() != nullptr || (input_.at_end() && !end_sent_);
    }

    // The next block, or the end. What fails here fails for the thread that reads the answer as
    // well, and is judged there.
    void send_something() {
        const Block* block = window_.next();
        if (!open_) open_request(block != nullptr ? block->first_line : input_.lines() + 1);
        if (block == nullptr) {
            end_sent_ = true;
            static_cast<void>(client_->end_body());
            return;
        }
        acks_.note_sent();
        static_cast<void>(client_->write_body(block->bytes));
        window_.sent();
    }

    void open_request(std::uint64_t first_line) {
        Target target = record_target(options_);
        target.add_given("on_error", options_.on_error);
        target.add("session", session_).add("session_line", std::to_string(first_line));
        target.add("session_after", std::to_string(acks_.tally().last_seq));
        auto request = make_request(context_, "POST", target.text());
        request.content_type = "application/x-ndjson";
        request.stream_body = true;
        static_cast<void>(client_->send(request));
        open_ = true;
        acks_.start(*client_, first_line);
    }

    Status wait_for_something() {
        const bool reads = !input_.at_end() && window_.has_room();
        std::array<pollfd, 3> wait = {{{acks_.descriptor(), POLLIN, 0},
                                       {signals_.descriptor(), POLLIN, 0},
                                       {reads ? STDIN_FILENO : -1, POLLIN, 0}}};
        ::poll(wait.data(), wait.size(), static_cast<int>(kProgressEvery.count()));
        if (wait[2].revents != 0) KLOG_TRY(input_.read(window_));
        return {};
    }

    int exit_of(const Tally& tally) const {
        return tally.first_refused ? tally.first_refused->problem.exit : 0;
    }

    void interrupt() {
        // The writer may be waiting for a daemon that does not read.
        acks_.interrupt();
    }

    int interrupted() {
        const Tally tally = acks_.tally();
        const bool unknown = std::max(unsettled_to_, sent_to()) > tally.answered;
        if (!context_.quiet) {
            notice("interrupted; " +
                   (unknown ? told_unsettled(tally)
                            : "every line before line " + std::to_string(tally.answered + 1) +
                                  " is written"));
        }
        return kExitSignalBase + signals_.signal();
    }

    [[nodiscard]] std::string rate(std::uint64_t records) const {
        const auto millis =
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_).count();
        const auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(millis, 1));
        return thousands(records * kThousand / time) + "/s";
    }

    void summarise() {
        const Tally tally = acks_.tally();
        const std::uint64_t records = tally.written + tally.duplicates;
        std::string text = std::to_string(records) + (records == 1 ? " record" : " records");
        if (tally.first_seq != 0) {
            text += ", seq " + std::to_string(tally.first_seq);
            if (tally.last_seq != tally.first_seq) text += " to " + std::to_string(tally.last_seq);
        }
        if (records > 0) text += ", " + rate(records);
        if (tally.duplicates > 0)
            text += ", " + std::to_string(tally.duplicates) + " known already";
        if (tally.refused > 0) text += ", " + std::to_string(tally.refused) + " refused";
        notice(text);
    }

    void show_progress(const Tally& tally) {
        // Where somebody types, it would be written over what stands there.
        if (context_.quiet || is_terminal(STDIN_FILENO) || !is_terminal(STDERR_FILENO)) return;
        const auto now = Clock::now();
        if (now - shown_ < kProgressEvery) return;
        shown_ = now;
        const std::uint64_t records = tally.written + tally.duplicates;
        write_error_stream("\r\x1b[K" + thousands(records) + " records, " + rate(records));
        progress_shown_ = true;
    }

    void clear_progress() {
        if (progress_shown_) write_error_stream("\r\x1b[K");
        progress_shown_ = false;
    }

    const Context& context_;
    const ProduceOptions& options_;
    const std::chrono::milliseconds wait_;
    std::string session_;
    Input input_;
    Window window_;
    std::uint64_t answered_ = 0;
    std::unique_ptr<http::Client> client_;
    bool open_ = false;      // a request is under way on client_
    bool end_sent_ = false;  // its body is complete
    // Lines up to this one were sent; of those without an answer nobody says what became of them.
    std::uint64_t unsettled_to_ = 0;
    std::optional<Clock::time_point> trouble_since_;
    std::optional<LineProblem> put_off_;
    std::chrono::milliseconds backoff_{0};
    Clock::time_point started_;
    Clock::time_point dialled_;
    Clock::time_point shown_;
    bool progress_shown_ = false;
    AckReader acks_;
    // Last, so that its thread ends before what it uses.
    SignalWatch signals_;
};

}  // namespace

Result<int> produce_lines(const Context& context, const ProduceOptions& options) {
    if (is_terminal(STDIN_FILENO) && !context.quiet) {
        notice("one record a line; Ctrl-D ends");
    }
    LineStream stream(context, options);
    return stream.run();
}

}  // namespace klog::cli
