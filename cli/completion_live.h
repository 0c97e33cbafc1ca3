// Topics, spaces, keys and consumers for completion, asked of the daemon under a limit of time.
#ifndef KLOG_CLI_COMPLETION_LIVE_H
#define KLOG_CLI_COMPLETION_LIVE_H

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/completion.h"
#include "cli/context.h"
#include "daemon/http/client.h"

namespace klog::cli {

// One connection and one limit of time, which counts from its making: 80 ms, or what
// KLOG_COMPLETION_TIMEOUT says. What fails or takes too long leaves the answer short or empty.
class LiveValues {
public:
    // The context is loaded and outlives this.
    explicit LiveValues(const Context& context);

    // Topics that begin with `typed`, one level further: "orders/" where more levels follow. Levels
    // of `typed` before its last one may be wildcards.
    [[nodiscard]] std::vector<Candidate> topics(const std::string& typed);
    // First levels that begin with `typed`.
    [[nodiscard]] std::vector<Candidate> spaces(const std::string& typed);
    [[nodiscard]] std::vector<Candidate> keys(const std::string& space, const std::string& typed,
                                              bool deleted);
    [[nodiscard]] std::vector<Candidate> consumers(const std::string& typed);

private:
    using Each = std::function<void(std::string_view line)>;

    [[nodiscard]] std::chrono::milliseconds left() const;
    // Gives each line of an answer. False: there was no whole answer.
    bool ask(const std::string& target, const Each& each);

    const Context& context_;
    std::chrono::steady_clock::time_point deadline_;
    std::unique_ptr<http::Client> client_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_COMPLETION_LIVE_H
