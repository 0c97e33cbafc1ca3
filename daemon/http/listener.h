// One listening socket: makes it, accepts on it, removes it. For Unix sockets it knows whether the
// file at its path is still its own.
#ifndef KLOG_DAEMON_HTTP_LISTENER_H
#define KLOG_DAEMON_HTTP_LISTENER_H

#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "daemon/http/asio.h"
#include "klog/result.h"

namespace klog::http {

struct ListeningSocket {
    int fd = -1;
    std::string url;        // with the port that was taken
    std::string unix_path;  // empty for TCP
    struct stat file {};    // of unix_path, as it was made
};

// As Server::listen_unix and Server::listen_tcp say. The caller owns fd.
[[nodiscard]] Result<ListeningSocket> bind_unix(const std::string& path);
[[nodiscard]] Result<ListeningSocket> bind_tcp(const std::string& address);

// Any thread may call anything here.
class Listener : public std::enable_shared_from_this<Listener> {
public:
    // on_accept gets a socket that does not block; it owns it.
    Listener(boost::asio::io_context& io, ListeningSocket socket,
             std::function<void(int fd, bool tcp)> on_accept);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    void start() KLOG_EXCLUDES(mutex_);
    // Accepts no more, and removes the file if it is still its own.
    void close() KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool owns_file() const;
    [[nodiscard]] const std::string& unix_path() const { return socket_.unix_path; }

private:
    void wait() KLOG_REQUIRES(mutex_);
    void accept_some() KLOG_EXCLUDES(mutex_);

    const ListeningSocket socket_;
    const std::function<void(int fd, bool tcp)> on_accept_;
    Mutex mutex_;
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> descriptor_
        KLOG_GUARDED_BY(mutex_);
    SteadyTimer retry_ KLOG_GUARDED_BY(mutex_);
    bool closed_ KLOG_GUARDED_BY(mutex_) = false;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_LISTENER_H
