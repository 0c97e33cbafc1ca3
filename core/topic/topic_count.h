// How often a topic occurs in a range of the log, and where.
#ifndef KLOG_TOPIC_TOPIC_COUNT_H
#define KLOG_TOPIC_TOPIC_COUNT_H

#include <algorithm>
#include <cstdint>

#include "klog/types.h"

namespace klog {

struct TopicCount {
    std::uint64_t records = 0;
    Seq first_seq;  // 0 where there are no records
    Seq last_seq;
    friend bool operator==(const TopicCount&, const TopicCount&) = default;
};

// `gained` lies behind what `to` counts.
inline void add_count(TopicCount& to, const TopicCount& gained) {
    if (to.records == 0) to.first_seq = gained.first_seq;
    to.records += gained.records;
    to.last_seq = std::max(to.last_seq, gained.last_seq);
}

}  // namespace klog

#endif  // KLOG_TOPIC_TOPIC_COUNT_H
