#include "daemon/config/yaml_file.h"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace klog::config {
namespace {

Error bad(const std::string& shown, std::size_t line, const std::string& what) {
    return Error{Code::config, shown + ":" + std::to_string(line) + ": " + what, ""};
}

std::size_t line_of(const YAML::Mark& mark) {
    return mark.line < 0 ? 1 : static_cast<std::size_t>(mark.line) + 1;
}

// The bytes of the file; nullopt where there is none.
Result<std::optional<std::string>> read_text(const std::string& path, const std::string& shown) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR) return std::optional<std::string>();
        return Error{Code::config, shown + " cannot be read: " + std::strerror(errno), ""};
    }
    std::string text(kYamlBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) {
        return Error{Code::config, shown + " cannot be read: " + std::strerror(errno), ""};
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > kYamlBytesMax) {
        return Error{Code::config, shown + " is larger than 1 MiB", ""};
    }
    return std::optional<std::string>(std::move(text));
}

Result<YamlEntry> entry_of(const std::string& shown, const YAML::Node& key,
                           const YAML::Node& value) {
    YamlEntry entry;
    entry.line = line_of(key.Mark());
    entry.name = key.Scalar();
    if (value.IsScalar()) {
        entry.value = value.Scalar();
        return entry;
    }
    if (value.IsNull()) return bad(shown, entry.line, entry.name + " has no value");
    if (!value.IsSequence()) return bad(shown, entry.line, entry.name + " takes one value");
    entry.list = true;
    for (const YAML::Node& item : value) {
        if (!item.IsScalar() || item.Scalar().empty() ||
            item.Scalar().find(' ') != std::string::npos) {
            return bad(shown, entry.line, "each item of " + entry.name + " is one word");
        }
        if (!entry.value.empty()) entry.value += ' ';
        entry.value += item.Scalar();
    }
    return entry;
}

// Names of a mapping are text, and each stands there once.
Status check_names(const std::string& shown, const YAML::Node& map) {
    std::vector<std::string> seen;
    for (const auto& pair : map) {
        const std::size_t line = line_of(pair.first.Mark());
        if (!pair.first.IsScalar()) return bad(shown, line, "a name is plain text");
        for (const std::string& name : seen) {
            if (name == pair.first.Scalar()) return bad(shown, line, name + " stands there twice");
        }
        seen.push_back(pair.first.Scalar());
    }
    return {};
}

Result<std::vector<YamlContext>> contexts_of(const std::string& shown, std::size_t line,
                                             const YAML::Node& map) {
    std::vector<YamlContext> contexts;
    if (!map.IsMap()) return bad(shown, line, "contexts takes a mapping of names");
    KLOG_TRY(check_names(shown, map));
    for (const auto& pair : map) {
        YamlContext context;
        context.name = pair.first.Scalar();
        context.line = line_of(pair.first.Mark());
        if (!pair.second.IsMap()) {
            return bad(shown, context.line, "a context takes url, tenant and token_file");
        }
        KLOG_TRY(check_names(shown, pair.second));
        for (const auto& member : pair.second) {
            KLOG_TRY_ASSIGN(YamlEntry entry, entry_of(shown, member.first, member.second));
            context.entries.push_back(std::move(entry));
        }
        contexts.push_back(std::move(context));
    }
    return contexts;
}

Result<YamlFile> file_of(const std::string& shown, const YAML::Node& root) {
    YamlFile file;
    file.shown = shown;
    if (root.IsNull()) return file;
    if (!root.IsMap()) return bad(shown, line_of(root.Mark()), "settings stand as name: value");
    KLOG_TRY(check_names(shown, root));
    for (const auto& pair : root) {
        if (pair.first.Scalar() == "contexts") {
            KLOG_TRY_ASSIGN(file.contexts,
                            contexts_of(shown, line_of(pair.first.Mark()), pair.second));
            continue;
        }
        KLOG_TRY_ASSIGN(YamlEntry entry, entry_of(shown, pair.first, pair.second));
        file.entries.push_back(std::move(entry));
    }
    return file;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return "";
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::optional<YamlFile>> read_yaml(const std::string& path, const std::string& shown) {
    KLOG_TRY_ASSIGN(const std::optional<std::string> text, read_text(path, shown));
    if (!text) return std::optional<YamlFile>();
    try {
        KLOG_TRY_ASSIGN(YamlFile file, file_of(shown, YAML::Load(*text)));
        file.folder = folder_of(path);
        return std::optional<YamlFile>(std::move(file));
    } catch (const YAML::Exception& error) {
        return bad(shown, line_of(error.mark), "this is not YAML: " + error.msg);
    }
}

}  // namespace klog::config
