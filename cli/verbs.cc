#include <array>

#include "cli/verb.h"

namespace klog::cli {

std::span<const Verb> verbs() {
    static const std::array<Verb, 13> table = {
        daemon_verb(),     run_verb(),     produce_verb(), tail_verb(), get_verb(),
        history_verb(),    keys_verb(),    topics_verb(),  head_verb(), config_verb(),
        completion_verb(), version_verb(), help_verb(),
    };
    return table;
}

}  // namespace klog::cli
