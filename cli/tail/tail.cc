#include "cli/tail/tail.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "cli/advice.h"
#include "cli/json_text.h"
#include "cli/options.h"

namespace klog::cli {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;
// The daemon sends something every 15 s; three of those missing mean that it is gone.
constexpr std::chrono::milliseconds kSilenceMax{45'000};
constexpr std::chrono::milliseconds kBackoffMin{20};
constexpr std::chrono::milliseconds kBackoffMax{1'000};
// How long a tail that does not follow looks for a daemon that it has lost.
constexpr std::chrono::milliseconds kLostWait{10'000};
constexpr int kExitSignalBase = 128;
constexpr std::int64_t kMicrosPerMilli = 1000;

Error usage(std::string message) {
    return Error{Code::usage, std::move(message), "klog tail --help"};
}

// Something that passes: the daemon is going down or has too much to do.
bool passes(int status) { return status == 429 || status == 503 || status == 408; }

}  // namespace

Tail::Tail(Context& context, const TailOptions& options)
    : context_(context),
      options_(options),
      mode_(context.output()),
      printer_(out_, mode_, context.color(), record_style()) {}

bool Tail::tells() const {
    return !context_.quiet && (context_.verbose || is_terminal(STDERR_FILENO));
}

Status Tail::check_options() {
    const int starts = (options_.from.empty() ? 0 : 1) + (options_.after.empty() ? 0 : 1) +
                       (options_.last.empty() ? 0 : 1);
    if (starts > 1) return usage("--from, --after and -n exclude each other");
    if (options_.follow_given && options_.no_follow) {
        return usage("--follow and --no-follow exclude each other");
    }
    KLOG_TRY(check_consumer_options(options_));
    follow_ = !options_.no_follow;
    newest_ = options_.newest_per_key;
    if (!options_.after.empty()) KLOG_TRY(parse_number("--after", options_.after, 0));
    if (!options_.last.empty()) KLOG_TRY(parse_number("--last", options_.last, 0));
    if (!options_.from.empty() && options_.from != "start" && options_.from != "end") {
        KLOG_TRY(parse_point("--from", options_.from));
    }
    if (!options_.limit.empty()) {
        KLOG_TRY_ASSIGN(limit_, parse_number("--limit", options_.limit, 1));
    }
    if (options_.until.empty()) return {};
    KLOG_TRY_ASSIGN(until_, parse_point("--until", options_.until));
    KLOG_TRY(check_order(options_.from, options_.until));
    // What lies before now is all there already.
    if (until_->kind == Point::Kind::ago) follow_ = false;
    return {};
}

Status Tail::begin() {
    KLOG_TRY(check_options());
    KLOG_TRY(signals_.start([this] {
        const std::lock_guard lock(mutex_);
        if (client_) client_->shut_down();
    }));
    if (!options_.as.empty()) return begin_as_consumer();
    Start start;
    if (!options_.cursor_file.empty()) KLOG_TRY(cursor_file_.open(options_.cursor_file));
    if (cursor_file_.cursor()) {
        start.cursor = *cursor_file_.cursor();
    } else {
        // "follows from the end": --until AGO looks back and still starts where a following tail
        // does unless it is told otherwise.
        KLOG_TRY_ASSIGN(start, find_start(context_, options_, !options_.no_follow && !newest_));
    }
    cursor_ = start.cursor;
    from_ = start.from;
    if (!waits()) read_to_ = start.read_to;
    if (!options_.cursor_file.empty()) KLOG_TRY(cursor_file_.begin(cursor_));
    advise(context_, options_, start, follow_);
    contact_ = std::chrono::steady_clock::now();
    return {};
}

Status Tail::begin_as_consumer() {
    KLOG_TRY_ASSIGN(const auto found, find_consumer(context_, options_));
    if (const auto* problem = std::get_if<Problem>(&found)) {
        refused_ = report(*problem);
        return {};
    }
    cursor_ = std::get<Start>(found).cursor;
    if (!context_.quiet) advise_quotes(options_.filters);
    if (!options_.no_ack) acker_.start(context_, options_.as);
    contact_ = std::chrono::steady_clock::now();
    return {};
}

Result<int> Tail::run() {
    KLOG_TRY(begin());
    if (refused_) return *refused_;
    return finish(read_on());
}

// Past what does not match a consumer is moved by the daemon, but for the end.
Status Tail::keep_position(bool last) {
    if (!options_.cursor_file.empty()) return cursor_file_.set(cursor_);
    if (!acker_.started()) return {};
    acker_.set(last ? cursor_ : shown_seq_);
    if (const auto problem = acker_.refused()) refused_ = report(*problem);
    return {};
}

// Output first, then the cursor: a crash in between shows something again, and skips nothing.
Result<int> Tail::finish(Result<int> code) {
    printer_.finish();
    auto open = out_.flush();
    if (open && *open && !refused_) KLOG_TRY(keep_position(true));
    if (!options_.cursor_file.empty()) KLOG_TRY(cursor_file_.close());
    KLOG_TRY(acker_.close());
    if (const auto problem = acker_.refused(); problem && !refused_) refused_ = report(*problem);
    if (refused_ && signals_.signal() == 0) return *refused_;
    if (!open) return std::move(open).error();
    if (signals_.signal() != 0) return kExitSignalBase + signals_.signal();
    return code;
}

Result<int> Tail::read_on() {
    while (signals_.signal() == 0) {
        auto end = read_once();
        if (signals_.signal() != 0) break;
        if (refused_) return *refused_;
        // A daemon that was never there is told at once.
        if (!end && (!reached_ || end.error().code != Code::unreachable)) {
            return std::move(end).error();
        }
        if (end && *end == End::done && begin_waiting()) continue;
        if (end && *end != End::lost) return 0;
        if (tells() && !lost_told_) {
            notice("the connection is lost; going on behind seq " + std::to_string(cursor_));
            lost_told_ = true;
        }
        if (!pause() && signals_.signal() == 0) {
            return Error{Code::unreachable,
                         "the daemon at " + context_.url() + " is gone; the tail stands at seq " +
                             std::to_string(cursor_),
                         "klog tail --after " + std::to_string(cursor_)};
        }
    }
    return kExitSignalBase + signals_.signal();
}

bool Tail::begin_waiting() {
    if (!newest_ || !follow_ || limit_reached()) return false;
    newest_ = false;
    look_ahead_ = false;
    cursor_ = std::max(cursor_, read_to_.value_or(0));
    read_to_.reset();
    return true;
}

bool Tail::pause() {
    const auto limit = context_.timeout();
    const auto lost_for = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - contact_);
    if (limit && lost_for >= *limit) return false;
    if (!limit && !follow_ && lost_for >= kLostWait) return false;
    backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
    pollfd wait = {signals_.descriptor(), POLLIN, 0};
    ::poll(&wait, 1, static_cast<int>(backoff_.count()));
    return signals_.signal() == 0;
}

std::string Tail::request_target() const {
    Target target(options_.as.empty() ? "/v1/records" : "/v1/consumers");
    if (options_.as.empty()) {
        add_filters(target, options_);
    } else {
        target.segment(options_.as).segment("records");
        // What was shown is not shown again, whether its acknowledgement arrived or not.
        if (lease_ == 0 && options_.take_over) target.add("take_over", "true");
    }
    if (!options_.as.empty() && lease_ == 0) {
        // Where it stands is the daemon's to say.
    } else if (from_.empty()) {
        target.add("after", std::to_string(cursor_));
    } else {
        target.add("from", from_);
    }
    if (read_to_) {
        target.add("until", std::to_string(*read_to_));
    } else {
        target.add_given("until", options_.until);
    }
    if (limit_) target.add("limit", std::to_string(*limit_ - shown_));
    if (newest_) target.add("newest_per_key", "true");
    if (waits()) target.add("follow", "true");
    return target.add("marks", "true").text();
}

http::ClientRequest Tail::request() const {
    http::ClientRequest request = make_request(context_, "GET", request_target());
    request.headers.emplace_back("Accept", kBatchMediaType);
    // Whoever reads on after a lost connection is the same reader.
    if (lease_ != 0) request.headers.emplace_back("Klog-Lease", std::to_string(lease_));
    return request;
}

void Tail::take_lease(const http::ClientResponse& head) {
    if (options_.as.empty()) return;
    lease_ = parse_digits(head.header("klog-lease").value_or("")).value_or(0);
    acker_.set_lease(lease_);
    if (!options_.no_ack) return;
    meta_ = ",\"meta\":{\"consumer\":";
    json::append_quoted(meta_, options_.as);
    meta_ += ",\"lease\":" + std::to_string(lease_) + "}}";
}

// A worker needs the lease to acknowledge; the line ends at `end` with the record's brace.
void Tail::add_meta(std::string& line, std::size_t end) const {
    if (!meta_.empty()) line.replace(end - 1, 1, meta_);
}

Result<Tail::End> Tail::read_once() {
    KLOG_TRY_ASSIGN(std::shared_ptr<http::Client> client, dial(context_));
    reached_ = true;
    {
        const std::lock_guard lock(mutex_);
        client_ = client;
    }
    if (signals_.signal() != 0) return End::lost;
    caught_up_ = false;
    acker_.await_lease();
    if (!client->send(request())) return End::lost;
    auto head = client->read_head(kSilenceMax);
    if (!head) {
        if (head.error().code == Code::not_klog) return std::move(head).error();
        return End::lost;
    }
    if (head->status != 200) {
        const auto body = client->read_all(kProblemBytesMax, kSilenceMax);
        if (!body) return End::lost;
        const Problem problem = read_problem(head->status, *body);
        const bool busy = problem.code == code_name(Code::consumer_busy);
        if (passes(head->status) && !busy) return End::lost;
        refused_ = report(problem);
        return End::done;
    }
    take_lease(*head);
    contact_ = std::chrono::steady_clock::now();
    backoff_ = std::chrono::milliseconds(0);
    if (lost_told_) notice("connected again");
    lost_told_ = false;
    // What answers now may hold another log, whose records up to the cursor are never shown.
    if (look_ahead_ && waits()) advise_ahead(context_, cursor_, true);
    look_ahead_ = true;
    if (!waits() && !read_to_) read_to_ = parse_digits(head->header("klog-read-to").value_or(""));
    framed_ = head->content_type == kBatchMediaType;
    frames_.emplace();
    lines_ = LineSplitter();
    return read_answer(*client);
}

Result<Tail::End> Tail::read_answer(http::Client& client) {
    while (true) {
        auto chunk = client.read_body(kReadBytes, kSilenceMax);
        if (!chunk) return End::lost;
        contact_ = std::chrono::steady_clock::now();
        if (chunk->empty()) return ended();
        KLOG_TRY_ASSIGN(const End end, take(*std::move(chunk)));
        if (end != End::lost) return end;
        if (signals_.signal() != 0) return End::lost;
    }
}

// Everything that one read gave is printed and flushed at once. `lost` means: go on.
Result<Tail::End> Tail::take(std::string chunk) {
    const std::uint64_t before = cursor_;
    Status taken;
    if (framed_) {
        taken = take_frames(std::move(chunk));
    } else {
        lines_.feed(chunk, [this](std::string_view line) { return take_line(line); });
    }
    KLOG_TRY_ASSIGN(const bool open, out_.flush());
    if (!open) {
        cursor_ = before;
        return End::closed_pipe;
    }
    if (cursor_ != before) KLOG_TRY(keep_position(false));
    KLOG_TRY(std::move(taken));
    return limit_reached() || refused_ ? End::done : End::lost;
}

Status Tail::take_frames(std::string chunk) {
    frames_->feed(std::move(chunk));
    BatchFrame frame;
    while (!limit_reached() && !refused_) {
        KLOG_TRY_ASSIGN(const bool more, frames_->next(frame));
        if (!more) return {};
        KLOG_TRY(take_frame(frame));
    }
    return {};
}

Status Tail::take_frame(const BatchFrame& frame) {
    const BatchHeader& header = frame.header;
    if (header.type == BatchType::mark) looked_at(header.first_seq.value);
    if (header.type == BatchType::error) {
        KLOG_TRY_ASSIGN(const BatchProblem said, decode_batch_problem(frame.payload));
        std::string document = R"({"code":)";
        json::append_quoted(document, said.code);
        document += R"(,"detail":)";
        json::append_quoted(document, said.message);
        refused_ = report(read_problem(static_cast<int>(said.status), document + "}"));
    }
    if (header.type != BatchType::records) return {};
    RecordDecoder records(frame.payload, header.first_seq, header.base_time, header.count);
    RecordView record;
    while (!limit_reached()) {
        KLOG_TRY_ASSIGN(const bool more, records.next(record));
        if (!more) return {};
        show(record);
        ++shown_;
        cursor_ = shown_seq_ = record.seq.value;
        from_.clear();
    }
    return {};
}

void Tail::show(const RecordView& record) {
    switch (mode_) {
        case OutputMode::ndjson:
            json::append_record(out_.buffer(), record, times_);
            add_meta(out_.buffer(), out_.buffer().size() - 1);
            return;
        case OutputMode::value:
            // A tombstone has none, but for one that was given a value.
            if (record.value.empty() &&
                (record.encoding == Encoding::json || record.kind == Kind::tombstone)) {
                return;
            }
            out_.append(record.value);
            out_.append("\n");
            return;
        case OutputMode::pretty:
        case OutputMode::json:
            line_.clear();
            json::append_record(line_, record, times_);
            line_.pop_back();
            add_meta(line_, line_.size());
            printer_.print(line_);
            return;
    }
}

void Tail::looked_at(std::uint64_t seq) {
    cursor_ = std::max(cursor_, seq);
    caught_up_ = true;
}

bool Tail::take_line(std::string_view line) {
    if (line.empty()) return true;
    if (line.starts_with("{\"mark\":")) {
        const auto mark = member(line, "mark");
        const auto seq = parse_digits(member(mark.value_or(""), "seq").value_or(""));
        looked_at(seq.value_or(0));
        return true;
    }
    if (line.starts_with("{\"error\":")) {  // the answer breaks off; no record begins so
        const std::string_view error = member(line, "error").value_or("");
        const auto status = parse_digits(member(error, "status").value_or(""));
        refused_ = report(read_problem(static_cast<int>(status.value_or(0)), error));
        return false;
    }
    printer_.print(line);
    ++shown_;
    if (const auto seq = parse_digits(member(line, "seq").value_or(""))) {
        cursor_ = shown_seq_ = *seq;
        from_.clear();
    }
    return !limit_reached();
}

// The answer ended in good order. A daemon that goes down ends its answers as well, so what
// was asked for decides whether that was all.
Result<Tail::End> Tail::ended() {
    if (limit_reached()) return End::done;
    if (!waits()) return caught_up_ ? End::done : End::lost;
    if (!until_) return End::lost;
    if (until_->kind == Point::Kind::seq) {
        if (cursor_ >= until_->seq) return End::done;
        const auto newest = ask_head(context_, "");
        return newest && *newest >= until_->seq ? End::done : End::lost;
    }
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    // A millisecond of grace: the daemon saw that moment pass before we did.
    return now + kMicrosPerMilli >= until_->micros ? End::done : End::lost;
}

}  // namespace klog::cli
