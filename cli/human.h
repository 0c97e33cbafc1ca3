// Numbers as people read them.
#ifndef KLOG_CLI_HUMAN_H
#define KLOG_CLI_HUMAN_H

#include <cstdint>
#include <string>

namespace klog::cli {

// "312 B", "4.0 KiB", "1.5 GiB".
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

// "1 file", "12 files".
[[nodiscard]] std::string counted(std::uint64_t count, const std::string& word);

}  // namespace klog::cli

#endif  // KLOG_CLI_HUMAN_H
