// Guards over filters: what is known about each of a batch.
//
// A guard asks whether the greatest seq under its filters lies behind `after`. Its look moves on
// from `after`: what it has seen need not be looked at again. RecentTopics answers for what is
// recent, under the pipeline's mutex; what is older is read (see
// log/guard_scan.h), on what is durable, by whoever hands the batch in.
#ifndef KLOG_LOG_GUARDS_H
#define KLOG_LOG_GUARDS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "klog/log.h"
#include "topic/filter.h"

namespace klog {

struct GuardLook {
    struct Seen {
        Seq upto;           // everything behind the guard's cursor up to here
        Seq found;          // the newest record there that stands against it; 0: none does
        std::string topic;  // of that one
    };
    const FilterGuard* guard = nullptr;
    std::optional<Error> error;    // it is malformed
    std::optional<FilterSet> set;  // otherwise
    std::optional<Error> unseen;   // the log could not be looked at: what is to be answered
    Seen seen;
    Seen durable;  // the part of it that no failed group takes back

    [[nodiscard]] bool wants(Seq head) const { return !error && !unseen && seen.upto < head; }
};

struct WriteBatch::Looked {
    // Of the records in their order, then of the atomic part. Records without a guard have none.
    std::vector<GuardLook> guards;
    // Sequencer::drops() when it was looked at: what was seen since may have been taken back.
    std::uint64_t drops = 0;
};

// Makes batch.looked, or keeps it where it is of these guards. Null where there are none.
void compile_guards(WriteBatch& batch);

// What a guard says of the conflict that was found.
[[nodiscard]] GuardConflict guard_conflict(const GuardLook& look);
[[nodiscard]] Error guard_error(const GuardConflict& conflict);

// So much is written that it was not possible to look in time.
[[nodiscard]] Error looked_in_vain();

}  // namespace klog

#endif  // KLOG_LOG_GUARDS_H
