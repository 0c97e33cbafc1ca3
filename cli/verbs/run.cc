#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/child.h"
#include "cli/context.h"
#include "cli/daemon_options.h"
#include "cli/verb.h"
#include "daemon/daemon.h"

namespace klog::cli {
namespace {

struct RunFlags {
    std::string config;
    std::vector<std::string> listen;
};

// More than a ready line ever has.
constexpr std::size_t kReadyBytesMax = 64 * 1024;

struct Urls {
    std::string unix_url;
    std::string http_url;
};

// The daemon of one run, in a process of its own. It lives as long as the life line's write end,
// which this process holds: the kernel closes that however this process ends.
class RunDaemon {
public:
    // The exit code that the daemon ended with, where it did not get ready (it said why on stderr);
    // 0: it serves. Errors: io.
    Result<int> start(DaemonOptions options, const ChildSignals& signals) {
        Pipe ready;
        KLOG_TRY(ready.open());
        KLOG_TRY(life_line_.open());
        options.ready_fd = ready.writer();
        options.life_line_fd = life_line_.reader();
        KLOG_TRY_ASSIGN(pid_, fork_child([&] {
                            become_background({options.ready_fd, options.life_line_fd});
                            signals.restore();
                            const Status ended = run_daemon(options);
                            return ended ? 0 : report(ended.error());
                        }));
        life_line_.close_reader();
        ready.close_writer();
        const std::string line = ready.read_all(kReadyBytesMax);
        if (!line.empty()) return take_urls(line);
        const int code = wait_code(pid_);
        return code == 0 ? code_info(Code::bug).exit_code : code;
    }

    // Lets it end and waits until its data is gone.
    void stop() {
        life_line_.close_writer();
        static_cast<void>(wait_code(pid_));
    }

    [[nodiscard]] const Urls& urls() const { return urls_; }

private:
    Result<int> take_urls(const std::string& line) {
        const auto parsed = nlohmann::json::parse(line, nullptr, false);
        if (!parsed.is_object() || !parsed.contains("urls") || !parsed["urls"].is_array()) {
            return Error{Code::bug, "the daemon's ready line is no JSON", ""};
        }
        for (const auto& url : parsed["urls"]) {
            if (!url.is_string()) continue;
            const auto text = url.get<std::string>();
            std::string& slot = text.starts_with("unix:") ? urls_.unix_url : urls_.http_url;
            if (slot.empty()) slot = text;
        }
        return 0;
    }

    pid_t pid_ = 0;
    Pipe life_line_;
    Urls urls_;
};

// The command talks to its own daemon, whatever its caller's environment says.
std::vector<std::pair<std::string, std::optional<std::string>>> environment_of(const Urls& urls) {
    std::vector<std::pair<std::string, std::optional<std::string>>> changes = {
        {"KLOG_URL", urls.unix_url},       {"KLOG_TENANT", std::nullopt},
        {"KLOG_CONTEXT", std::nullopt},    {"KLOG_TOKEN", std::nullopt},
        {"KLOG_TOKEN_FILE", std::nullopt}, {"KLOG_HTTP_URL", std::nullopt},
    };
    if (!urls.http_url.empty()) changes.back().second = urls.http_url;
    return changes;
}

Result<int> run(Context& context, const RunFlags& given) {
    if (context.command.empty()) {
        return Error{Code::usage, "which command?", "klog run -- CMD ARG..."};
    }
    Context::Flags flags;
    for (const std::string& address : given.listen) flags.emplace_back("listen", address);
    KLOG_TRY_ASSIGN(DaemonOptions options, load_daemon_options(context, flags, given.config, true));
    if (context.verbose) options.log = log_to_stderr;
    ChildSignals signals;
    KLOG_TRY(signals.block());
    RunDaemon daemon;
    KLOG_TRY_ASSIGN(const int failed, daemon.start(std::move(options), signals));
    if (failed != 0) return failed;
    auto started = start_command(context.command, environment_of(daemon.urls()), signals);
    if (!started) {
        daemon.stop();
        return std::move(started).error();
    }
    const int code =
        started->failed_code != 0 ? started->failed_code : signals.wait_for(started->pid);
    daemon.stop();
    return code;
}

Run add_run(CLI::App& app) {
    auto flags = std::make_shared<RunFlags>();
    app.add_option("--config", flags->config, "the daemon's settings from this file")
        ->type_name("F");
    app.add_option("--listen", flags->listen,
                   "also serve HTTP here; CMD gets KLOG_HTTP_URL. 127.0.0.1:0 is a free port")
        ->type_name("ADDR");
    return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

Verb run_verb() {
    Verb verb;
    verb.name = "run";
    verb.summary = "a fresh ephemeral daemon for a command's lifetime";
    verb.synopsis = "[options] -- CMD ARG...";
    verb.examples =
        "  $ klog run -- sh -c 'klog produce greetings/en \"\\\"hello\\\"\" && klog head'\n"
        "  $ klog run --listen 127.0.0.1:0 -- sh -c 'echo $KLOG_HTTP_URL'\n";
    verb.add = add_run;
    verb.takes_command = true;
    return verb;
}

}  // namespace klog::cli
