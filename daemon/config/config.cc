#include "daemon/config/config.h"

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/config/setting_rules.h"
#include "daemon/config/yaml_file.h"

namespace klog::config {
namespace {

constexpr int kFlagRank = 0;
constexpr int kEnvironmentRank = 1;
constexpr int kLocalFileRank = 2;
constexpr int kUserFileRank = 3;
constexpr int kSystemFileRank = 4;

// An unset or empty variable is the same.
std::string variable(const Sources& sources, const std::string& name) {
    if (!sources.environment) return "";
    return sources.environment(name).value_or("");
}

// A folder that XDG's rules accept: absolute, else as if unset.
std::string folder_variable(
    const std::function<std::optional<std::string>(const std::string&)>& environment,
    const std::string& name) {
    std::string value = environment ? environment(name).value_or("") : "";
    if (!value.starts_with('/')) return "";
    while (value.size() > 1 && value.back() == '/') value.pop_back();
    return value;
}

struct RankedFile {
    YamlFile file;
    int rank = kLocalFileRank;
};

Status add_file(std::vector<RankedFile>& files, const std::string& path, const std::string& shown,
                int rank) {
    KLOG_TRY_ASSIGN(std::optional<YamlFile> file, read_yaml(path, shown));
    if (file) files.push_back(RankedFile{std::move(*file), rank});
    return {};
}

// The files that count, the strongest first.
Result<std::vector<RankedFile>> read_files(const Sources& sources) {
    std::vector<RankedFile> files;
    std::string named = sources.file.value_or("");
    if (named.empty() && !sources.no_files) named = variable(sources, "KLOG_CONFIG");
    if (!named.empty()) {
        KLOG_TRY(add_file(files, named, named, kLocalFileRank));
        if (files.empty()) return Error{Code::no_input, "there is no file " + named, ""};
        return files;
    }
    if (sources.no_files) return files;
    KLOG_TRY(add_file(files, "klog.yaml", "./klog.yaml", kLocalFileRank));
    std::string user = folder_variable(sources.environment, "XDG_CONFIG_HOME");
    if (user.empty()) {
        user = folder_variable(sources.environment, "HOME");
        if (!user.empty()) user += "/.config";
    }
    if (!user.empty()) {
        const std::string path = user + "/klog/klog.yaml";
        KLOG_TRY(add_file(files, path, path, kUserFileRank));
    }
    KLOG_TRY(add_file(files, "/etc/klog/klog.yaml", "/etc/klog/klog.yaml", kSystemFileRank));
    return files;
}

Error at_line(const YamlFile& file, std::size_t line, const std::string& what,
              const std::string& hint = "") {
    return Error{Code::config, file.shown + ":" + std::to_string(line) + ": " + what, hint};
}

Status check_entry(const YamlFile& file, const YamlEntry& entry, bool in_context) {
    const SettingRule* rule = find_rule(entry.name);
    if (rule == nullptr || (in_context && !rule->in_context)) {
        std::vector<std::string_view> names;
        for (const SettingRule& each : setting_rules()) {
            if (!in_context || each.in_context) names.push_back(each.name);
        }
        if (!in_context) names.emplace_back("contexts");
        const std::string where = in_context ? " in a context" : "";
        const std::string near = nearest_name(entry.name, names);
        return at_line(file, entry.line, "there is no setting " + entry.name + where,
                       near.empty() ? "klog config show lists them" : "did you mean " + near + "?");
    }
    if (entry.list && !rule->repeats) {
        return at_line(file, entry.line, entry.name + " takes one value");
    }
    const auto wrong = check_value(entry.name, entry.value);
    if (wrong) return at_line(file, entry.line, entry.name + " " + *wrong);
    return {};
}

// Files are checked as a whole: a mistake in a context that is not picked counts too.
Status check_files(const std::vector<RankedFile>& files) {
    for (const RankedFile& ranked : files) {
        for (const YamlEntry& entry : ranked.file.entries) {
            KLOG_TRY(check_entry(ranked.file, entry, false));
        }
        for (const YamlContext& context : ranked.file.contexts) {
            for (const YamlEntry& entry : context.entries) {
                KLOG_TRY(check_entry(ranked.file, entry, true));
            }
        }
    }
    return {};
}

class Loader {
public:
    Loader(const Sources& sources, const std::vector<RankedFile>& files)
        : sources_(sources), files_(files) {}

    Result<Settings> load() {
        KLOG_TRY(take_flags());
        KLOG_TRY(take_environment());
        for (const RankedFile& ranked : files_) take_file(ranked);
        KLOG_TRY(take_context());
        take_defaults();
        return std::move(settings_);
    }

private:
    // The first who sets a value is the strongest.
    void offer(std::string_view name, std::string value, std::string origin, int rank) {
        settings_.emplace(std::string(name), Setting{std::move(value), std::move(origin), rank});
    }

    Status take_flags() {
        for (const auto& [name, value] : sources_.flags) {
            const SettingRule* rule = find_rule(name);
            if (rule == nullptr) return Error{Code::bug, "there is no setting " + name, ""};
            if (const auto wrong = check_value(name, value)) {
                return Error{Code::bad_option, flag_of(name) + " " + *wrong, ""};
            }
            const auto found = settings_.find(name);
            if (found != settings_.end() && rule->repeats) {
                found->second.value += " " + value;
            } else {
                offer(name, value, "flag " + flag_of(name), kFlagRank);
            }
        }
        return {};
    }

    Status take_environment() {
        for (const SettingRule& rule : setting_rules()) {
            if (rule.environment.empty() || (rule.daemon_only && sources_.no_files)) continue;
            const std::string name(rule.environment);
            std::string value = variable(sources_, name);
            if (value.empty()) continue;
            if (settings_.contains(rule.name)) continue;
            if (const auto wrong = check_value(rule.name, value)) {
                return Error{Code::config, name + " " + *wrong, ""};
            }
            offer(rule.name, std::move(value), "environment " + name, kEnvironmentRank);
        }
        return {};
    }

    [[nodiscard]] std::string resolve(const YamlFile& file, const YamlEntry& entry) const {
        const SettingRule* rule = find_rule(entry.name);
        if (rule == nullptr || !rule->path || entry.value.starts_with('/')) return entry.value;
        if (entry.value.starts_with("~/")) {
            const std::string home = folder_variable(sources_.environment, "HOME");
            if (!home.empty()) return home + entry.value.substr(1);
        }
        return file.folder.empty() ? entry.value : file.folder + "/" + entry.value;
    }

    void take_file(const RankedFile& ranked) {
        for (const YamlEntry& entry : ranked.file.entries) {
            offer(entry.name, resolve(ranked.file, entry),
                  ranked.file.shown + ":" + std::to_string(entry.line), ranked.rank);
        }
    }

    // A context's values count where the context was picked: behind what the same source says
    // outright, before everything weaker. Their rank stays that of the file which holds them,
    // since that is whom a token has to trust.
    Status take_context() {
        const auto picked = settings_.find("context");
        if (picked == settings_.end()) return {};
        const std::string& name = picked->second.value;
        for (const RankedFile& ranked : files_) {
            for (const YamlContext& context : ranked.file.contexts) {
                if (context.name != name) continue;
                for (const YamlEntry& entry : context.entries) {
                    const auto found = settings_.find(entry.name);
                    if (found != settings_.end() && found->second.rank <= picked->second.rank) {
                        continue;
                    }
                    settings_.insert_or_assign(
                        entry.name, Setting{resolve(ranked.file, entry),
                                            ranked.file.shown + ":" + std::to_string(entry.line) +
                                                " (context " + name + ")",
                                            ranked.rank});
                }
                return {};
            }
        }
        return no_context(picked->second);
    }

    [[nodiscard]] Error no_context(const Setting& picked) const {
        std::vector<std::string_view> names;
        for (const RankedFile& ranked : files_) {
            for (const YamlContext& context : ranked.file.contexts) names.push_back(context.name);
        }
        const std::string near = nearest_name(picked.value, names);
        return Error{Code::config,
                     "there is no context " + picked.value + " (" + picked.origin + ")",
                     near.empty() ? "contexts stand in klog.yaml" : "did you mean " + near + "?"};
    }

    void take_defaults() {
        for (const SettingRule& rule : setting_rules()) {
            const bool data_dir = rule.name == "data_dir";
            offer(rule.name,
                  data_dir ? default_data_dir(sources_.environment) : std::string(rule.fallback),
                  "default", Setting{}.rank);
        }
    }

    const Sources& sources_;
    const std::vector<RankedFile>& files_;
    Settings settings_;
};

}  // namespace

Result<Settings> load(const Sources& sources) {
    KLOG_TRY_ASSIGN(const std::vector<RankedFile> files, read_files(sources));
    KLOG_TRY(check_files(files));
    return Loader(sources, files).load();
}

Result<std::vector<std::string>> context_names(const Sources& sources) {
    KLOG_TRY_ASSIGN(const std::vector<RankedFile> files, read_files(sources));
    std::set<std::string> names;
    for (const RankedFile& ranked : files) {
        for (const YamlContext& context : ranked.file.contexts) names.insert(context.name);
    }
    return std::vector<std::string>(names.begin(), names.end());
}

bool is_secret(std::string_view name) {
    const SettingRule* rule = find_rule(name);
    return rule != nullptr && rule->secret;
}

std::string default_data_dir(
    const std::function<std::optional<std::string>(const std::string&)>& environment) {
    const std::string data = folder_variable(environment, "XDG_DATA_HOME");
    if (!data.empty()) return data + "/klog";
    const std::string home = folder_variable(environment, "HOME");
    return home.empty() ? "" : home + "/.local/share/klog";
}

std::string runtime_socket(
    const std::function<std::optional<std::string>(const std::string&)>& environment) {
    const std::string runtime = folder_variable(environment, "XDG_RUNTIME_DIR");
    return runtime.empty() ? "" : runtime + "/klog/klog.sock";
}

}  // namespace klog::config
