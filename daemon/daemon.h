// The daemon's life: one store, one server, its sockets, from start to drain.
#ifndef KLOG_DAEMON_DAEMON_H
#define KLOG_DAEMON_DAEMON_H

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

struct DaemonOptions {
    std::string data_dir;        // ignored if ephemeral
    std::string runtime_socket;  // $XDG_RUNTIME_DIR/klog/klog.sock; empty: none
    std::string socket;          // --socket; takes the place of runtime_socket
    std::vector<std::string> listen;
    std::vector<std::string> allowed_origins;
    bool ephemeral = false;
    bool read_only = false;  // nothing in data_dir is written, and no socket is made there
    int ready_fd = -1;
    std::uint64_t value_bytes_max = Limits::kValueBytesDefault;
    std::string version;
    // Lines for stderr, without a line feed.
    std::function<void(const std::string&)> log;
    // Ends the daemon when this descriptor reads end-of-file (klog run's life line). -1: none.
    int life_line_fd = -1;
};

// Runs until SIGTERM or SIGINT, drains for at most 5 s, and returns ok. Errors: locked (directory
// or socket is held by a living daemon), config, corrupt, io, disk_full, format_unknown.
// Blocks; call it on the main thread before other threads exist (it blocks signals).
Status run_daemon(const DaemonOptions& options);

}  // namespace klog

#endif  // KLOG_DAEMON_DAEMON_H
