#include "tests/bench/followers_load.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace klog::followers {
namespace {

using std::chrono::seconds;

constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::size_t kValueBytes = 128;
constexpr seconds kOpenLimit{120};
constexpr std::chrono::milliseconds kLook{1};
constexpr std::string_view kDue = "\"due\":";
constexpr std::string_view kNumber = "\"n\":";
constexpr std::string_view kMark = "{\"mark\":";

int connect_unix(const std::string& path, bool wait) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) die("the socket's path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    if (fd < 0) die("no descriptor: ulimit -n");
    // A full backlog says EAGAIN at once where nobody waits.
    while (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno != EAGAIN && errno != EINTR) die("cannot connect to " + path);
        wait_for(kLook);
    }
    return fd;
}

int connect_tcp(const std::string& host, const std::string& port, bool wait) {
    addrinfo* found = nullptr;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) die("no such host");
    const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, found->ai_addr, found->ai_addrlen) != 0) die("cannot connect");
    ::freeaddrinfo(found);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    timeval soon{0, 1};
    if (!wait) ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    return fd;
}

void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t some = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (some < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (some <= 0) die("the daemon closed a connection");
        bytes.remove_prefix(static_cast<std::size_t>(some));
    }
}

std::uint64_t number_behind(std::string_view line, std::string_view name) {
    const std::size_t at = line.find(name);
    if (at == line.npos) return 0;
    std::uint64_t number = 0;
    std::from_chars(line.data() + at + name.size(), line.data() + line.size(), number);
    return number;
}

std::string query_of(Mix mix, std::size_t index) {
    const bool key = mix == Mix::key || (mix == Mix::half && index % 2 == 0);
    if (mix == Mix::all) return "filter=f/%3E";
    if (key) return fmt::format("filter=f/%3E&key=k{}", index);
    if (index % 4 == 1) return fmt::format("filter=*/{}/%3E", index);
    return fmt::format("filter=f/{}/x*", index);
}

}  // namespace

void die(const std::string& what) {
    fmt::print(stderr, "klog_followers_bench: {}\n", what);
    std::exit(1);
}

// ppoll(2) waits to the microsecond where poll(2) has milliseconds.
void wait_for(std::chrono::nanoseconds time) {
    timespec pace{};
    pace.tv_sec = static_cast<time_t>(std::chrono::duration_cast<seconds>(time).count());
    pace.tv_nsec = static_cast<long>(time.count() % 1'000'000'000);
    ::ppoll(nullptr, 0, &pace, nullptr);
}

std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
}

int connect_to(const std::string& where, bool wait) {
    if (where.starts_with('/')) return connect_unix(where, wait);
    const std::size_t colon = where.rfind(':');
    if (colon == std::string::npos) die("a path or HOST:PORT, please");
    return connect_tcp(where.substr(0, colon), where.substr(colon + 1), wait);
}

std::string envelope(std::string_view topic_root, std::size_t follower, std::size_t number,
                     std::uint64_t due_ns) {
    std::string value =
        fmt::format(R"({{"due":{},"i":{},"n":{},"pad":")", due_ns, follower, number);
    value.append(kValueBytes - 2 - std::min(value.size(), kValueBytes - 2), 'x');
    const bool found = topic_root == "f";
    return fmt::format(R"({{"topic":"{}/{}{}/x","key":"{}{}","value":{}"}}}})"
                       "\n",
                       topic_root, found ? "" : "not", follower, found ? 'k' : 'q', follower,
                       value);
}

Crowd::Crowd(std::string where, std::size_t count, Mix mix)
    : where_(std::move(where)), count_(count), mix_(mix), buffer_(kBufferBytes) {}

Crowd::~Crowd() { close(); }

void Crowd::open_one(std::size_t index) {
    Peer& peer = peers_[index];
    peer = Peer{};
    peer.fd = connect_to(where_, false);
    send_all(peer.fd, fmt::format("GET /v1/records?{}&follow=true&marks=true HTTP/1.1\r\n"
                                  "Host: localhost\r\n\r\n",
                                  query_of(mix_, index)));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, peer.fd, &event) != 0) die("epoll_ctl");
}

void Crowd::open() {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    peers_.resize(count_);
    caught_up_ = received_ = closed_ = 0;
    stop_ = false;
    latencies_.clear();
    thread_ = std::thread([this] { run(); });
    for (std::size_t i = 0; i < count_; ++i) open_one(i);
    const auto limit = Clock::now() + kOpenLimit;
    while (caught_up_ < count_ && closed_ == 0 && Clock::now() < limit) wait_for(kLook);
    if (caught_up_ < count_) die(fmt::format("{} of {} followers", caught_up_.load(), count_));
}

void Crowd::close() {
    if (!thread_.joinable()) return;
    stop_ = true;
    thread_.join();
    for (const Peer& peer : peers_) ::close(peer.fd);
    ::close(epoll_);
}

void Crowd::pause(bool paused) { paused_ = paused; }

bool Crowd::wait_received(std::uint64_t total, seconds limit) const {
    const auto until = Clock::now() + limit;
    while (received() < total && Clock::now() < until) wait_for(kLook);
    return received() >= total;
}

std::vector<float> Crowd::take_latencies() {
    const std::lock_guard lock(mutex_);
    return std::exchange(latencies_, {});
}

void Crowd::run() {
    std::array<epoll_event, 512> events{};
    constexpr int kWaitMs = 20;
    while (!stop_) {
        if (paused_) {
            wait_for(kLook);
            continue;
        }
        const int count =
            ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kWaitMs);
        for (int i = 0; i < count; ++i) receive(events[static_cast<std::size_t>(i)].data.u64);
    }
}

void Crowd::receive(std::size_t index) {
    Peer& peer = peers_[index];
    const ssize_t some = ::recv(peer.fd, buffer_.data(), buffer_.size(), 0);
    if (some < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (some <= 0) {
        ++closed_;
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, peer.fd, nullptr);
        return;
    }
    take(peer, index, {buffer_.data(), static_cast<std::size_t>(some)});
}

void Crowd::take(Peer& peer, std::size_t index, std::string_view bytes) {
    for (;;) {
        const std::size_t end = bytes.find('\n');
        if (end == bytes.npos) {
            peer.rest += bytes;
            return;
        }
        if (peer.rest.empty()) {
            take_line(peer, index, bytes.substr(0, end));
        } else {
            peer.rest += bytes.substr(0, end);
            take_line(peer, index, std::exchange(peer.rest, {}));
        }
        bytes.remove_prefix(end + 1);
    }
}

void Crowd::take_line(Peer& peer, std::size_t index, std::string_view line) {
    if (line.starts_with(kMark) && !peer.caught_up) {
        peer.caught_up = true;
        ++caught_up_;
    }
    const std::size_t at = line.find(kDue);
    if (at == line.npos) {
        if (line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.1 200")) {
            fmt::print(stderr, "follower {}: {}\n", index, line);
        }
        return;
    }
    const std::string_view value = line.substr(at);
    const std::uint64_t due = number_behind(value, kDue);
    if (ordered_) {
        const bool mine = mix_ == Mix::all || number_behind(value, "\"i\":") == index;
        if (!mine || number_behind(value, kNumber) != peer.next) ++wrong_;
        ++peer.next;
    }
    if (due > 0) {
        const std::lock_guard lock(mutex_);
        latencies_.push_back(static_cast<float>(now_ns() - due) / 1000);
    }
    ++received_;
}

Producer::Producer(const std::string& where, bool acks)
    : fd_(connect_to(where, true)), acks_(acks), buffer_(kBufferBytes) {
    send_all(fd_, fmt::format("POST /v1/records?envelope=true{} HTTP/1.1\r\nHost: localhost\r\n"
                              "Content-Type: application/x-ndjson\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n",
                              acks ? "" : "&acks=summary"));
}

Producer::~Producer() { ::close(fd_); }

void Producer::send(std::string_view lines) const {
    if (lines.empty()) return;
    send_all(fd_, fmt::format("{:x}\r\n{}\r\n", lines.size(), lines));
}

void Producer::wait_acks(std::uint64_t sent, std::uint64_t open) {
    while (acked_ + open < sent) {
        const ssize_t some = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
        if (some <= 0) die("the daemon closed the producer's connection");
        const std::string_view came(buffer_.data(), static_cast<std::size_t>(some));
        if (came.find("\"code\"") != came.npos) die(std::string(came.substr(0, 500)));
        acked_ += static_cast<std::uint64_t>(std::count(came.begin(), came.end(), '}'));
    }
}

bool Producer::finish(std::uint64_t sent) {
    send_all(fd_, "0\r\n\r\n");
    if (acks_) {
        wait_acks(sent, 0);
        return true;
    }
    std::string answer;
    while (answer.find("\"count\":") == answer.npos || !answer.ends_with('\n')) {
        const ssize_t some = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
        if (some <= 0) die("the daemon closed the producer's connection: " + answer);
        answer.append(buffer_.data(), static_cast<std::size_t>(some));
    }
    return number_behind(answer, "\"count\":") == sent;
}

}  // namespace klog::followers
