#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "daemon/http/listener.h"
#include "daemon/http/server.h"

namespace klog::http {
namespace {

constexpr mode_t kSocketMode = 0660;
constexpr std::size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

// Closes what it holds unless it was released.
class OwnedFd {
public:
    explicit OwnedFd(int fd) : fd_(fd) {}
    ~OwnedFd() {
        if (fd_ >= 0) ::close(fd_);
    }
    OwnedFd(const OwnedFd&) = delete;
    OwnedFd& operator=(const OwnedFd&) = delete;
    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

Error io_error(const std::string& what, int number) {
    return Error{Code::io, what + ": " + std::generic_category().message(number), ""};
}

sockaddr* as_sockaddr(void* address) { return static_cast<sockaddr*>(address); }

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

// Takes away a socket file that nobody serves. Another kind of file is left alone.
Status remove_stale(const std::string& path, sockaddr_un& address) {
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0) {
        if (errno == ENOENT) return {};
        return io_error("cannot look at " + path, errno);
    }
    if (!S_ISSOCK(file.st_mode)) {
        return Error{Code::config, "there is a file that is no socket at " + path,
                     "give the socket another path"};
    }
    const OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (probe.get() < 0) return io_error("cannot make a socket", errno);
    // A full backlog (EAGAIN) is a living server as well.
    if (::connect(probe.get(), as_sockaddr(&address), sizeof address) == 0 ||
        errno != ECONNREFUSED) {
        return Error{Code::locked, "another daemon serves " + path,
                     "stop it, or give this one another --socket"};
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return io_error("cannot remove the stale socket " + path, errno);
    }
    return {};
}

// "host:port" of an address on the loopback.
Result<std::pair<std::string, std::uint16_t>> split_address(const std::string& text) {
    const Error bad{Code::config, "the address " + text + " is not HOST:PORT",
                    "such as 127.0.0.1:7070 or [::1]:7070"};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) return bad;
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string::npos) {
        return bad;
    }
    std::uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end) return bad;
    if (host == "localhost") host = "127.0.0.1";
    return std::make_pair(std::move(host), port);
}

Error beyond_loopback(const std::string& address) {
    return Error{Code::config, "the address " + address + " is beyond the loopback",
                 "without tokens and TLS klog listens on 127.0.0.1, [::1] or localhost only"};
}

struct TcpAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

Result<TcpAddress> tcp_address(const std::string& text) {
    KLOG_TRY_ASSIGN(const auto host_port, split_address(text));
    const auto& [host, port] = host_port;
    TcpAddress address;
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        if ((ntohl(v4.sin_addr.s_addr) >> 24U) != 127) return beyond_loopback(text);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        address.size = sizeof v4;
        std::memcpy(&address.storage, &v4, sizeof v4);
    } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
        if (!IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return beyond_loopback(text);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        address.size = sizeof v6;
        std::memcpy(&address.storage, &v6, sizeof v6);
    } else {
        return beyond_loopback(text);
    }
    return address;
}

Result<std::string> url_of(int fd) {
    TcpAddress taken;
    taken.size = sizeof taken.storage;
    if (::getsockname(fd, as_sockaddr(&taken.storage), &taken.size) != 0) {
        return io_error("cannot ask for the port", errno);
    }
    std::array<char, INET6_ADDRSTRLEN> host{};
    if (taken.storage.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &taken.storage, sizeof v4);
        ::inet_ntop(AF_INET, &v4.sin_addr, host.data(), host.size());
        return "http://" + std::string(host.data()) + ":" + std::to_string(ntohs(v4.sin_port));
    }
    sockaddr_in6 v6{};
    std::memcpy(&v6, &taken.storage, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, host.data(), host.size());
    return "http://[" + std::string(host.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

}  // namespace

Status Server::check_tcp(const std::string& address) {
    KLOG_TRY(tcp_address(address));
    return {};
}

Result<ListeningSocket> bind_unix(const std::string& path) {
    if (path.empty() || path.size() > kPathBytesMax || path.find('\0') != std::string::npos) {
        return Error{Code::config,
                     "the socket path " + path + " has " + std::to_string(path.size()) +
                         " bytes, but a Unix socket's may have at most " +
                         std::to_string(kPathBytesMax),
                     "choose a shorter one with --socket"};
    }
    const std::size_t slash = path.rfind('/');
    const std::string folder =
        slash == std::string::npos ? "." : (slash == 0 ? "/" : path.substr(0, slash));
    // Between the probe and listen(2) nobody else may do the same: a socket that is bound and does
    // not listen yet looks stale.
    const OwnedFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder_fd.get() < 0) return io_error("cannot open the folder " + folder, errno);
    while (::flock(folder_fd.get(), LOCK_EX) != 0) {
        if (errno != EINTR) return io_error("cannot lock the folder " + folder, errno);
    }
    sockaddr_un address = unix_address(path);
    KLOG_TRY(remove_stale(path, address));
    OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) return io_error("cannot make a socket", errno);
    // The file gets the socket's mode less the umask, so it is never open wider than meant.
    if (::fchmod(fd.get(), kSocketMode) != 0 ||
        ::bind(fd.get(), as_sockaddr(&address), sizeof address) != 0) {
        return io_error("cannot bind " + path, errno);
    }
    ListeningSocket socket;
    if (::chmod(path.c_str(), kSocketMode) != 0 || ::lstat(path.c_str(), &socket.file) != 0 ||
        ::listen(fd.get(), SOMAXCONN) != 0) {
        const int number = errno;
        ::unlink(path.c_str());
        return io_error("cannot listen on " + path, number);
    }
    socket.fd = fd.release();
    socket.url = "unix://" + path;
    socket.unix_path = path;
    return socket;
}

Result<ListeningSocket> bind_tcp(const std::string& address) {
    KLOG_TRY_ASSIGN(TcpAddress to, tcp_address(address));
    OwnedFd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) return io_error("cannot make a socket", errno);
    const int on = 1;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return io_error("cannot set up a socket", errno);
    }
    if (::bind(fd.get(), as_sockaddr(&to.storage), to.size) != 0) {
        if (errno == EADDRINUSE) {
            return Error{Code::locked, "something else listens on " + address,
                         "choose another port, or port 0 for a free one"};
        }
        return io_error("cannot bind " + address, errno);
    }
    if (::listen(fd.get(), SOMAXCONN) != 0) return io_error("cannot listen on " + address, errno);
    ListeningSocket socket;
    KLOG_TRY_ASSIGN(socket.url, url_of(fd.get()));
    socket.fd = fd.release();
    return socket;
}

}  // namespace klog::http
