#include "cli/bench/figure.h"

#include <algorithm>

namespace klog::cli::bench {

Figure Latencies::figure(std::size_t each, double seconds) {
    Figure figure = median();
    figure.value = static_cast<double>(micros_.size() * each) / seconds;
    return figure;
}

Figure Latencies::median() {
    if (micros_.empty()) return {};
    std::sort(micros_.begin(), micros_.end());
    Figure figure;
    figure.p50_us = micros_[micros_.size() / 2];
    figure.p99_us = micros_[micros_.size() * 99 / 100];
    figure.value = figure.p50_us;
    return figure;
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string value_of(std::size_t number) {
    std::string value = "{\"n\":" + std::to_string(number) + ",\"pad\":\"";
    value.append(kRecordBytes - value.size() - 2, 'x');
    return value + "\"}";
}

std::string lines_of(std::size_t count) {
    std::string lines;
    lines.reserve(count * (kRecordBytes + 1));
    for (std::size_t i = 0; i < count; ++i) lines += value_of(i) + "\n";
    return lines;
}

}  // namespace klog::cli::bench
