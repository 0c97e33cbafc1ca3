// Which versions of an entity are read.
#ifndef KLOG_HISTORY_H
#define KLOG_HISTORY_H

#include <cstdint>
#include <string>

#include "klog/types.h"

namespace klog {

// Versions of one entity: from `first` to `last`, and of those the newest `newest`.
struct HistoryOptions {
    std::string space;
    std::string key;
    Version first{1};
    Version last{~0ULL};
    std::uint64_t newest = ~0ULL;
};

}  // namespace klog

#endif  // KLOG_HISTORY_H
