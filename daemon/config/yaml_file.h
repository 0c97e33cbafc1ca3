// One klog.yaml as it stands: names, values and lines. What they mean is config.cc's business.
#ifndef KLOG_DAEMON_CONFIG_YAML_FILE_H
#define KLOG_DAEMON_CONFIG_YAML_FILE_H

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "klog/result.h"

namespace klog::config {

struct YamlEntry {
    std::string name;
    std::string value;     // a sequence's items are joined by a space
    bool list = false;     // it was written as a sequence
    std::size_t line = 0;  // from 1
};

struct YamlContext {
    std::string name;
    std::size_t line = 0;
    std::vector<YamlEntry> entries;
};

struct YamlFile {
    std::string shown;   // how the file is named to the user
    std::string folder;  // relative paths in it count from here
    std::vector<YamlEntry> entries;
    std::vector<YamlContext> contexts;
};

// A file of settings is small; one past this is a mistake. Unit: bytes.
inline constexpr std::size_t kYamlBytesMax = 1U << 20U;

// nullopt: there is no such file. `shown` stands in messages for `path`. Errors: config (not
// readable, too large, not a mapping, a name twice, a value that is no text; names file and line).
[[nodiscard]] Result<std::optional<YamlFile>> read_yaml(const std::string& path,
                                                        const std::string& shown);

}  // namespace klog::config

#endif  // KLOG_DAEMON_CONFIG_YAML_FILE_H
