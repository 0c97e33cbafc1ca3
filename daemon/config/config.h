// Settings of the command line and the daemon: flag beats environment beats ./klog.yaml beats
// $XDG_CONFIG_HOME/klog/klog.yaml beats /etc/klog/klog.yaml. The only user of yaml-cpp.
#ifndef KLOG_DAEMON_CONFIG_CONFIG_H
#define KLOG_DAEMON_CONFIG_CONFIG_H

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"

namespace klog::config {

// One value and where it came from: "flag --url", "environment KLOG_URL", "./klog.yaml:3",
// "default". rank: 0 flag, 1 environment, 2 ./klog.yaml or the file named, 3 user file, 4 system
// file, 5 default. A context's value has the rank of the file that holds the context.
struct Setting {
    std::string value;
    std::string origin;
    int rank = 5;
};

// Names are the long options with "_": url, tenant, context, timeout, output, color, token_file,
// data_dir, socket, listen (repeats, joined by a space), allow_origin (repeats), value_bytes_max,
// ephemeral, read_only; and token, which no option sets. An empty value: nobody set it and it has
// no default.
using Settings = std::map<std::string, Setting, std::less<>>;

struct Sources {
    // Given on the command line, by setting name.
    std::vector<std::pair<std::string, std::string>> flags;
    // getenv, so that tests can stand in for it.
    std::function<std::optional<std::string>(const std::string&)> environment;
    // --config F: this file alone instead of the three (also KLOG_CONFIG). "" or unset: the three.
    std::optional<std::string> file;
    // For `klog run`: read no file at all and ignore the environment's daemon settings.
    bool no_files = false;
};

// Every known setting with what counts. Errors: config (an unknown setting, bad YAML, a bad
// value: names file and line, and the nearest known name; an unknown context), bad_option (a bad
// value on the command line), no_input (--config F is missing).
[[nodiscard]] Result<Settings> load(const Sources& sources);

// The contexts that load() would know, sorted, each once. Errors: as load().
[[nodiscard]] Result<std::vector<std::string>> context_names(const Sources& sources);

// True: its value is never to be shown.
[[nodiscard]] bool is_secret(std::string_view name);

// Where the data directory and the runtime socket are unless somebody says otherwise. Empty: the
// environment names no home.
[[nodiscard]] std::string default_data_dir(
    const std::function<std::optional<std::string>(const std::string&)>& environment);
// Empty: there is no XDG_RUNTIME_DIR.
[[nodiscard]] std::string runtime_socket(
    const std::function<std::optional<std::string>(const std::string&)>& environment);

}  // namespace klog::config

#endif  // KLOG_DAEMON_CONFIG_CONFIG_H
