#include "cli/bench/load.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>

namespace klog::cli::bench {
namespace {

constexpr int kWaitMs = 30'000;
constexpr std::size_t kEventsMax = 64;
// Of the client. More than one, since waking a server's thread costs more than the request does.
constexpr std::size_t kThreads = 2;
constexpr std::size_t kReceiveBytes = 64 * 1024;

struct Connection {
    int fd = -1;
    std::size_t requests = 0;
    std::string came;
    Clock::time_point begin;
};

Error io_error(const std::string& what) {
    return Error{Code::io, what + ": " + std::generic_category().message(errno), ""};
}

class Load {
public:
    explicit Load(const LoadProtocol& protocol) : protocol_(protocol) {}
    ~Load() {
        if (epoll_ >= 0) ::close(epoll_);
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

    Status open(const std::vector<int>& fds) {
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) return io_error("epoll");
        for (std::size_t i = 0; i < fds.size(); ++i) {
            connections_.push_back({});
            connections_.back().fd = fds[i];
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = i;
            if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fds[i], &event) != 0) return io_error("epoll");
        }
        return {};
    }

    // Connections count from `first` for the protocol.
    Status run(double seconds, std::size_t first) {
        first_ = first;
        const auto start = Clock::now();
        for (std::size_t i = 0; i < connections_.size(); ++i) KLOG_TRY(send(i));
        std::size_t under_way = connections_.size();
        while (under_way > 0) {
            std::array<epoll_event, kEventsMax> events{};
            const int got =
                ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kWaitMs);
            if (got == 0) return Error{Code::timeout, "no answer came for 30 seconds", ""};
            if (got < 0 && errno != EINTR) return io_error("epoll");
            const bool over = seconds_since(start) >= seconds;
            for (int i = 0; i < got; ++i) {
                const std::size_t number = events[static_cast<std::size_t>(i)].data.u64;
                KLOG_TRY_ASSIGN(const bool answered, receive(number));
                if (!answered) continue;
                if (over) {
                    --under_way;
                } else {
                    KLOG_TRY(send(number));
                }
            }
        }
        return {};
    }

    [[nodiscard]] const Latencies& latencies() const { return latencies_; }

private:
    Status send(std::size_t number) {
        Connection& connection = connections_[number];
        const std::string bytes = protocol_.request(first_ + number, connection.requests++);
        connection.begin = Clock::now();
        for (std::size_t sent = 0; sent < bytes.size();) {
            const ssize_t some =
                ::send(connection.fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            if (some < 0 && errno == EINTR) continue;
            if (some < 0) return io_error("send");
            sent += static_cast<std::size_t>(some);
        }
        return {};
    }

    Result<bool> receive(std::size_t number) {
        Connection& connection = connections_[number];
        std::array<char, kReceiveBytes> buffer;
        const ssize_t got = ::recv(connection.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) return false;
        if (got < 0) return io_error("receive");
        if (got == 0) return Error{Code::io, "the server closed a connection", ""};
        connection.came.append(buffer.data(), static_cast<std::size_t>(got));
        KLOG_TRY_ASSIGN(const auto size, protocol_.answer(connection.came));
        if (!size) return false;
        latencies_.add(Clock::now() - connection.begin);
        connection.came.erase(0, *size);
        return true;
    }

    const LoadProtocol& protocol_;
    int epoll_ = -1;
    std::size_t first_ = 0;
    std::vector<Connection> connections_;
    Latencies latencies_;
};

// An HTTP answer with a Content-Length, which all of these have.
Result<std::optional<std::size_t>> http_answer(std::string_view came) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    constexpr std::string_view kLength = "Content-Length: ";
    constexpr std::string_view kStatus = "HTTP/1.1 2";
    const std::size_t head = came.find(kEnd);
    if (head == std::string_view::npos) return std::optional<std::size_t>{};
    const std::size_t at = came.substr(0, head).find(kLength);
    std::size_t length = 0;
    if (at != std::string_view::npos) {
        const char* const digits = came.data() + at + kLength.size();
        std::from_chars(digits, came.data() + head, length);
    }
    const std::size_t size = head + kEnd.size() + length;
    if (came.size() < size) return std::optional<std::size_t>{};
    if (!came.starts_with(kStatus)) {
        return Error{Code::io, "the daemon refused: " + std::string(came.substr(0, size)), ""};
    }
    return std::optional<std::size_t>{size};
}

}  // namespace

Result<Figure> run_load(const std::vector<int>& fds, const LoadProtocol& protocol, double seconds) {
    const std::size_t threads = std::min<std::size_t>(kThreads, fds.size());
    const std::size_t each = (fds.size() + threads - 1) / threads;
    std::vector<std::unique_ptr<Load>> loads;
    std::vector<Status> ended(threads);
    for (std::size_t first = 0; first < fds.size(); first += each) {
        const std::size_t end = std::min(first + each, fds.size());
        loads.push_back(std::make_unique<Load>(protocol));
        KLOG_TRY(loads.back()->open({fds.begin() + static_cast<std::ptrdiff_t>(first),
                                     fds.begin() + static_cast<std::ptrdiff_t>(end)}));
    }
    const auto start = Clock::now();
    {
        std::vector<std::jthread> running;
        for (std::size_t i = 0; i < loads.size(); ++i) {
            running.emplace_back([&, i] { ended[i] = loads[i]->run(seconds, i * each); });
        }
    }
    const double took = seconds_since(start);
    Latencies all;
    for (std::size_t i = 0; i < loads.size(); ++i) {
        KLOG_TRY(std::move(ended[i]));
        all.add(loads[i]->latencies());
    }
    return all.figure(1, took);
}

LoadProtocol record_requests(std::string key_prefix, bool expect) {
    LoadProtocol protocol;
    protocol.request = [prefix = std::move(key_prefix), expect](std::size_t connection,
                                                                std::size_t request) {
        const std::string number = std::to_string(connection);
        std::string bytes =
            "POST /v1/records?topic=bench/one/" + number + "&key=" + prefix + number;
        if (expect) bytes += "&expect=" + std::to_string(request);
        bytes +=
            " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: " +
            std::to_string(kRecordBytes) + "\r\n\r\n";
        return bytes + value_of(request);
    };
    protocol.answer = http_answer;
    return protocol;
}

LoadProtocol get_requests(std::string key_prefix) {
    LoadProtocol protocol;
    protocol.request = [prefix = std::move(key_prefix)](std::size_t connection, std::size_t) {
        return "GET /v1/spaces/bench/keys/" + prefix + std::to_string(connection) +
               " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    };
    protocol.answer = http_answer;
    return protocol;
}

}  // namespace klog::cli::bench
