// UmaDB's protocol: gRPC, which is HTTP/2 with a call a stream. One call is under way at a time.
#include <fmt/format.h>

#include <algorithm>

#include "tests/bench/decide/wire.h"

namespace klog::decide {
namespace {

constexpr std::size_t kFrameHeadBytes = 9;
constexpr std::size_t kFrameBytesMax = 16'384;  // what every server takes
constexpr std::int64_t kWindowAtFirst = 65'535;
constexpr std::uint64_t kWindowOurs = (1U << 31U) - 1;  // answers never fill it
constexpr std::size_t kMessageHeadBytes = 5;

enum class FrameType : std::uint8_t {
    data = 0,
    headers = 1,
    reset = 3,
    settings = 4,
    ping = 6,
    go_away = 7,
    window = 8,
};
constexpr std::uint8_t kEndStream = 1;
constexpr std::uint8_t kAck = 1;
constexpr std::uint8_t kEndHeaders = 4;
constexpr std::uint64_t kSettingWindow = 4;

void put_frame(std::string& out, FrameType type, std::uint8_t flags, std::uint32_t stream,
               std::string_view content) {
    wire::put_big_endian(out, content.size(), 3);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    wire::put_big_endian(out, stream, 4);
    out += content;
}

// A header field that the other side need not remember (RFC 7541, 6.2.2). `name` is a number of the
// static table, or 0 and then a name.
void put_header(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    out += static_cast<char>(value.size());
    out += value;
}

std::string call_headers() {
    std::string out = "\x83\x86";  // :method POST, :scheme http
    put_header(out, "\x04", "/umadb.v1.DCB/Append");
    put_header(out, "\x01", "localhost");
    put_header(out, "\x0F\x10", "application/grpc");
    put_header(out, std::string_view("\0\x02te", 4), "trailers");
    return out;
}

class UmadbWriter : public Writer {
public:
    UmadbWriter(std::size_t writer, std::size_t batch)
        : message_(writer, batch), headers_(call_headers()) {}

    void greet(std::string& out) override {
        out += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        std::string setting;
        wire::put_big_endian(setting, kSettingWindow, 2);
        wire::put_big_endian(setting, kWindowOurs, 4);
        put_frame(out, FrameType::settings, 0, 0, setting);
        std::string more;
        wire::put_big_endian(more, kWindowOurs - kWindowAtFirst, 4);
        put_frame(out, FrameType::window, 0, 0, more);
    }

    void append(std::string& out) override {
        stream_ += stream_ == 0 ? 1 : 2;
        stream_window_ = stream_window_at_first_;
        put_frame(out, FrameType::headers, kEndHeaders, stream_, headers_);
        const std::string_view message = message_.make(after_);
        call_.assign(1, '\0');  // not compressed
        wire::put_big_endian(call_, message.size(), 4);
        call_ += message;
        called_ = 0;
        answer_.clear();
        send_data(out);
    }

    bool take(std::string& came, std::string& out) override {
        bool answered = false;
        std::size_t taken = 0;
        while (came.size() - taken >= kFrameHeadBytes) {
            const std::string_view rest = std::string_view(came).substr(taken);
            const std::size_t size = wire::big_endian(rest.substr(0, 3));
            if (rest.size() < kFrameHeadBytes + size) break;
            const auto type = static_cast<FrameType>(rest[3]);
            const auto flags = static_cast<std::uint8_t>(rest[4]);
            const auto stream = static_cast<std::uint32_t>(wire::big_endian(rest.substr(5, 4)));
            answered = take_frame(type, flags, stream, rest.substr(kFrameHeadBytes, size), out) ||
                       answered;
            taken += kFrameHeadBytes + size;
        }
        came.erase(0, taken);
        return answered;
    }

private:
    // As much of the call as the server's windows allow.
    void send_data(std::string& out) {
        while (called_ < call_.size()) {
            const std::int64_t window = std::min(window_, stream_window_);
            if (window <= 0) return;
            const std::size_t some = std::min(
                {call_.size() - called_, static_cast<std::size_t>(window), kFrameBytesMax});
            const bool last = called_ + some == call_.size();
            put_frame(out, FrameType::data, last ? kEndStream : 0, stream_,
                      std::string_view(call_).substr(called_, some));
            called_ += some;
            window_ -= static_cast<std::int64_t>(some);
            stream_window_ -= static_cast<std::int64_t>(some);
        }
    }

    bool take_frame(FrameType type, std::uint8_t flags, std::uint32_t stream,
                    std::string_view content, std::string& out) {
        switch (type) {
            case FrameType::data:
                if (stream != stream_) break;
                answer_ += content;
                return (flags & kEndStream) != 0 && end_call();
            case FrameType::headers:
                return stream == stream_ && (flags & kEndStream) != 0 && end_call();
            case FrameType::settings:
                if ((flags & kAck) == 0) take_settings(content, out);
                break;
            case FrameType::ping:
                if ((flags & kAck) == 0) put_frame(out, FrameType::ping, kAck, 0, content);
                break;
            case FrameType::window:
                take_window(stream, wire::big_endian(content), out);
                break;
            case FrameType::reset:
            case FrameType::go_away:
                die("UmaDB ended a call");
        }
        return false;
    }

    void take_settings(std::string_view settings, std::string& out) {
        for (; settings.size() >= 6; settings.remove_prefix(6)) {
            if (wire::big_endian(settings.substr(0, 2)) != kSettingWindow) continue;
            const auto now = static_cast<std::int64_t>(wire::big_endian(settings.substr(2, 4)));
            stream_window_ += now - stream_window_at_first_;
            stream_window_at_first_ = now;
        }
        put_frame(out, FrameType::settings, kAck, 0, "");
        send_data(out);
    }

    void take_window(std::uint32_t stream, std::uint64_t more, std::string& out) {
        if (stream == 0) window_ += static_cast<std::int64_t>(more);
        if (stream == stream_ && stream != 0) stream_window_ += static_cast<std::int64_t>(more);
        send_data(out);
    }

    // The trailers tell why; but a call that failed has no message, and that is enough to end here.
    bool end_call() {
        if (answer_.size() < kMessageHeadBytes || answer_[0] != 0) {
            die("UmaDB refused an append, or answered in a way that is not known here");
        }
        std::string_view message = std::string_view(answer_).substr(kMessageHeadBytes);
        while (const auto field = wire::next_field(message)) {
            if (field->number == 1) after_ = field->value;
        }
        return true;
    }

    wire::AppendMessage message_;
    const std::string headers_;
    std::uint32_t stream_ = 0;  // of the call under way
    std::string call_;
    std::size_t called_ = 0;  // of call_, sent
    std::string answer_;
    std::uint64_t after_ = 0;
    // What may be sent. Unit: bytes.
    std::int64_t window_ = kWindowAtFirst;
    std::int64_t stream_window_ = kWindowAtFirst;
    std::int64_t stream_window_at_first_ = kWindowAtFirst;
};

}  // namespace

std::unique_ptr<Writer> umadb_writer(std::size_t writer, std::size_t batch) {
    return std::make_unique<UmadbWriter>(writer, batch);
}

}  // namespace klog::decide
