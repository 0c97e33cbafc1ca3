#include "tests/bench/decide/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <thread>

#include "cli/bench/figure.h"

namespace klog::decide {
namespace {

constexpr std::chrono::milliseconds kWarmUp{500};
constexpr int kWaitMs = 30'000;
// Of the client, as `klog bench` has them.
constexpr std::size_t kThreads = 2;
constexpr std::size_t kReceiveBytes = 64 * 1024;
constexpr std::size_t kTextBytes = 1 << 20;
constexpr unsigned kSeed = 12;

// Base64's letters at random: a JSON string that packs like text does, not like a run of 'x'.
const std::string& text() {
    static const std::string made = [] {
        constexpr std::string_view kLetters =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        std::mt19937 draw(kSeed);
        std::string all;
        while (all.size() < kTextBytes) all += kLetters[draw() % kLetters.size()];
        return all;
    }();
    return made;
}

int connect_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) die("the socket's path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        die("cannot connect to " + path);
    }
    return fd;
}

struct Window {
    Clock::time_point from;
    Clock::time_point until;
};

struct Connection {
    int fd = -1;
    std::unique_ptr<Writer> writer;
    std::string came;
    std::string out;
    std::size_t sent = 0;  // of out
    bool waits_to_send = false;
    Clock::time_point begin;
};

// Some of the connections, driven by one thread.
class Share {
public:
    explicit Share(const Window& window) : window_(window) {}
    ~Share() {
        for (const Connection& connection : connections_) ::close(connection.fd);
        ::close(epoll_);
    }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    void add(const std::string& where, std::unique_ptr<Writer> writer) {
        Connection& added = connections_.emplace_back();
        added.writer = std::move(writer);
        added.fd = connect_to(where);
        if (::fcntl(added.fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = connections_.size() - 1;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, added.fd, &event) != 0) die("epoll_ctl");
        added.writer->greet(added.out);
        send(connections_.size() - 1);
    }

    void run() {
        for (std::size_t i = 0; i < connections_.size(); ++i) append(i);
        std::size_t under_way = connections_.size();
        std::array<epoll_event, 64> events{};
        while (under_way > 0) {
            const int got =
                ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kWaitMs);
            if (got == 0) die("no answer came for 30 seconds");
            for (int i = 0; i < got; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                if ((event.events & EPOLLOUT) != 0) send(event.data.u64);
                if ((event.events & ~static_cast<unsigned>(EPOLLOUT)) == 0) continue;
                if (!receive(event.data.u64)) continue;
                if (Clock::now() < window_.until) {
                    append(event.data.u64);
                } else {
                    --under_way;
                }
            }
        }
    }

    [[nodiscard]] const cli::bench::Latencies& latencies() const { return latencies_; }

private:
    void append(std::size_t number) {
        Connection& connection = connections_[number];
        connection.writer->append(connection.out);
        connection.begin = Clock::now();
        send(number);
    }

    void send(std::size_t number) {
        Connection& connection = connections_[number];
        while (connection.sent < connection.out.size()) {
            const ssize_t some =
                ::send(connection.fd, connection.out.data() + connection.sent,
                       connection.out.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (some < 0 && errno == EINTR) continue;
            if (some < 0 && errno == EAGAIN) return wait_to_send(number, true);
            if (some < 0) die("the server closed a connection");
            connection.sent += static_cast<std::size_t>(some);
        }
        connection.out.clear();
        connection.sent = 0;
        wait_to_send(number, false);
    }

    void wait_to_send(std::size_t number, bool waits) {
        Connection& connection = connections_[number];
        if (connection.waits_to_send == waits) return;
        connection.waits_to_send = waits;
        epoll_event event{};
        event.events = EPOLLIN | (waits ? static_cast<unsigned>(EPOLLOUT) : 0U);
        event.data.u64 = number;
        if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event) != 0) die("epoll_ctl");
    }

    // True when the append is acknowledged.
    bool receive(std::size_t number) {
        Connection& connection = connections_[number];
        const ssize_t got = ::recv(connection.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) return false;
        if (got <= 0) die("the server closed a connection");
        connection.came.append(buffer_.data(), static_cast<std::size_t>(got));
        const bool answered = connection.writer->take(connection.came, connection.out);
        if (!connection.out.empty()) send(number);
        if (!answered) return false;
        const auto now = Clock::now();
        if (now >= window_.from && now < window_.until) latencies_.add(now - connection.begin);
        return true;
    }

    const Window& window_;
    const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<Connection> connections_;
    std::vector<char> buffer_ = std::vector<char>(kReceiveBytes);
    cli::bench::Latencies latencies_;
};

void wait_until(Clock::time_point time) {
    for (auto left = time - Clock::now(); left.count() > 0; left = time - Clock::now()) {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        ::poll(nullptr, 0, static_cast<int>(ms));
    }
}

}  // namespace

void die(const std::string& what) {
    fmt::print(stderr, "klog_decide_bench: {}\n", what);
    std::exit(1);
}

int connect_to(const std::string& where) {
    if (where.starts_with('/')) return connect_unix(where);
    const std::size_t colon = where.rfind(':');
    if (colon == std::string::npos) die("a path or HOST:PORT, please");
    addrinfo* found = nullptr;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    const std::string host = where.substr(0, colon);
    if (::getaddrinfo(host.c_str(), where.c_str() + colon + 1, &hints, &found) != 0) {
        die("no such host: " + host);
    }
    const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        die("cannot connect to " + where);
    }
    ::freeaddrinfo(found);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

double processor_seconds(int pid) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) {
        die("no such process");
    }
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::string_view Events::next() {
    constexpr std::size_t kStep = 191;  // no two events begin at the same place for long
    event_.clear();
    fmt::format_to(std::back_inserter(event_), R"({{"writer":{},"n":{},"text":")", writer_,
                   count_++);
    const std::size_t wanted = kEventBytes - 2 - event_.size();
    at_ = (at_ + kStep) % (text().size() - kEventBytes);
    event_.append(text(), at_, wanted);
    event_ += "\"}";
    return event_;
}

Load run_load(const std::string& where, int server_pid,
              std::vector<std::unique_ptr<Writer>> writers, double seconds) {
    Window window;
    std::vector<std::unique_ptr<Share>> shares;
    for (std::size_t i = 0; i < std::min(kThreads, writers.size()); ++i) {
        shares.push_back(std::make_unique<Share>(window));
    }
    for (std::size_t i = 0; i < writers.size(); ++i) {
        shares[i % shares.size()]->add(where, std::move(writers[i]));
    }
    window.from = Clock::now() + kWarmUp;
    window.until = window.from + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(seconds));
    std::vector<std::jthread> running;
    running.reserve(shares.size());
    for (const auto& share : shares) running.emplace_back([&share] { share->run(); });
    Load load;
    wait_until(window.from);
    const double server = processor_seconds(server_pid);
    const double client = processor_seconds(::getpid());
    wait_until(window.until);
    load.server_seconds = processor_seconds(server_pid) - server;
    load.client_seconds = processor_seconds(::getpid()) - client;
    running.clear();
    cli::bench::Latencies all;
    for (const auto& share : shares) all.add(share->latencies());
    load.appends = all.size();
    load.seconds = seconds;
    if (load.appends == 0) die("nothing was acknowledged in time");
    const cli::bench::Figure figure = all.figure(1, seconds);
    load.p50_us = figure.p50_us;
    load.p99_us = figure.p99_us;
    return load;
}

}  // namespace klog::decide
