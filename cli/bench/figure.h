// What `klog bench` measures: one figure at a time, each beside what the disk can do.
#ifndef KLOG_CLI_BENCH_FIGURE_H
#define KLOG_CLI_BENCH_FIGURE_H

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace klog::cli::bench {

using Clock = std::chrono::steady_clock;

// Every record's value is a JSON document of this size.
inline constexpr std::size_t kRecordBytes = 128;

struct Figure {
    double value = 0;   // in the unit of its name
    double p50_us = 0;  // 0: none was taken
    double p99_us = 0;
    double of_raw = 0;  // value ÷ that of the raw disk in the same run; 0: not compared
};

// How long each of a number of equal steps took.
class Latencies {
public:
    void add(Clock::duration took) {
        micros_.push_back(std::chrono::duration<float, std::micro>(took).count());
    }
    void add(const Latencies& more) {
        micros_.insert(micros_.end(), more.micros_.begin(), more.micros_.end());
    }
    [[nodiscard]] bool empty() const { return micros_.empty(); }
    [[nodiscard]] std::size_t size() const { return micros_.size(); }
    // p50, p99 and, as its value, `each` steps a second over `seconds`.
    [[nodiscard]] Figure figure(std::size_t each, double seconds);
    // p50 as its value.
    [[nodiscard]] Figure median();

private:
    std::vector<float> micros_;
};

[[nodiscard]] double seconds_since(Clock::time_point start);

// A JSON document of kRecordBytes, and `count` of them as lines.
[[nodiscard]] std::string value_of(std::size_t number);
[[nodiscard]] std::string lines_of(std::size_t count);

}  // namespace klog::cli::bench

#endif  // KLOG_CLI_BENCH_FIGURE_H
