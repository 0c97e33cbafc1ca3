// What a server's connections share.
#ifndef KLOG_DAEMON_HTTP_SERVER_CORE_H
#define KLOG_DAEMON_HTTP_SERVER_CORE_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "daemon/http/asio.h"
#include "daemon/http/io_loop.h"
#include "daemon/http/request_head.h"
#include "daemon/http/server.h"
#include "daemon/http/work_queue.h"

namespace klog::http {

class Connection;

// Any thread may call anything here. Lives until the last connection is gone.
class ServerCore {
public:
    ServerCore(const ServerOptions& options, Handler& handler);

    const ServerOptions options;
    // A connection whose descriptor is not below this is refused: what lies above is for files. The
    // system gives the lowest that is free, so files count here as well as connections do.
    const std::size_t descriptors_max;
    // Between the two some are told that they are refused; beyond it they are closed.
    const std::size_t descriptors_for_refusals;
    // Shared by all connections over TCP, and by all over Unix sockets.
    const RequestRules tcp_rules;
    const RequestRules unix_rules;
    Handler& handler;
    boost::asio::io_context io;  // accepts and keeps time, on one thread
    IoLoop loop;                 // serves connections

    std::atomic<bool> draining{false};
    std::atomic<std::size_t> unsent_bytes{0};  // of all connections, as their turns ended
    std::atomic<std::uint64_t> connections_total{0};
    std::atomic<std::uint64_t> requests_total{0};
    std::atomic<std::uint64_t> responses_4xx{0};
    std::atomic<std::uint64_t> responses_5xx{0};

    void add(const std::shared_ptr<Connection>& connection) KLOG_EXCLUDES(mutex_);
    void remove(Connection* connection) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::size_t connections_open() const KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::vector<std::shared_ptr<Connection>> connections() KLOG_EXCLUDES(mutex_);
    // False if connections are left when the limit has passed.
    bool wait_until_none(std::chrono::milliseconds limit) KLOG_EXCLUDES(mutex_);

    // Threads that may block start with the first work for them. The lowest order comes first.
    void run_blocking(std::uint64_t order, std::function<void()> work) KLOG_EXCLUDES(mutex_);
    void join_blocking() KLOG_EXCLUDES(mutex_);

private:
    WorkQueue waiting_;
    mutable Mutex mutex_;
    std::condition_variable_any none_left_;
    std::unordered_map<Connection*, std::weak_ptr<Connection>> connections_ KLOG_GUARDED_BY(mutex_);
    std::unique_ptr<boost::asio::thread_pool> blocking_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_SERVER_CORE_H
