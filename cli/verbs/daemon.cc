#include "daemon/daemon.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/daemon_options.h"
#include "cli/options.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

struct DaemonFlags {
    std::string data_dir;
    std::string socket;
    std::string config;
    std::string value_bytes_max;
    std::string ready_fd;
    std::vector<std::string> listen;
    std::vector<std::string> allow_origin;
    bool ephemeral = false;
    bool read_only = false;
};

// Above this no system hands out descriptors.
constexpr std::uint64_t kDescriptorMax = 1U << 30U;

Result<int> parse_ready_fd(const std::string& text) {
    if (text.empty()) return -1;
    KLOG_TRY_ASSIGN(const std::uint64_t number, parse_number("--ready-fd", text, 0));
    const int fd = number > kDescriptorMax ? -1 : static_cast<int>(number);
    const int mode = fd < 0 ? -1 : ::fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY) {
        return Error{Code::bad_option, "descriptor " + text + " is not open for writing",
                     "such as --ready-fd 3 3>ready"};
    }
    // It is only the daemon's, and 0, 1 and 2 stay what they are for everybody else.
    return fd;
}

Result<int> run(Context& context, const DaemonFlags& given) {
    if (given.ephemeral && !given.data_dir.empty()) {
        return Error{Code::usage, "--ephemeral data goes with its daemon, so --data-dir has no use",
                     "leave one of the two out"};
    }
    KLOG_TRY_ASSIGN(const int ready_fd, parse_ready_fd(given.ready_fd));
    Context::Flags flags;
    const auto note = [&flags](const char* name, const std::string& value) {
        if (!value.empty()) flags.emplace_back(name, value);
    };
    note("data_dir", given.data_dir);
    note("socket", given.socket);
    note("value_bytes_max", given.value_bytes_max);
    if (given.ephemeral) note("ephemeral", "true");
    if (given.read_only) note("read_only", "true");
    for (const std::string& address : given.listen) note("listen", address);
    for (const std::string& origin : given.allow_origin) note("allow_origin", origin);
    KLOG_TRY_ASSIGN(DaemonOptions options,
                    load_daemon_options(context, flags, given.config, false));
    if (options.ephemeral && options.read_only) {
        return Error{Code::usage, "an ephemeral daemon begins empty, so --read-only has no use",
                     "leave one of the two out (klog config show --origin tells who sets them)"};
    }
    options.ready_fd = ready_fd;
    if (!context.quiet) options.log = log_to_stderr;
    KLOG_TRY(run_daemon(options));
    return 0;
}

Run add_daemon(CLI::App& app) {
    auto flags = std::make_shared<DaemonFlags>();
    app.add_option("--data-dir", flags->data_dir, "where the log lies")->type_name("D");
    app.add_option("--listen", flags->listen,
                   "also serve HTTP here, on loopback; port 0: a free one")
        ->type_name("ADDR");
    app.add_option("--socket", flags->socket, "a socket in place of the one in XDG_RUNTIME_DIR")
        ->type_name("PATH");
    app.add_option("--config", flags->config, "settings from this file alone")->type_name("F");
    app.add_flag("--ephemeral", flags->ephemeral, "temporary data, removed at the end");
    app.add_flag("--read-only", flags->read_only, "write nothing; serve what is sound");
    app.add_option("--ready-fd", flags->ready_fd, "write one line of JSON here once it serves")
        ->type_name("N");
    app.add_option("--value-bytes-max", flags->value_bytes_max,
                   "the longest value, up to 67108864 (default 1048576)")
        ->type_name("N");
    app.add_option("--allow-origin", flags->allow_origin, "let pages of this origin send requests")
        ->type_name("ORIGIN");
    return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

Verb daemon_verb() {
    Verb verb;
    verb.name = "daemon";
    verb.summary = "keep a log and serve it, in the foreground";
    verb.synopsis = "[options]";
    verb.examples =
        "  $ klog daemon\n"
        "  $ klog daemon --ephemeral --listen 127.0.0.1:0\n"
        "  $ klog daemon --data-dir ./data --socket ./klog.sock\n";
    verb.add = add_daemon;
    return verb;
}

}  // namespace klog::cli
