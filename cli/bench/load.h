// Many connections with one request each under way, on few threads: what a server costs shows
// better where its client costs little.
#ifndef KLOG_CLI_BENCH_LOAD_H
#define KLOG_CLI_BENCH_LOAD_H

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/bench/figure.h"
#include "klog/result.h"

namespace klog::cli::bench {

// Its functions are called by several threads.
struct LoadProtocol {
    // The next request of a connection, counted from 0 each.
    std::function<std::string(std::size_t connection, std::size_t request)> request;
    // How many bytes of what came are the answer; nullopt while it is not whole. Errors: an answer
    // that is no success.
    std::function<Result<std::optional<std::size_t>>(std::string_view came)> answer;
};

// fds are connected sockets; the caller owns them. Answers a second. Errors: timeout, io, and
// those of protocol.answer.
[[nodiscard]] Result<Figure> run_load(const std::vector<int>& fds, const LoadProtocol& protocol,
                                      double seconds);

// klog's own: one record of kRecordBytes each, to a key of the connection's own. With expect, each
// against the version that the one before it got; keys must be new then.
[[nodiscard]] LoadProtocol record_requests(std::string key_prefix, bool expect);
// One key's newest record each, of keys that record_requests wrote.
[[nodiscard]] LoadProtocol get_requests(std::string key_prefix);

}  // namespace klog::cli::bench

#endif  // KLOG_CLI_BENCH_LOAD_H
