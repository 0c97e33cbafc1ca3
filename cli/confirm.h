// What destroys asks first.
#ifndef KLOG_CLI_CONFIRM_H
#define KLOG_CLI_CONFIRM_H

#include <string>

#include "klog/result.h"

namespace klog::cli {

// On a terminal: asks, and says whether the answer was yes. Elsewhere: usage, which names --yes.
[[nodiscard]] Result<bool> confirm(const std::string& question);

}  // namespace klog::cli

#endif  // KLOG_CLI_CONFIRM_H
