// Guards over filters as they are written: in an envelope's `expect`, and in a line of an atomic
// batch.
#ifndef KLOG_DAEMON_JSON_GUARD_JSON_H
#define KLOG_DAEMON_JSON_GUARD_JSON_H

#include <string_view>

#include "daemon/json/scanner.h"
#include "klog/guard.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::json {

// The members none, not and after of a guard, in whatever object they stand.
struct GuardMembers {
    FilterGuard guard;

    [[nodiscard]] static bool knows(std::string_view name) {
        return name == "none" || name == "not" || name == "after";
    }
    [[nodiscard]] bool any() const { return has_none_ || has_not_ || has_after_; }
    // The value of one of them, at the scanner's position. Precondition: knows(name). Errors:
    // bad_json, bad_record, bad_filter.
    Status take(Scanner& in, std::string_view name);
    // What none of them can say alone. Errors: bad_record.
    [[nodiscard]] Status check() const;

private:
    bool has_none_ = false;
    bool has_not_ = false;
    bool has_after_ = false;
};

// What `expect` says where it is an object: {"none":[F…],"not":[F…],"after":N,"version":E}.
struct GuardExpect {
    FilterGuard guard;
    Expect version;  // Form::any where it has none
};
// The object at the scanner's position. Errors: bad_json, bad_record, bad_filter.
[[nodiscard]] Result<GuardExpect> read_guard(Scanner& in);

// A guard that is complete. Errors: bad_record (no filter in none, more than kGuardFiltersMax),
// bad_filter with its column.
Status check_guard(const FilterGuard& guard);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_GUARD_JSON_H
