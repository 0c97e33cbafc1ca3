// Processes that `klog bench` measures: this same program, run in a folder of its own, with none of
// its caller's klog settings.
#ifndef KLOG_CLI_BENCH_PROCESS_H
#define KLOG_CLI_BENCH_PROCESS_H

#include <sys/types.h>

#include <string>
#include <vector>

#include "cli/bench/figure.h"
#include "cli/child.h"
#include "klog/result.h"

namespace klog::cli::bench {

// Runs this program with `args` in `dir`. -1 is /dev/null. Where `ready` is one, that is its fd 3,
// and its stderr goes to dir/daemon.log. Errors: io.
[[nodiscard]] Result<pid_t> spawn_self(const std::vector<std::string>& args, const std::string& dir,
                                       int input, int output, int ready = -1);

// A daemon whose data lies in dir/data. It ends with this object, or when this process does.
class BenchDaemon {
public:
    BenchDaemon() = default;
    ~BenchDaemon() { stop(); }
    BenchDaemon(const BenchDaemon&) = delete;
    BenchDaemon& operator=(const BenchDaemon&) = delete;

    // Returns when it serves. Errors: io.
    Status start(const std::string& dir);
    void stop();

    [[nodiscard]] const std::string& url() const { return url_; }
    // Unit: bytes; 0 where /proc does not tell.
    [[nodiscard]] double resident_bytes() const;
    // Processor time of all its threads so far. Unit: seconds.
    [[nodiscard]] double processor_seconds() const;

private:
    pid_t pid_ = 0;
    std::string url_;
};

// From exec to the first acknowledged record, on an empty data directory. Microseconds.
[[nodiscard]] Result<Figure> start_to_first_ack(const std::string& dir, std::size_t runs);
// `klog produce TOPIC VALUE` as a process. Microseconds.
[[nodiscard]] Result<Figure> one_shot(const std::string& url, const std::string& dir,
                                      std::size_t runs);
// `klog produce TOPIC` with lines from a pipe. Records a second.
[[nodiscard]] Result<Figure> produce_pipe(const std::string& url, const std::string& dir,
                                          double seconds);
// `klog tail 'bench/>'` into a pipe. Records a second.
[[nodiscard]] Result<Figure> tail_pipe(const std::string& url, const std::string& dir);
// What 200 tails that see nothing cost the daemon. Milliseconds of processor time a second.
[[nodiscard]] Result<Figure> idle_tails(const BenchDaemon& daemon, std::size_t tails,
                                        double seconds);

}  // namespace klog::cli::bench

#endif  // KLOG_CLI_BENCH_PROCESS_H
