#include "cli/context.h"

#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"

namespace klog::cli {
namespace {

constexpr std::string_view kOnlyTenant = "default";

Result<OutputMode> parse_output(const std::string& text) {
    if (text == "pretty") return OutputMode::pretty;
    if (text == "ndjson") return OutputMode::ndjson;
    if (text == "json") return OutputMode::json;
    if (text == "value") return OutputMode::value;
    return Error{Code::bad_option, "there is no output \"" + text + "\"",
                 "--output pretty, ndjson, json or value"};
}

bool is_socket(const std::string& path) {
    struct stat status = {};
    return !path.empty() && ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Status Context::load(const Flags& more, const std::optional<std::string>& file, bool no_files) {
    config::Sources sources;
    sources.flags = flags;
    sources.flags.insert(sources.flags.end(), more.begin(), more.end());
    sources.environment = environment;
    sources.file = file;
    sources.no_files = no_files;
    KLOG_TRY_ASSIGN(settings_, config::load(sources));
    const std::string& tenant = setting("tenant");
    if (!tenant.empty() && tenant != kOnlyTenant) {
        return Error{Code::config, "there is no tenant \"" + tenant + "\"", "--tenant default"};
    }
    if (!setting("output").empty()) {
        KLOG_TRY_ASSIGN(output_, parse_output(setting("output")));
    }
    const std::string& color = setting("color");
    if (!color.empty() && color != "auto" && color != "always" && color != "never") {
        return Error{Code::bad_option, "there is no colour mode \"" + color + "\"",
                     "--color auto, always or never"};
    }
    if (!setting("timeout").empty()) {
        KLOG_TRY_ASSIGN(timeout_, parse_wait("--timeout", setting("timeout")));
    }
    return {};
}

const std::string& Context::setting(std::string_view name) const {
    static const std::string kNone;
    const auto found = settings_.find(name);
    return found == settings_.end() ? kNone : found->second.value;
}

OutputMode Context::output() const {
    if (output_) return *output_;
    return is_terminal(STDOUT_FILENO) ? OutputMode::pretty : OutputMode::ndjson;
}

bool Context::color() const {
    const std::string& color = setting("color");
    if (color == "always") return true;
    if (color == "never") return false;
    return !environment("NO_COLOR") && is_terminal(STDOUT_FILENO);
}

std::string Context::url() const {
    if (!setting("url").empty()) return setting("url");
    const std::string runtime = config::runtime_socket(environment);
    if (is_socket(runtime)) return "unix://" + runtime;
    std::string data_dir = setting("data_dir");
    if (data_dir.empty()) data_dir = config::default_data_dir(environment);
    return "unix://" + data_dir + "/klog.sock";
}

int report(const Error& error) {
    const CodeInfo& info = code_info(error.code);
    complain(info.name, error.message, error.hint);
    return info.exit_code;
}

}  // namespace klog::cli
