#include "daemon/daemon.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>

#include "base/memory.h"
#include "daemon/api/api.h"
#include "daemon/http/server.h"
#include "daemon/process_dirs.h"
#include "daemon/process_signals.h"
#include "daemon/short_turns.h"
#include "daemon/sockets.h"
#include "klog/log.h"

namespace klog {
namespace {

using std::chrono::milliseconds;

// How long requests may go on once the daemon was asked to end.
constexpr milliseconds kDrainMax{5000};
// How often the main thread looks whether the store failed.
constexpr milliseconds kLook{1000};
// Every so many looks it sees whether its sockets are still there.
constexpr int kLooksPerSocketCheck = 5;
// Every so many looks it says how far a rebuild is.
constexpr int kLooksPerProgress = 5;
// A start that would have to make the heads of more records anew than this serves reads by seq
// meanwhile; fewer take less than a second.
constexpr std::uint64_t kRebuildLaterRecords = 500'000;

// Threads for what the store does beside requests. They end with this object.
class LentThreads {
public:
    explicit LentThreads(Store& store) : store_(store) {}

    Status start() {
        try {
            writer_ = std::jthread([this](std::stop_token stop) {
                ask_for_short_turns();
                store_.run_writer(stop);
            });
            maintenance_ =
                std::jthread([this](std::stop_token stop) { store_.run_maintenance(stop); });
            sealer_ = std::jthread([this](std::stop_token stop) {
                yield_to_others();
                store_.run_sealer(stop);
            });
        } catch (const std::system_error& error) {
            return Error{Code::io, std::string("cannot start a thread: ") + error.what(), ""};
        }
        return {};
    }

    void stop() {
        writer_.request_stop();
        maintenance_.request_stop();
        sealer_.request_stop();
        writer_ = {};
        maintenance_ = {};
        sealer_ = {};
    }

private:
    Store& store_;
    std::jthread writer_;
    std::jthread maintenance_;
    std::jthread sealer_;
};

class Daemon {
public:
    explicit Daemon(const DaemonOptions& options) : options_(options) {
        log_ = [this](const std::string& line) {
            if (options_.log) options_.log(line);
        };
    }

    Status run() {
        KLOG_TRY_ASSIGN(signals_, EndSignals::block(options_.life_line_fd));
        raise_descriptor_limit();
        env_ = make_posix_env({.sync = !options_.ephemeral});
        KLOG_TRY(find_data_dir());
        KLOG_TRY(check_addresses());
        KLOG_TRY(open_store());
        const Status served = serve();
        if (!options_.read_only) remove_pid(data_dir_);
        // A store that failed has nothing left to close.
        const Status closed = served.ok() || !store_->stats().failed ? store_->close() : Status();
        KLOG_TRY(served);
        KLOG_TRY(closed);
        log_("stopped");
        return {};
    }

private:
    Status find_data_dir() {
        if (options_.ephemeral) {
            KLOG_TRY_ASSIGN(ephemeral_, EphemeralDir::make(*env_));
            data_dir_ = ephemeral_->path();
            return {};
        }
        if (options_.data_dir.empty()) {
            return Error{Code::config, "neither HOME nor XDG_DATA_HOME says where data goes",
                         "--data-dir DIR"};
        }
        KLOG_TRY_ASSIGN(data_dir_, absolute_path(options_.data_dir));
        if (options_.read_only) return {};
        return check_socket_path(own_socket(), "choose a shorter --data-dir");
    }

    // Before anything is made or opened.
    [[nodiscard]] Status check_addresses() const {
        if (!options_.socket.empty()) {
            KLOG_TRY_ASSIGN(const std::string path, absolute_path(options_.socket));
            KLOG_TRY(check_socket_path(path, "choose a shorter --socket"));
            KLOG_TRY(check_outside(path));
        }
        for (const std::string& address : options_.listen) {
            KLOG_TRY(http::Server::check_tcp(address));
        }
        return {};
    }

    [[nodiscard]] std::string own_socket() const { return data_dir_ + "/klog.sock"; }

    // With what a person can do about it.
    [[nodiscard]] Error explained(Error error) const {
        if (error.code == Code::not_allowed && error.hint.empty()) {
            error.hint = "another --data-dir, or its owner and mode: ls -ld " + data_dir_;
            if (!options_.read_only) error.hint += "; --read-only needs no more than to read";
        }
        if (error.code == Code::not_found) {  // there can be no such folder
            error.code = Code::config;
            error.hint = "another --data-dir";
        }
        return error;
    }

    Status open_store() {
        share_heaps();
        StoreOptions options;
        options.dir = data_dir_;
        options.value_bytes_max = options_.value_bytes_max;
        options.writer_version = options_.version;
        options.rebuild_later_records = kRebuildLaterRecords;
        if (options_.read_only) use_scratch_dir(options);
        auto store = Store::open(*env_, options);
        if (!store && store.error().code == Code::locked) return held_by_another();
        if (!store) return explained(std::move(store).error());
        store_ = std::move(*store);
        if (!options_.read_only) {
            // Only people read it, and a full disk must not keep the store from being read.
            const Status written = write_pid(data_dir_);
            if (!written) log_(written.error().message);
        }
        log_recovery();
        return {};
    }

    // For a copy of the key index. Without one it is made in memory, from the log.
    void use_scratch_dir(StoreOptions& options) {
        options.read_only = true;
        auto made = EphemeralDir::make(*env_);
        if (!made) {
            log_("no folder for temporary files, so the key index is made in memory: " +
                 made.error().message);
            return;
        }
        scratch_ = std::move(*made);
        options.scratch_dir = scratch_->path();
    }

    void log_recovery() const {
        const RecoveryReport& report = store_->recovery();
        if (options_.read_only) {
            log_("read-only: " + data_dir_ + " is served as it is, and nothing in it is written");
        } else if (!report.clean) {
            log_("recovered after an unclean stop: " + std::to_string(report.frames_checked) +
                 " frames checked, " + std::to_string(report.records_replayed) +
                 " records replayed, " + std::to_string(report.bytes_carried_over) +
                 " bytes carried over, " + std::to_string(report.bytes_dropped) +
                 " bytes dropped that were never acknowledged");
        }
        for (const std::string& notice : report.notices) log_(notice);
        for (const Hole& hole : report.holes) {
            const std::string log = hole.log == LogId::system ? "of the system log " : "";
            const std::string last =
                hole.open_ended ? "on" : "to " + std::to_string(hole.last.value);
            log_("hole: the records " + log + "from seq " + std::to_string(hole.first.value) + " " +
                 last + " cannot be read: " + hole.why);
        }
    }

    [[nodiscard]] Error held_by_another() const {
        const auto pid = read_pid(data_dir_);
        return Error{Code::locked,
                     "the data directory " + data_dir_ + " is held by another daemon" +
                         (pid ? " (process " + std::to_string(*pid) + ")" : ""),
                     "stop that one, or choose another --data-dir"};
    }

    Status serve() {
        api::ApiOptions api_options;
        api_options.value_bytes_max = options_.value_bytes_max;
        api_options.ephemeral = options_.ephemeral;
        api_options.read_only = options_.read_only;
        api_options.version = options_.version;
        http::Server* serving = nullptr;
        api_options.server_stats = [&serving] {
            return serving == nullptr ? http::ServerStats{} : serving->stats();
        };
        const std::unique_ptr<http::Handler> handler = api::make_api(*store_, api_options);
        http::ServerOptions server_options;
        server_options.allowed_origins = options_.allowed_origins;
        const std::unique_ptr<http::Server> server = http::Server::make(server_options, *handler);
        serving = server.get();
        Sockets sockets(*server, log_);
        KLOG_TRY_ASSIGN(const std::vector<std::string> urls, listen(*server, sockets));

        LentThreads threads(*store_);
        if (!options_.read_only) KLOG_TRY(threads.start());
        KLOG_TRY(server->start());
        log_("room for " + std::to_string(server->stats().connections_max) + " connections");
        say_ready(urls);
        Status ended = wait(sockets);
        KLOG_TRY(signals_->exit_on_next(log_));
        server->drain(kDrainMax);
        sockets.close();
        threads.stop();
        return ended;
    }

    Result<std::vector<std::string>> listen(http::Server& server, Sockets& sockets) {
        // The store's lock is held, so nobody else lives on this socket.
        if (!options_.read_only) KLOG_TRY(sockets.require(own_socket()));
        if (!options_.socket.empty()) {
            KLOG_TRY_ASSIGN(const std::string path, absolute_path(options_.socket));
            KLOG_TRY(sockets.require(path));
        } else if (!options_.runtime_socket.empty()) {
            KLOG_TRY(check_outside(options_.runtime_socket));
            // Where there is no other place it must be had.
            if (options_.read_only && options_.listen.empty()) {
                KLOG_TRY(sockets.require(options_.runtime_socket));
            } else {
                sockets.want(options_.runtime_socket);
            }
        } else if (options_.read_only && options_.listen.empty()) {
            return Error{Code::usage,
                         "a read-only daemon makes no socket in its data directory, and there is "
                         "no XDG_RUNTIME_DIR for one",
                         "--socket PATH, or --listen 127.0.0.1:0"};
        }
        std::vector<std::string> urls = sockets.urls();
        for (const std::string& address : options_.listen) {
            KLOG_TRY_ASSIGN(std::string url, server.listen_tcp(address));
            log_("listening on " + url);
            urls.push_back(std::move(url));
        }
        return urls;
    }

    // A socket in the data directory is a file there.
    [[nodiscard]] Status check_outside(const std::string& socket) const {
        if (!options_.read_only || !socket.starts_with(data_dir_ + "/")) return {};
        return Error{Code::usage,
                     "the socket " + socket +
                         " lies in the data directory, where a read-only "
                         "daemon makes nothing",
                     "--socket PATH somewhere else"};
    }

    void say_ready(const std::vector<std::string>& urls) {
        if (options_.ready_fd < 0) return;
        const nlohmann::ordered_json line = {
            {"urls", urls}, {"pid", process_id()}, {"data_dir", data_dir_}};
        const auto text =
            line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        const Status written = write_and_close(options_.ready_fd, text + "\n");
        // Whoever asked for it may have gone; the daemon serves all the same.
        if (!written) log_("nobody was told that the daemon is ready: " + written.error().message);
    }

    void log_rebuild(int look) {
        for (const std::string& notice : store_->take_notices()) log_(notice);
        const RebuildStats rebuild = store_->stats().rebuild;
        if (!rebuild.running || look % kLooksPerProgress != 0) return;
        log_("rebuilding: " + std::to_string(rebuild.records_done) + " of " +
             std::to_string(rebuild.records_wanted) + " records are done");
    }

    // Returns once the daemon is to end. Errors: io, if the store cannot write any more.
    Status wait(Sockets& sockets) {
        for (int look = 1;; ++look) {
            const std::string reason = signals_->wait(kLook);
            if (!reason.empty()) {
                log_("stopping: " + reason);
                return {};
            }
            if (store_->stats().failed) {
                log_("stopping: a sync failed, so nothing more can be promised");
                return Error{Code::io,
                             "a sync of " + data_dir_ +
                                 " failed; what was not acknowledged may or may not be there",
                             "check the disk, then start the daemon again"};
            }
            log_rebuild(look);
            if (look % kLooksPerSocketCheck == 0) sockets.keep();
        }
    }

    // In the order in which they are needed; the store goes before the directory it lies in.
    const DaemonOptions& options_;
    std::function<void(const std::string&)> log_;
    std::unique_ptr<EndSignals> signals_;
    std::unique_ptr<Env> env_;
    std::unique_ptr<EphemeralDir> ephemeral_;
    std::unique_ptr<EphemeralDir> scratch_;
    std::string data_dir_;
    std::unique_ptr<Store> store_;
};

}  // namespace

Status run_daemon(const DaemonOptions& options) { return Daemon(options).run(); }

}  // namespace klog
