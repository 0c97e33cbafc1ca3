#include "daemon/http/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace klog::http {
namespace {

// Accepted in a row before other work gets the thread.
constexpr int kAcceptsInARowMax = 32;
// Without descriptors or memory there is nothing to accept with: wait for some to come free.
constexpr std::chrono::milliseconds kRetryAfter{50};

}  // namespace

Listener::Listener(boost::asio::io_context& io, ListeningSocket socket,
                   std::function<void(int, bool)> on_accept)
    : socket_(std::move(socket)),
      on_accept_(std::move(on_accept)),
      descriptor_(io.get_executor(), socket_.fd),
      retry_(io) {}

Listener::~Listener() = default;

void Listener::start() {
    const MutexLock lock(mutex_);
    if (!closed_) wait();
}

void Listener::close() {
    const MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    boost::system::error_code ignored;
    retry_.cancel();
    // The file goes first: a path that refuses connections would look stale to others.
    if (owns_file()) ::unlink(socket_.unix_path.c_str());
    descriptor_.close(ignored);
}

// A file system may give the number of a removed file to a new one, but not its time as well.
bool Listener::owns_file() const {
    if (socket_.unix_path.empty()) return false;
    struct stat now {};
    return ::lstat(socket_.unix_path.c_str(), &now) == 0 && now.st_dev == socket_.file.st_dev &&
           now.st_ino == socket_.file.st_ino && now.st_mtim.tv_sec == socket_.file.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == socket_.file.st_mtim.tv_nsec;
}

void Listener::wait() {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (!error) self->accept_some();
                           });
}

void Listener::accept_some() {
    const MutexLock lock(mutex_);
    for (int i = 0; i < kAcceptsInARowMax && !closed_; ++i) {
        const int fd = ::accept4(socket_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            const bool tcp = socket_.unix_path.empty();
            // An answer must not wait for the acknowledgement of the one before.
            const int on = 1;
            if (tcp) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            on_accept_(fd, tcp);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            retry_.expires_after(kRetryAfter);
            retry_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
                if (!error) self->accept_some();
            });
            return;
        }
        // EAGAIN ends the row; a connection that was given up meanwhile is nobody's.
        if (errno != ECONNABORTED && errno != EINTR) break;
    }
    if (!closed_) wait();
}

}  // namespace klog::http
