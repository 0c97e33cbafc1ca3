#include "cli/produce/acks.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "cli/json_text.h"
#include "cli/options.h"

namespace klog::cli {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;
constexpr int kStatusFailed = 400;
constexpr int kStatusDuplicate = 200;
// How often a silent daemon is looked at.
constexpr std::chrono::milliseconds kLookEvery{1'000};
// So many refused lines are told one by one; the summary counts them all.
constexpr std::uint64_t kComplaintsMax = 100;

// Nothing is wrong with the line: the daemon could not take it, or did not say whether it did.
// The session tells later which it was.
bool is_put_off(const Problem& problem) {
    static constexpr std::array<Code, 7> kCodes = {
        Code::backpressure, Code::disk_full, Code::rebuilding,     Code::stopping,
        Code::too_many,     Code::timeout,   Code::outcome_unknown};
    return std::any_of(kCodes.begin(), kCodes.end(),
                       [&](Code code) { return problem.code == code_name(code); });
}

// The number behind `name`, which usually stands first in `rest`.
std::uint64_t number_after(std::string_view rest, std::string_view name) {
    const std::size_t at = rest.find(name);
    if (at == std::string_view::npos) return 0;
    std::uint64_t number = 0;
    std::from_chars(rest.data() + at + name.size(), rest.data() + rest.size(), number);
    return number;
}

}  // namespace

std::optional<AckLine> parse_ack(std::string_view text) {
    constexpr std::string_view kLine = "{\"line\":";
    constexpr std::string_view kStatus = ",\"status\":";
    if (!text.starts_with(kLine)) return std::nullopt;
    AckLine ack;
    const char* const end = text.data() + text.size();
    const auto line = std::from_chars(text.data() + kLine.size(), end, ack.line);
    const std::string_view behind(line.ptr, static_cast<std::size_t>(end - line.ptr));
    if (line.ec != std::errc() || !behind.starts_with(kStatus)) return std::nullopt;
    const auto status = std::from_chars(line.ptr + kStatus.size(), end, ack.status);
    if (status.ec != std::errc() || ack.line == 0) return std::nullopt;
    ack.rest = static_cast<std::size_t>(status.ptr - text.data());
    return ack;
}

AckReader::~AckReader() {
    stop();
    if (event_fd_ >= 0) ::close(event_fd_);
}

Status AckReader::open() {
    event_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd_ >= 0) return {};
    return Error{Code::io, std::string("cannot wait for acks: ") + std::strerror(errno), ""};
}

void AckReader::start(http::Client& client, std::uint64_t first_line) {
    client_ = &client;
    offset_ = first_line - 1;
    lines_ = LineSplitter();
    {
        const std::lock_guard lock(mutex_);
        state_ = State::reading;
        tally_.put_off.reset();
        sent_.reset();
    }
    thread_ = std::jthread([this] { read_all(); });
}

void AckReader::stop() {
    if (!thread_.joinable()) return;
    client_->shut_down();
    thread_.join();
    const std::lock_guard lock(mutex_);
    state_ = State::idle;
}

void AckReader::calm() const {
    std::uint64_t count = 0;
    // It is not blocking; an empty one has nothing to be calmed.
    [[maybe_unused]] const ssize_t got = ::read(event_fd_, &count, sizeof count);
}

void AckReader::raise() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t wrote = ::write(event_fd_, &one, sizeof one);
}

AckReader::State AckReader::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

Tally AckReader::tally() const {
    const std::lock_guard lock(mutex_);
    return tally_;
}

std::pair<int, std::string> AckReader::refusal() const {
    const std::lock_guard lock(mutex_);
    return {refusal_status_, refusal_body_};
}

void AckReader::set_state(State state) {
    {
        const std::lock_guard lock(mutex_);
        state_ = state;
    }
    // Whoever writes the body must not wait for a daemon that reads no more.
    if (state != State::reading) client_->shut_down();
    raise();
}

void AckReader::interrupt() const {
    const std::lock_guard lock(mutex_);
    if (state_ == State::reading) client_->shut_down();
}

void AckReader::note_sent() {
    const std::lock_guard lock(mutex_);
    sent_ = std::chrono::steady_clock::now();
}

void AckReader::note_nothing_sent() {
    const std::lock_guard lock(mutex_);
    sent_.reset();
}

bool AckReader::silent_too_long() const {
    const std::lock_guard lock(mutex_);
    return sent_ && std::chrono::steady_clock::now() - std::max(*sent_, tally_.progress) >= wait_;
}

void AckReader::read_all() { set_state(read_lines()); }

AckReader::State AckReader::read_lines() {
    const auto look = std::min<std::chrono::milliseconds>(wait_, kLookEvery);
    auto head = client_->read_head(look);
    while (!head && head.error().code == Code::timeout) {
        if (silent_too_long()) return State::silent;
        head = client_->read_head(look);
    }
    if (!head) return State::lost;
    if (head->status != 200) {
        auto body = client_->read_all(kProblemBytesMax, kAnswerWait);
        if (!body) return State::lost;
        const std::lock_guard lock(mutex_);
        refusal_status_ = head->status;
        refusal_body_ = *std::move(body);
        return State::refused;
    }
    while (true) {
        const auto chunk = client_->read_body(kReadBytes, look);
        if (!chunk && chunk.error().code == Code::timeout) {
            if (silent_too_long()) return State::silent;
            continue;
        }
        if (!chunk) return State::lost;
        if (chunk->empty()) return State::finished;
        const bool go_on = take(*chunk);
        flush();
        if (!go_on) return State::finished;
        raise();
    }
}

bool AckReader::take(std::string_view chunk) {
    bool go_on = true;
    const std::lock_guard lock(mutex_);
    came_ = std::chrono::steady_clock::now();
    lines_.feed(chunk, [&](std::string_view line) { return go_on = take_line(line); });
    return go_on;
}

// Called with mutex_ held. False: what follows is of no interest.
bool AckReader::take_line(std::string_view text) {
    if (text.empty()) return true;
    const auto ack = parse_ack(text);
    if (!ack) return true;
    const std::uint64_t line = offset_ + ack->line;
    if (line <= tally_.answered) return true;
    if (ack->status >= kStatusFailed) {
        return note_refused({line, read_problem(ack->status, text)});
    }
    note_written(line, ack->status, text.substr(ack->rest));
    print(line, text.substr(ack->rest - std::to_string(ack->status).size()));
    return true;
}

void AckReader::note_written(std::uint64_t line, int status, std::string_view ack) {
    const std::uint64_t seq = number_after(ack, "\"seq\":");
    if (tally_.put_off) {
        // It went on behind a line that it had put off: that one can no longer be written in its
        // order, so it counts as refused.
        refuse(*tally_.put_off);
        tally_.put_off.reset();
    }
    if (status == kStatusDuplicate && seq == 0 && skip_) {
        Problem lost;
        lost.code = code_name(Code::outcome_unknown);
        lost.message = "it was refused, but the connection broke before its reason came";
        lost.exit = code_info(Code::outcome_unknown).exit_code;
        refuse({line, std::move(lost)});
        return;
    }
    tally_.answered = line;
    tally_.progress = came_;
    if (status == kStatusDuplicate) {
        ++tally_.duplicates;
    } else {
        ++tally_.written;
    }
    if (seq == 0) return;
    if (tally_.first_seq == 0) tally_.first_seq = seq;
    tally_.last_seq = std::max(tally_.last_seq, seq);
}

bool AckReader::note_refused(LineProblem found) {
    if (is_put_off(found.problem)) {
        if (!tally_.put_off) tally_.put_off = std::move(found);
        return skip_;
    }
    if (tally_.put_off) {
        refuse(*tally_.put_off);
        tally_.put_off.reset();
    }
    refuse(found);
    return skip_;
}

void AckReader::refuse(const LineProblem& found) {
    tally_.answered = found.line;
    tally_.progress = came_;
    ++tally_.refused;
    if (!tally_.first_refused) tally_.first_refused = found;
    if (++complaints_ > kComplaintsMax) return;
    complain(found.problem.code,
             "line " + std::to_string(found.line) + ": " + found.problem.message,
             found.problem.hint);
    if (complaints_ == kComplaintsMax) notice("further refused lines are only counted");
}

void AckReader::print(std::uint64_t line, std::string_view ack) {
    if (!print_) return;
    out_.append("{\"line\":" + std::to_string(line) + ",\"status\":");
    out_.append(ack);
    out_.append("\n");
}

void AckReader::flush() {
    const auto open = out_.flush();
    if (open && *open) return;
    // Nobody reads the acks any more; the records still have to be written.
    print_ = false;
    if (!open) static_cast<void>(report(open.error()));
}

}  // namespace klog::cli
