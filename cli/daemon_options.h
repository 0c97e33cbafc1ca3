// What `klog daemon` and `klog run` share: from settings to a daemon's options.
#ifndef KLOG_CLI_DAEMON_OPTIONS_H
#define KLOG_CLI_DAEMON_OPTIONS_H

#include "cli/context.h"
#include "daemon/daemon.h"

namespace klog::cli {

// Settings are loaded here. Variables that are for clients (KLOG_URL, KLOG_CONTEXT …) do not
// count. With `ephemeral_only` no file counts but `file`, nor does the daemon's environment.
// Errors: as Context::load.
[[nodiscard]] Result<DaemonOptions> load_daemon_options(Context& context,
                                                        const Context::Flags& flags,
                                                        const std::string& file,
                                                        bool ephemeral_only);

// A log line on stderr, with the time.
void log_to_stderr(const std::string& line);

}  // namespace klog::cli

#endif  // KLOG_CLI_DAEMON_OPTIONS_H
