// Advice on stderr about filters that mean something else than it seems.
#ifndef KLOG_CLI_ADVICE_H
#define KLOG_CLI_ADVICE_H

#include <string>
#include <string_view>
#include <vector>

#include "cli/context.h"

namespace klog::cli {

// The shell has put file names where a filter's * stood.
void advise_quotes(const std::vector<std::string>& filters);

// A filter without a wildcard that is no topic, while there are topics below it. Asks the daemon;
// says nothing where that fails.
void advise_literal(const Context& context, std::string_view verb,
                    const std::vector<std::string>& filters);

}  // namespace klog::cli

#endif  // KLOG_CLI_ADVICE_H
