// klog over HTTP: a lone record with its guard in the query, or a batch of envelopes behind a
// guard.
#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "tests/bench/decide/load.h"

namespace klog::decide {
namespace {

std::uint64_t number_behind(std::string_view text, std::string_view name) {
    const std::size_t at = text.find(name);
    if (at == text.npos) die("an answer without a seq: " + std::string(text));
    std::uint64_t number = 0;
    std::from_chars(text.data() + at + name.size(), text.data() + text.size(), number);
    return number;
}

class KlogWriter : public Writer {
public:
    KlogWriter(std::size_t writer, std::size_t batch)
        : events_(writer), writer_(writer), batch_(batch) {}

    void append(std::string& out) override {
        if (batch_ == 1) return append_one(out);
        body_.clear();
        auto to = std::back_inserter(body_);
        fmt::format_to(to, "{{\"guard\":{{\"none\":[\"course/{}/*\"],\"after\":{}}}}}\n", writer_,
                       after_);
        for (std::size_t i = 0; i < batch_; ++i) {
            fmt::format_to(to, "{{\"topic\":\"course/{}/enrolled\",\"value\":{}}}\n", writer_,
                           events_.next());
        }
        fmt::format_to(std::back_inserter(out),
                       "POST /v1/records?envelope=true&atomic=true HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{}",
                       body_.size(), body_);
    }

    bool take(std::string& came, std::string& /*out*/) override {
        constexpr std::string_view kEnd = "\r\n\r\n";
        const std::string_view all = came;
        const std::size_t head = all.find(kEnd);
        if (head == all.npos) return false;
        const std::size_t length =
            number_behind(all.substr(0, head), "Content-Length: ") + head + kEnd.size();
        if (all.size() < length) return false;
        if (!all.starts_with("HTTP/1.1 201")) die("klog refused: " + came);
        after_ = number_behind(all.substr(head), batch_ == 1 ? "\"seq\":" : "\"last_seq\":");
        came.erase(0, length);
        return true;
    }

private:
    void append_one(std::string& out) {
        fmt::format_to(
            std::back_inserter(out),
            "POST /v1/records?topic=course/{0}/enrolled&expect_none=course/{0}/*&after={1}"
            " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: {2}\r\n\r\n{3}",
            writer_, after_, kEventBytes, events_.next());
    }

    Events events_;
    std::size_t writer_;
    std::size_t batch_;
    std::uint64_t after_ = 0;
    std::string body_;
};

}  // namespace

std::unique_ptr<Writer> klog_writer(std::size_t writer, std::size_t batch) {
    return std::make_unique<KlogWriter>(writer, batch);
}

}  // namespace klog::decide
