// What a running verb knows of its surroundings: global options, environment, settings, and how
// its output is to look.
#ifndef KLOG_CLI_CONTEXT_H
#define KLOG_CLI_CONTEXT_H

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/config.h"
#include "klog/result.h"

namespace klog::cli {

inline constexpr std::string_view kVersion = "0.1.0";

enum class OutputMode { pretty, ndjson, json, value };

// Not thread-safe; lives for one run of a verb.
class Context {
public:
    using Environment = std::function<std::optional<std::string>(const std::string&)>;
    using Flags = std::vector<std::pair<std::string, std::string>>;

    // Global options as they were given, by setting name: url, tenant, context, timeout, output,
    // color. A verb's own options that are settings are added with load().
    Flags flags;
    bool quiet = false;    // -q
    bool verbose = false;  // -v
    // What follows "--", for verbs that take a command.
    std::vector<std::string> command;
    // getenv; an empty variable counts as unset.
    Environment environment;

    // Loads the settings: `flags` and the verb's own (`more`), environment, files. Everything below
    // may only be called after it. file is --config F. Errors: as config::load; also config for an
    // unknown tenant or context, bad_option for an output or color that does not exist.
    Status load(const Flags& more = {}, const std::optional<std::string>& file = std::nullopt,
                bool no_files = false);

    [[nodiscard]] const config::Settings& settings() const { return settings_; }
    // A setting's value; empty where it has none.
    [[nodiscard]] const std::string& setting(std::string_view name) const;

    // The mode asked for; otherwise pretty on a terminal and ndjson in a pipe.
    [[nodiscard]] OutputMode output() const;
    [[nodiscard]] bool output_given() const { return output_.has_value(); }
    [[nodiscard]] bool color() const;
    // --timeout, if one was given.
    [[nodiscard]] std::optional<std::chrono::milliseconds> timeout() const { return timeout_; }
    // For what is told by the way only, and must not keep anybody waiting.
    [[nodiscard]] Context within(std::chrono::milliseconds limit) const {
        Context brief = *this;
        brief.timeout_ = std::min(limit, timeout_.value_or(limit));
        return brief;
    }

    // Where the daemon listens: --url, KLOG_URL or the files; else the runtime socket if it
    // exists; else the socket in the data directory.
    [[nodiscard]] std::string url() const;

private:
    config::Settings settings_;
    std::optional<OutputMode> output_;
    std::optional<std::chrono::milliseconds> timeout_;
};

// Prints "klog: CODE: message" and, where there is one, "hint: …" on stderr. Gives the exit code.
int report(const Error& error);

}  // namespace klog::cli

#endif  // KLOG_CLI_CONTEXT_H
