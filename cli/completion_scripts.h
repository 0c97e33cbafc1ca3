// The scripts of packaging/completion, built in: CMakeLists.txt writes what defines these.
#ifndef KLOG_CLI_COMPLETION_SCRIPTS_H
#define KLOG_CLI_COMPLETION_SCRIPTS_H

#include <string_view>

namespace klog::cli {

extern const std::string_view kBashScript;
extern const std::string_view kZshScript;
extern const std::string_view kFishScript;

}  // namespace klog::cli

#endif  // KLOG_CLI_COMPLETION_SCRIPTS_H
