// An exchange without a socket: a test feeds the body, runs what was posted, and looks at the
// answer.
#ifndef KLOG_TESTS_SUPPORT_FAKE_EXCHANGE_H
#define KLOG_TESTS_SUPPORT_FAKE_EXCHANGE_H

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "daemon/http/exchange.h"

namespace klog::test {

// The strand is the thread that calls run(): what is posted from there is done at once, as the
// server does. Work of run_blocking runs there too, later.
class FakeExchange final : public http::Exchange {
public:
    http::Request request_;
    std::deque<Result<http::BodyChunk>> body_;  // what read_body gives, in order
    // The answer.
    std::optional<http::Response> response_;
    int stream_status_ = 0;
    std::string stream_type_;
    std::vector<std::pair<std::string, std::string>> stream_headers_;
    std::string written_;
    bool finished_ = false;
    bool aborted_ = false;
    bool outcome_open_ = false;
    bool closed_ = false;
    std::size_t reads_ = 0;
    std::size_t unsent_of_all_ = 0;
    // While false, what was written counts as unsent.
    bool peer_reads_ = true;
    std::chrono::milliseconds timer_after_{0};
    std::function<void()> timer_;
    std::function<void()> on_closed_;
    std::function<void()> on_drain_;

    // "POST", "/v1/records?topic=a%2Fb": decodes as the server does, of escapes only %XX and "+".
    static std::shared_ptr<FakeExchange> make(const std::string& method, const std::string& target,
                                              const std::string& content_type = "") {
        auto exchange = std::make_shared<FakeExchange>();
        http::Request& request = exchange->request_;
        request.method = method;
        const std::size_t mark = target.find('?');
        request.path = target.substr(0, mark);
        for (const std::string& segment : split(request.path.substr(1), '/')) {
            request.segments.push_back(decode(segment, false));
        }
        if (mark != std::string::npos) {
            for (const std::string& pair : split(target.substr(mark + 1), '&')) {
                if (pair.empty()) continue;
                const std::size_t equals = pair.find('=');
                request.query.emplace_back(
                    decode(pair.substr(0, equals), true),
                    equals == std::string::npos ? "" : decode(pair.substr(equals + 1), true));
            }
        }
        if (!content_type.empty()) request.headers.emplace_back("content-type", content_type);
        return exchange;
    }

    void feed(const std::string& bytes, bool last) {
        auto buffer = std::make_shared<std::string>();
        buffer->reserve(bytes.size() + http::BodyChunk::kPadding);
        buffer->append(bytes);
        body_.push_back(http::BodyChunk{buffer, last});
        request_.has_body = true;
        serve_read();
    }
    void feed_error(Error error) {
        body_.push_back(std::move(error));
        serve_read();
    }
    // Until nothing is left to do.
    void run() {
        for (;;) {
            std::function<void()> work;
            {
                const MutexLock lock(mutex_);
                strand_ = {};
                if (work_.empty()) return;
                strand_ = std::this_thread::get_id();
                work = std::move(work_.front());
                work_.pop_front();
            }
            work();
        }
    }
    void fire_timer() {
        const auto timer = std::exchange(timer_, nullptr);
        if (timer) timer();
        run();
    }
    void take_unsent() {
        unsent_ = 0;
        check_unsent();
        run();
    }
    void close() {
        closed_ = true;
        if (const auto callback = std::exchange(on_closed_, nullptr)) callback();
        check_unsent();
        run();
    }
    // What the server does when an exchange is over: whatever still waits is let go.
    void end() {
        if (!closed_) close();
        reader_ = nullptr;
        timer_ = nullptr;
        on_closed_ = nullptr;
        on_drain_ = nullptr;
        below_.clear();
    }
    void drain() {
        if (const auto callback = std::exchange(on_drain_, nullptr)) callback();
        run();
    }
    [[nodiscard]] int status() const { return response_ ? response_->status : stream_status_; }
    [[nodiscard]] const std::string& text() const { return response_ ? response_->body : written_; }
    [[nodiscard]] std::string header(std::string_view name) const {
        for (const auto& [key, value] : response_ ? response_->headers : stream_headers_) {
            if (key == name) return value;
        }
        return "";
    }
    [[nodiscard]] bool ended() const { return response_.has_value() || finished_ || aborted_; }

    [[nodiscard]] const http::Request& request() const override { return request_; }
    [[nodiscard]] std::string peer() const override { return "process 4711"; }
    void read_body(std::size_t /*bytes_max*/,
                   std::function<void(Result<http::BodyChunk>)> callback) override {
        ++reads_;
        reader_ = std::move(callback);
        serve_read();
    }
    void respond(http::Response response) override { response_ = std::move(response); }
    void start_stream(int status, std::string content_type,
                      std::vector<std::pair<std::string, std::string>> headers) override {
        stream_status_ = status;
        stream_type_ = std::move(content_type);
        stream_headers_ = std::move(headers);
    }
    void write(std::string bytes) override {
        written_ += bytes;
        if (!peer_reads_) unsent_ += bytes.size();
    }
    void finish() override { finished_ = true; }
    [[nodiscard]] std::size_t unsent_bytes() const override { return unsent_; }
    [[nodiscard]] std::size_t unsent_bytes_of_all() const override { return unsent_of_all_; }
    void on_unsent_below(std::size_t bytes, std::function<void()> callback) override {
        below_.emplace_back(bytes, std::move(callback));
        check_unsent();
    }
    void outcome_is_open() override { outcome_open_ = true; }
    void abort() override { aborted_ = true; }
    void on_closed(std::function<void()> callback) override { on_closed_ = std::move(callback); }
    [[nodiscard]] bool closed() const override { return closed_; }
    void on_drain(std::function<void()> callback) override { on_drain_ = std::move(callback); }
    void post(std::function<void()> work) override {
        if (on_strand()) {
            work();
        } else {
            enqueue(std::move(work));
        }
    }
    void post_late(std::function<void()> work) override { post(std::move(work)); }
    void run_blocking(std::uint64_t /*order*/, std::function<void()> work,
                      std::function<void()> then) override {
        enqueue([work = std::move(work), then = std::move(then)] {
            work();
            then();
        });
    }
    void set_timer(std::chrono::milliseconds after, std::function<void()> callback) override {
        timer_after_ = after;
        timer_ = after.count() == 0 ? nullptr : std::move(callback);
    }

private:
    static std::vector<std::string> split(const std::string& text, char at) {
        std::vector<std::string> parts;
        std::size_t begin = 0;
        for (std::size_t i = 0; i <= text.size(); ++i) {
            if (i < text.size() && text[i] != at) continue;
            parts.push_back(text.substr(begin, i - begin));
            begin = i + 1;
        }
        return parts;
    }
    static std::string decode(const std::string& text, bool form) {
        std::string out;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] == '%' && i + 2 < text.size()) {
                out.push_back(static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16)));
                i += 2;
            } else {
                out.push_back(form && text[i] == '+' ? ' ' : text[i]);
            }
        }
        return out;
    }
    void enqueue(std::function<void()> work) {
        const MutexLock lock(mutex_);
        work_.push_back(std::move(work));
    }
    bool on_strand() {
        const MutexLock lock(mutex_);
        return strand_ == std::this_thread::get_id();
    }
    void serve_read() {
        if (!reader_ || body_.empty()) return;
        auto chunk = std::make_shared<Result<http::BodyChunk>>(std::move(body_.front()));
        body_.pop_front();
        enqueue([reader = std::exchange(reader_, nullptr), chunk] { reader(std::move(*chunk)); });
    }
    void check_unsent() {
        for (std::size_t i = 0; i < below_.size();) {
            if (unsent_ > below_[i].first && !closed_) {
                ++i;
                continue;
            }
            enqueue(std::move(below_[i].second));
            below_.erase(below_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }

    std::function<void(Result<http::BodyChunk>)> reader_;
    std::vector<std::pair<std::size_t, std::function<void()>>> below_;
    std::size_t unsent_ = 0;
    Mutex mutex_;
    std::thread::id strand_ KLOG_GUARDED_BY(mutex_);  // that of run(), while it runs
    std::deque<std::function<void()>> work_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_FAKE_EXCHANGE_H
