// Figures of one connection over HTTP: streamed writes, replay, and the way from a producer to a
// tail. `url` is a daemon's. Errors everywhere: those of http::Client, and io where a daemon
// answers something else than it should.
#ifndef KLOG_CLI_BENCH_STREAMS_H
#define KLOG_CLI_BENCH_STREAMS_H

#include <string>

#include "cli/bench/figure.h"
#include "klog/result.h"

namespace klog::cli::bench {

// `group` lines at once, all acks awaited, then the next. Records a second.
[[nodiscard]] Result<Figure> produce_groups(const std::string& url, std::size_t group,
                                            double seconds);
// As many lines as the daemon takes; acks are read on the side. Records a second.
[[nodiscard]] Result<Figure> produce_unbounded(const std::string& url, double seconds);
// From the call that writes one record to its line at a tail on another connection, one record
// after each pause. Microseconds.
[[nodiscard]] Result<Figure> end_to_end(const std::string& url, std::size_t records,
                                        std::chrono::microseconds pause);
// All of bench/> as NDJSON, of which the lines are counted. Records a second.
[[nodiscard]] Result<Figure> replay(const std::string& url);
// The same in the framed form: checksums are checked, records decoded and counted.
[[nodiscard]] Result<Figure> replay_framed(const std::string& url);

}  // namespace klog::cli::bench

#endif  // KLOG_CLI_BENCH_STREAMS_H
