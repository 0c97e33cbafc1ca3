#include "cli/daemon_options.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "cli/output.h"

namespace klog::cli {
namespace {

// What a client's environment says does not concern a daemon; a stale context or an unknown tenant
// there must not keep it from starting.
constexpr std::array<std::string_view, 6> kClientVariables = {
    "KLOG_URL", "KLOG_TENANT", "KLOG_CONTEXT", "KLOG_TOKEN", "KLOG_TOKEN_FILE", "KLOG_TIMEOUT"};

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> found;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        if (end > 0) found.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return found;
}

}  // namespace

Result<DaemonOptions> load_daemon_options(Context& context, const Context::Flags& flags,
                                          const std::string& file, bool ephemeral_only) {
    for (const auto& [name, value] : context.flags) {
        if (name == "color") continue;
        return Error{Code::usage, "--" + name + " is for clients, not for a daemon",
                     "klog daemon --help"};
    }
    context.environment =
        [whole = context.environment](const std::string& name) -> std::optional<std::string> {
        const auto* found = std::find(kClientVariables.begin(), kClientVariables.end(), name);
        if (found != kClientVariables.end()) return std::nullopt;
        return whole(name);
    };
    std::optional<std::string> named;
    if (!file.empty()) named = file;
    KLOG_TRY(context.load(flags, named, ephemeral_only));
    DaemonOptions options;
    options.ephemeral = ephemeral_only || context.setting("ephemeral") == "true";
    options.read_only = !ephemeral_only && context.setting("read_only") == "true";
    options.version = std::string(kVersion);
    options.listen = words(context.setting("listen"));
    options.allowed_origins = words(context.setting("allow_origin"));
    const std::string& bytes = context.setting("value_bytes_max");
    // Checked by the settings' own rules.
    std::from_chars(bytes.data(), bytes.data() + bytes.size(), options.value_bytes_max);
    const auto& socket = context.settings().find("socket")->second;
    if (!options.ephemeral) options.data_dir = context.setting("data_dir");
    // A temporary daemon takes a socket only where its own command line says so.
    if (!options.ephemeral || socket.rank == 0) options.socket = socket.value;
    if (!ephemeral_only) options.runtime_socket = config::runtime_socket(context.environment);
    return options;
}

void log_to_stderr(const std::string& line) {
    const auto now = std::chrono::system_clock::now();
    const auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    write_error_stream(fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z klog: {}\n",
                                   fmt::gmtime(static_cast<std::time_t>(micros / 1'000'000)),
                                   micros / 1000 % 1000, line));
}

}  // namespace klog::cli
