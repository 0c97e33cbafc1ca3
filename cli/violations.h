// What stands against a write, out of a problem document or an ack line.
#ifndef KLOG_CLI_VIOLATIONS_H
#define KLOG_CLI_VIOLATIONS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace klog::cli {

struct ViolationText {
    std::string code;
    std::uint64_t line = 0;  // 0: none
    std::string message;     // empty where it says nothing that this client knows
    std::string hint;        // the next command to try
};

// All that are named, in their order. Empty where the document has none.
[[nodiscard]] std::vector<ViolationText> read_violations(std::string_view document);

}  // namespace klog::cli

#endif  // KLOG_CLI_VIOLATIONS_H
