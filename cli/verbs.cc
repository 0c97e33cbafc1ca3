#include <array>

#include "cli/verb.h"

namespace klog::cli {

std::span<const Verb> verbs() {
    // clang-format off
    static const std::array kTable = {
        daemon_verb(),
        run_verb(),
        produce_verb(),
        tail_verb(),
        get_verb(),
        history_verb(),
        keys_verb(),
        topics_verb(),
        head_verb(),
        count_verb(),
        consumer_verb(),
        verify_verb(),
        doctor_verb(),
        bench_verb(),
        config_verb(),
        completion_verb(),
        version_verb(),
        help_verb(),
    };
    // clang-format on
    return kTable;
}

}  // namespace klog::cli
