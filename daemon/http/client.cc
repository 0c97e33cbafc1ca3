#include "daemon/http/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/http/buffers.h"
#include "daemon/http/head_parse.h"
#include "daemon/http/head_scan.h"

namespace klog::http {
namespace {

using Clock = std::chrono::steady_clock;

// What a server may say in a head before it is taken for no HTTP.
constexpr HeadLimits kHeadLimits{8 * 1024, 256 * 1024, 1000};
constexpr std::size_t kReadBytes = 256 * 1024;

std::string describe(int number) { return std::generic_category().message(number); }

Error unknown_outcome(const std::string& what) { return Error{Code::outcome_unknown, what, ""}; }

// Where a URL points to.
struct Target {
    std::string unix_path;
    std::string host;
    std::string port;
    std::string host_header;
};

Result<Target> parse_url(const std::string& url) {
    constexpr std::string_view kUnix = "unix://";
    constexpr std::string_view kHttp = "http://";
    Target target;
    if (url.compare(0, kUnix.size(), kUnix) == 0) {
        target.unix_path = url.substr(kUnix.size());
        target.host_header = "localhost";
        if (target.unix_path.empty() || target.unix_path.front() != '/' ||
            target.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
            return Error{Code::usage, "the URL " + url + " names no socket",
                         "unix:///path/klog.sock"};
        }
        return target;
    }
    const Error bad{Code::usage, "the URL " + url + " is neither unix:///path nor http://host:port",
                    ""};
    if (url.compare(0, kHttp.size(), kHttp) != 0) return bad;
    std::string rest = url.substr(kHttp.size());
    if (!rest.empty() && rest.back() == '/') rest.pop_back();
    if (rest.empty() || rest.find_first_of("/?#@ ") != std::string::npos) return bad;
    target.host_header = rest;
    const std::size_t close = rest.find(']');
    const std::size_t colon = rest.find(':', close == std::string::npos ? 0 : close);
    target.host = rest.substr(0, colon);
    target.port = colon == std::string::npos ? "80" : rest.substr(colon + 1);
    if (target.host.size() > 2 && target.host.front() == '[' && target.host.back() == ']') {
        target.host = target.host.substr(1, target.host.size() - 2);
    }
    if (target.host.empty() || target.port.empty()) return bad;
    return target;
}

// Connects within the limit: a blocking connect(2) keeps to the time to send.
Status connect_within(int fd, const sockaddr* address, socklen_t size, const std::string& url,
                      std::chrono::milliseconds limit) {
    timeval time{};
    time.tv_sec = limit.count() / 1000;
    time.tv_usec = (limit.count() % 1000) * 1000;
    if (limit.count() > 0) ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    int result = -1;
    do {
        result = ::connect(fd, address, size);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return {};
    if (errno == EINPROGRESS || errno == EAGAIN) {
        return Error{Code::timeout, "no answer from " + url + " in time", ""};
    }
    return Error{Code::unreachable, "cannot reach " + url + ": " + describe(errno), ""};
}

Result<int> open_unix(const Target& target, const std::string& url,
                      std::chrono::milliseconds limit) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, target.unix_path.data(), target.unix_path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return Error{Code::io, "cannot make a socket: " + describe(errno), ""};
    void* raw = &address;
    if (Status status = connect_within(fd, static_cast<sockaddr*>(raw), sizeof address, url, limit);
        !status.ok()) {
        ::close(fd);
        return std::move(status).error();
    }
    return fd;
}

Result<int> open_tcp(const Target& target, const std::string& url,
                     std::chrono::milliseconds limit) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* list = nullptr;
    if (const int code = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &list);
        code != 0) {
        return Error{Code::unreachable, "cannot reach " + url + ": " + ::gai_strerror(code), ""};
    }
    Error last{Code::unreachable, "cannot reach " + url, ""};
    int connected = -1;
    for (const addrinfo* entry = list; entry != nullptr && connected < 0; entry = entry->ai_next) {
        const int fd = ::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) continue;
        Status status = connect_within(fd, entry->ai_addr, entry->ai_addrlen, url, limit);
        if (status.ok()) {
            connected = fd;
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        } else {
            last = std::move(status).error();
            ::close(fd);
        }
    }
    ::freeaddrinfo(list);
    if (connected < 0) return last;
    return connected;
}

class ClientImpl final : public Client {
public:
    ClientImpl(int fd, std::string host) : fd_(fd), host_(std::move(host)) {}
    ~ClientImpl() override { ::close(fd_); }
    ClientImpl(const ClientImpl&) = delete;
    ClientImpl& operator=(const ClientImpl&) = delete;

    Status send(const ClientRequest& request) override;
    Status write_body(std::string_view bytes) override;
    Status end_body() override;
    Result<ClientResponse> read_head(std::chrono::milliseconds limit) override;
    Result<std::string> read_body(std::size_t bytes_max, std::chrono::milliseconds limit) override;
    Result<std::string> read_all(std::size_t bytes_max, std::chrono::milliseconds limit) override;
    void shut_down() override { ::shutdown(fd_, SHUT_RDWR); }
    [[nodiscard]] int native_handle() const override { return fd_; }

private:
    using Deadline = std::optional<Clock::time_point>;  // none: forever

    static Deadline deadline_after(std::chrono::milliseconds limit) {
        if (limit == std::chrono::milliseconds::zero()) return std::nullopt;
        return Clock::now() + limit;
    }
    // False when the deadline has passed.
    [[nodiscard]] bool wait_for(short events, const Deadline& deadline) const;
    // Sends all pieces. sent gets how many bytes went out, also when it fails.
    Status send_all(iovec* pieces, std::size_t count, std::size_t& sent);
    // More bytes for in_: false at the end of what the peer sends.
    Result<bool> receive_more(const Deadline& deadline);
    Result<ClientResponse> take_head();
    Status begin_body(const ClientResponse& response, bool http_1_0);
    Result<std::string> take_body(std::size_t bytes_max);

    const int fd_;
    const std::string host_;
    InBuffer in_;
    HeadScanner scanner_{kHeadLimits};
    BodySource body_;
    bool to_end_ = false;  // the body lasts until the connection ends
    bool ended_ = false;
    std::atomic<bool> head_only_{false};  // the request was HEAD
};

bool ClientImpl::wait_for(short events, const Deadline& deadline) const {
    for (;;) {
        int timeout_ms = -1;
        if (deadline) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
            timeout_ms = static_cast<int>(std::clamp<long>(left, 0, 1L << 30));
        }
        pollfd state{fd_, events, 0};
        const int result = ::poll(&state, 1, timeout_ms);
        if (result > 0) return true;
        if (result == 0 && deadline && Clock::now() >= *deadline) return false;
    }
}

Status ClientImpl::send_all(iovec* pieces, std::size_t count, std::size_t& sent) {
    sent = 0;
    while (count > 0) {
        if (pieces->iov_len == 0) {
            ++pieces;
            --count;
            continue;
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = count;
        const ssize_t took = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (took < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                return unknown_outcome("the connection broke: " + describe(errno));
            }
            if (!wait_for(POLLOUT, std::nullopt)) {
                return unknown_outcome("the daemon takes nothing more");
            }
            continue;
        }
        auto left = static_cast<std::size_t>(took);
        sent += left;
        while (left > 0) {
            const std::size_t step = std::min(left, pieces->iov_len);
            pieces->iov_base = static_cast<char*>(pieces->iov_base) + step;
            pieces->iov_len -= step;
            left -= step;
            if (pieces->iov_len == 0 && --count > 0) ++pieces;
        }
    }
    return {};
}

// sendmsg(2) only reads what its pieces point to.
iovec piece_of(std::string_view bytes) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): iovec has no form for reading
    return iovec{const_cast<char*>(bytes.data()), bytes.size()};
}

Status ClientImpl::send(const ClientRequest& request) {
    std::string head;
    head.reserve(256 + request.target.size());
    head += request.method + ' ' + request.target + " HTTP/1.1\r\nHost: " + host_ + "\r\n";
    for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
    if (!request.content_type.empty()) head += "Content-Type: " + request.content_type + "\r\n";
    if (request.stream_body) {
        head += "Transfer-Encoding: chunked\r\n";
    } else if (!request.content_type.empty() || !request.body.empty()) {
        head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    }
    head += "\r\n";
    head_only_ = request.method == "HEAD";
    std::array<iovec, 2> pieces = {
        piece_of(head), piece_of(request.stream_body ? std::string_view() : request.body)};
    std::size_t sent = 0;
    Status status = send_all(pieces.data(), pieces.size(), sent);
    if (!status.ok() && sent == 0) {
        return Error{Code::unreachable, std::move(status).error().message, ""};
    }
    return status;
}

Status ClientImpl::write_body(std::string_view bytes) {
    if (bytes.empty()) return {};  // an empty chunk would end the body
    std::array<char, 24> size{};
    const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    std::array<iovec, 3> pieces = {
        piece_of(std::string_view(size.data(), static_cast<std::size_t>(length))), piece_of(bytes),
        piece_of("\r\n")};
    std::size_t sent = 0;
    return send_all(pieces.data(), pieces.size(), sent);
}

Status ClientImpl::end_body() {
    std::array<iovec, 1> pieces = {piece_of("0\r\n\r\n")};
    std::size_t sent = 0;
    return send_all(pieces.data(), pieces.size(), sent);
}

Result<bool> ClientImpl::receive_more(const Deadline& deadline) {
    for (;;) {
        std::size_t size = 0;
        switch (in_.receive_some(fd_, kReadBytes, size)) {
            case Received::bytes:
                return true;
            case Received::end:
                ended_ = true;
                return false;
            case Received::broken:
                return unknown_outcome("the connection broke: " + describe(errno));
            case Received::blocked:
                break;
        }
        if (!wait_for(POLLIN, deadline)) {
            return Error{Code::timeout, "no answer in time", ""};
        }
    }
}

Result<ClientResponse> ClientImpl::read_head(std::chrono::milliseconds limit) {
    const Deadline deadline = deadline_after(limit);
    for (;;) {
        switch (scanner_.scan(in_.view())) {
            case HeadScanner::State::done: {
                KLOG_TRY_ASSIGN(ClientResponse response, take_head());
                // 100 Continue and the like announce the answer, they are none.
                if (response.status < 200) continue;
                return response;
            }
            case HeadScanner::State::failed:
                return Error{Code::not_klog,
                             "the answer is no HTTP: " + scanner_.failure().error.message, ""};
            case HeadScanner::State::more:
                break;
        }
        KLOG_TRY_ASSIGN(const bool more, receive_more(deadline));
        if (!more && in_.empty()) return unknown_outcome("the connection was closed");
        if (!more) {
            constexpr std::string_view kStart = "HTTP/1.";
            if (in_.view().substr(0, kStart.size()) == kStart) {
                return unknown_outcome("the connection was closed within the answer");
            }
            return Error{Code::not_klog, "the answer is no HTTP", ""};
        }
    }
}

Result<ClientResponse> ClientImpl::take_head() {
    auto parsed =
        parse_response_head(in_.view().substr(scanner_.begin(), scanner_.end() - scanner_.begin()));
    if (!parsed.ok()) {
        return Error{Code::not_klog, "the answer is no HTTP: " + parsed.error().message, ""};
    }
    in_.consume(scanner_.end());
    scanner_.reset();
    ClientResponse response;
    response.status = parsed->status;
    response.headers = std::move(parsed->fields);
    response.content_type = std::string(response.header("content-type").value_or(""));
    KLOG_TRY(begin_body(response, parsed->http_1_0));
    return response;
}

Status ClientImpl::begin_body(const ClientResponse& response, bool http_1_0) {
    body_ = BodySource();
    to_end_ = false;
    if (response.status < 200 || response.status == 204 || response.status == 304 || head_only_) {
        return {};
    }
    const auto coding = response.header("transfer-encoding");
    const auto length = response.header("content-length");
    if (coding) {
        if (*coding != "chunked" || length || http_1_0) {
            return Error{Code::not_klog, "the answer's framing is unclear", ""};
        }
        body_.set_chunked();
        return {};
    }
    if (!length) {
        to_end_ = true;
        return {};
    }
    std::uint64_t bytes = 0;
    constexpr std::size_t kDigitsMax = 18;
    if (length->empty() || length->size() > kDigitsMax) {
        return Error{Code::not_klog, "the answer's length is no number", ""};
    }
    for (const char c : *length) {
        if (c < '0' || c > '9')
            return Error{Code::not_klog, "the answer's length is no number", ""};
        bytes = bytes * 10 + static_cast<std::uint64_t>(c - '0');
    }
    body_.set_length(bytes);
    return {};
}

// From what is in in_; empty if that has no byte of the body.
Result<std::string> ClientImpl::take_body(std::size_t bytes_max) {
    const std::size_t size = std::min(in_.size(), bytes_max);
    std::size_t consumed = size;
    std::size_t produced = size;
    if (!to_end_) {
        auto step = body_.take(in_.data(), size);
        if (!step.ok()) return unknown_outcome(std::move(step).error().message);
        consumed = step->consumed;
        produced = step->produced;
    }
    std::string out(in_.data(), produced);
    in_.consume(consumed);
    return out;
}

Result<std::string> ClientImpl::read_body(std::size_t bytes_max, std::chrono::milliseconds limit) {
    const Deadline deadline = deadline_after(limit);
    for (;;) {
        while (!in_.empty() && (to_end_ || !body_.done())) {
            KLOG_TRY_ASSIGN(std::string out, take_body(bytes_max));
            if (!out.empty()) return out;
        }
        if (!to_end_ && body_.done()) return std::string();
        if (to_end_ && ended_) return std::string();
        KLOG_TRY_ASSIGN(const bool more, receive_more(deadline));
        if (!more && !to_end_)
            return unknown_outcome("the connection was closed within the answer");
    }
}

Result<std::string> ClientImpl::read_all(std::size_t bytes_max, std::chrono::milliseconds limit) {
    const Deadline deadline = deadline_after(limit);
    std::string all;
    for (;;) {
        std::chrono::milliseconds left{0};
        if (deadline) {
            left = std::max(std::chrono::milliseconds(1),
                            std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()));
        }
        KLOG_TRY_ASSIGN(const std::string some, read_body(bytes_max - all.size() + 1, left));
        if (some.empty()) return all;
        all += some;
        if (all.size() > bytes_max) {
            return Error{Code::value_too_large,
                         "the answer has more than " + std::to_string(bytes_max) + " bytes", ""};
        }
    }
}

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(const std::string& url,
                                                std::chrono::milliseconds limit) {
    KLOG_TRY_ASSIGN(const Target target, parse_url(url));
    int fd = -1;
    if (target.unix_path.empty()) {
        KLOG_TRY_ASSIGN(fd, open_tcp(target, url, limit));
    } else {
        KLOG_TRY_ASSIGN(fd, open_unix(target, url, limit));
    }
    return std::unique_ptr<Client>(std::make_unique<ClientImpl>(fd, target.host_header));
}

}  // namespace klog::http
