// Guards: what must not have happened for a write to succeed.
#ifndef KLOG_GUARD_H
#define KLOG_GUARD_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// Holds when no record behind `after` has a topic that matches a filter in `none` and none in
// `not_filters`. Every record counts, tombstones and those without a key too, but not those of the
// write itself and of its batch. Limits: 1 to kGuardFiltersMax filters together, at least one in
// `none`, none that begins with "$" (bad_filter, bad_record).
struct FilterGuard {
    std::vector<std::string> none;
    std::vector<std::string> not_filters;
    Seq after;
};

// The newest record that stands against a guard. Its key: Log::record(seq).
struct GuardConflict {
    std::string filter;  // the first one in `none` that matches
    Seq after;           // as the guard says
    Seq seq;
    std::string topic;
};

// One line of an atomic batch that stands against it.
struct Violation {
    std::uint64_t line = 0;  // as the record, guard or ack says
    Error error;
    // version_conflict: of that entity.
    struct Entity {
        std::string space;
        std::string key;
        Expect expected;
        Version actual;
        EntityState state = EntityState::absent;
        Seq last_seq;
    };
    std::optional<Entity> entity;
    std::optional<GuardConflict> guard;  // guard_conflict
};

}  // namespace klog

#endif  // KLOG_GUARD_H
