#include "daemon/http/server_core.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

#include "daemon/http/connection.h"

namespace klog::http {
namespace {

// What is kept of the descriptors for files: an eighth, at most so many, and at least what
// WAL files, indexes and a segment that is being made need, where that is not too much of all.
constexpr std::size_t kReserveMax = 256;
constexpr std::size_t kReserveMin = 24;
constexpr std::size_t kReserveShare = 8;

std::size_t descriptors_of_process() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return std::numeric_limits<std::size_t>::max();
    }
    return limit.rlim_cur;
}

std::size_t reserve_of(std::size_t descriptors) {
    const std::size_t least = kReserveMin <= descriptors / 4 ? kReserveMin : 0;
    return std::min(std::max(descriptors / kReserveShare, least), kReserveMax);
}

// For those that are told that there is no room.
std::size_t descriptors_for_refusal(const ServerLimits& limits) {
    constexpr std::size_t kShare = 4;
    return limits.descriptors_max != 0 ? kReserveMax
                                       : reserve_of(descriptors_of_process()) / kShare;
}

std::size_t descriptors_for_connections(const ServerLimits& limits) {
    if (limits.descriptors_max != 0) return limits.descriptors_max;
    const std::size_t all = descriptors_of_process();
    return all - reserve_of(all);
}

RequestRules make_rules(const ServerOptions& options, bool tcp) {
    RequestRules rules;
    rules.target_bytes_max = options.limits.target_bytes_max;
    rules.body_bytes_max = options.limits.body_bytes_max;
    rules.loopback_host_only = tcp;
    rules.allowed_origins = options.allowed_origins;
    return rules;
}

}  // namespace

ServerCore::ServerCore(const ServerOptions& server_options, Handler& server_handler)
    : options(server_options),
      descriptors_max(descriptors_for_connections(server_options.limits)),
      descriptors_for_refusals(descriptors_max + descriptors_for_refusal(server_options.limits)),
      tcp_rules(make_rules(server_options, true)),
      unix_rules(make_rules(server_options, false)),
      handler(server_handler) {}

void ServerCore::add(const std::shared_ptr<Connection>& connection) {
    connections_total.fetch_add(1, std::memory_order_relaxed);
    const MutexLock lock(mutex_);
    connections_.emplace(connection.get(), connection);
}

void ServerCore::remove(Connection* connection) {
    const MutexLock lock(mutex_);
    connections_.erase(connection);
    if (connections_.empty()) none_left_.notify_all();
}

std::size_t ServerCore::connections_open() const {
    const MutexLock lock(mutex_);
    return connections_.size();
}

std::vector<std::shared_ptr<Connection>> ServerCore::connections() {
    std::vector<std::shared_ptr<Connection>> out;
    const MutexLock lock(mutex_);
    out.reserve(connections_.size());
    for (const auto& [key, weak] : connections_) {
        if (auto connection = weak.lock()) out.push_back(std::move(connection));
    }
    return out;
}

bool ServerCore::wait_until_none(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    const MutexLock lock(mutex_);
    while (!connections_.empty()) {
        if (none_left_.wait_until(mutex_, deadline) == std::cv_status::timeout) {
            return connections_.empty();
        }
    }
    return true;
}

void ServerCore::run_blocking(std::uint64_t order, std::function<void()> work) {
    waiting_.add(order, std::move(work));
    const MutexLock lock(mutex_);
    if (!blocking_) {
        blocking_ = std::make_unique<boost::asio::thread_pool>(options.blocking_threads);
    }
    // One turn for each that waits; which one it is for shows when it comes.
    boost::asio::post(*blocking_, [this] {
        if (const auto next = waiting_.take()) next();
    });
}

void ServerCore::join_blocking() {
    std::unique_ptr<boost::asio::thread_pool> blocking;
    {
        const MutexLock lock(mutex_);
        blocking = std::move(blocking_);
    }
    if (blocking) blocking->join();
}

}  // namespace klog::http
