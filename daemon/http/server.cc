#include "daemon/http/server.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "daemon/http/connection.h"
#include "daemon/http/listener.h"
#include "daemon/http/server_core.h"
#include "daemon/short_turns.h"

namespace klog::http {
namespace {

// Connections that are told that there are too many; beyond them one is closed without a word.
constexpr std::size_t kRefusedMax = 64;
// For connections to notice that the server ends.
constexpr std::chrono::milliseconds kStopTimeout{2000};

class ServerImpl final : public Server {
public:
    ServerImpl(const ServerOptions& options, Handler& handler)
        : core_(std::make_shared<ServerCore>(options, handler)),
          work_(boost::asio::make_work_guard(core_->io)) {}

    ~ServerImpl() override { stop(); }

    Status listen_unix(const std::string& path) override {
        KLOG_TRY_ASSIGN(ListeningSocket socket, bind_unix(path));
        add_listener(std::move(socket));
        return {};
    }

    Result<std::string> listen_tcp(const std::string& address) override {
        KLOG_TRY_ASSIGN(ListeningSocket socket, bind_tcp(address));
        std::string url = socket.url;
        add_listener(std::move(socket));
        return url;
    }

    void close_unix(const std::string& path) override {
        const MutexLock lock(mutex_);
        std::erase_if(listeners_, [&](const std::shared_ptr<Listener>& listener) {
            if (listener->unix_path() != path) return false;
            listener->close();
            return true;
        });
    }

    [[nodiscard]] bool owns_unix(const std::string& path) const override {
        const MutexLock lock(mutex_);
        return std::any_of(listeners_.begin(), listeners_.end(), [&](const auto& listener) {
            return listener->unix_path() == path && listener->owns_file();
        });
    }

    Status start() override {
        const MutexLock lock(mutex_);
        for (const auto& listener : listeners_) listener->start();
        started_ = true;
        try {
            accepting_ = std::jthread([core = core_] {
                ask_for_short_turns();
                run_io(*core);
            });
        } catch (const std::system_error& error) {
            return Error{Code::io, std::string("cannot start a thread: ") + error.what(), ""};
        }
        return core_->loop.start(std::max(1U, core_->options.io_threads));
    }

    void drain(std::chrono::milliseconds limit) override {
        core_->draining = true;
        close_listeners();
        for (const auto& connection : core_->connections()) connection->begin_drain();
        core_->wait_until_none(limit);
        stop();
    }

    [[nodiscard]] ServerStats stats() const override {
        ServerStats stats;
        stats.connections_open = core_->connections_open();
        stats.connections_max =
            std::min(core_->options.limits.connections_max, core_->descriptors_max);
        stats.connections_total = core_->connections_total.load(std::memory_order_relaxed);
        stats.requests_total = core_->requests_total.load(std::memory_order_relaxed);
        stats.responses_4xx = core_->responses_4xx.load(std::memory_order_relaxed);
        stats.responses_5xx = core_->responses_5xx.load(std::memory_order_relaxed);
        return stats;
    }

private:
    void add_listener(ListeningSocket socket) {
        // The core holds the listener through what it waits for, so it must not hold the core.
        std::weak_ptr<ServerCore> weak = core_;
        auto listener =
            std::make_shared<Listener>(core_->io, std::move(socket),
                                       [weak](int fd, bool tcp) { accept(weak.lock(), fd, tcp); });
        const MutexLock lock(mutex_);
        if (started_) listener->start();
        listeners_.push_back(std::move(listener));
    }

    static void accept(std::shared_ptr<ServerCore> core, int fd, bool tcp) {
        const std::size_t open = core ? core->connections_open() : 0;
        const std::size_t most = core ? core->options.limits.connections_max : 0;
        const auto descriptor = static_cast<std::size_t>(fd);
        if (!core || core->draining || open >= most + kRefusedMax ||
            descriptor >= core->descriptors_for_refusals) {
            ::close(fd);
            return;
        }
        const bool refused = open >= most || descriptor >= core->descriptors_max;
        std::shared_ptr<Connection> connection;
        try {
            connection = std::make_shared<Connection>(core, fd, tcp);
        } catch (const std::exception&) {
            ::close(fd);  // no memory for one more: as with too many of them
            return;
        }
        try {
            core->add(connection);
        } catch (const std::exception&) {
            return;  // it closes as it ends
        }
        // No room in epoll for one more is the same.
        if (!connection->start(refused)) core->remove(connection.get());
    }

    // A timer that finds no memory for what it wanted is lost, and no more than that.
    static void run_io(ServerCore& core) {
        for (;;) {
            try {
                core.io.run();
                return;
            } catch (const std::bad_alloc&) {
                continue;
            }
        }
    }

    void close_listeners() {
        const MutexLock lock(mutex_);
        for (const auto& listener : listeners_) listener->close();
        listeners_.clear();
    }

    void stop() {
        std::jthread accepting;
        {
            const MutexLock lock(mutex_);
            accepting.swap(accepting_);
        }
        core_->draining = true;
        close_listeners();
        for (const auto& connection : core_->connections()) connection->stop();
        if (accepting.joinable()) core_->wait_until_none(kStopTimeout);
        core_->join_blocking();
        core_->loop.stop();
        work_.reset();
        core_->io.stop();
        accepting = std::jthread();
        // What was cancelled is still queued and holds its connection, which holds the core.
        core_->io.restart();
        core_->io.poll();
    }

    const std::shared_ptr<ServerCore> core_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    mutable Mutex mutex_;
    std::vector<std::shared_ptr<Listener>> listeners_ KLOG_GUARDED_BY(mutex_);
    std::jthread accepting_ KLOG_GUARDED_BY(mutex_);
    bool started_ KLOG_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<Server> Server::make(const ServerOptions& options, Handler& handler) {
    return std::make_unique<ServerImpl>(options, handler);
}

}  // namespace klog::http
