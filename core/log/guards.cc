#include "log/guards.h"

#include <algorithm>

namespace klog {
namespace {

std::optional<Error> malformed(const FilterGuard& guard) {
    if (guard.none.empty()) {
        return Error{Code::bad_record, "a guard names at least one filter in \"none\"", {}};
    }
    const std::size_t filters = guard.none.size() + guard.not_filters.size();
    if (filters > Limits::kGuardFiltersMax) {
        return Error{Code::bad_record,
                     "a guard has " + std::to_string(filters) + " filters, the limit is " +
                         std::to_string(Limits::kGuardFiltersMax),
                     {}};
    }
    const auto reserved = [](const std::string& filter) { return filter.starts_with('$'); };
    if (std::any_of(guard.none.begin(), guard.none.end(), reserved) ||
        std::any_of(guard.not_filters.begin(), guard.not_filters.end(), reserved)) {
        return Error{Code::bad_filter,
                     "a filter of a guard cannot begin with \"$\": those topics are klog's own "
                     "(column 1)",
                     {}};
    }
    return std::nullopt;
}

GuardLook compile(const FilterGuard& guard) {
    GuardLook look;
    look.guard = &guard;
    look.error = malformed(guard);
    if (look.error) return look;
    Result<FilterSet> set = FilterSet::parse(guard.none, guard.not_filters);
    if (set) {
        look.set = std::move(set).value();
    } else {
        look.error = std::move(set).error();
    }
    look.seen.upto = guard.after;
    look.durable = look.seen;
    return look;
}

template <class Visit>
void each_guard(const WriteBatch& batch, Visit&& visit) {
    for (const WriteRecord& record : batch.records) {
        if (record.guard != nullptr) visit(*record.guard);
    }
    if (!batch.atomic) return;
    for (const BatchGuard& guard : batch.atomic->guards) {
        if (guard.filters != nullptr) visit(*guard.filters);
    }
}

}  // namespace

void compile_guards(WriteBatch& batch) {
    std::size_t guards = 0;
    bool same = batch.looked != nullptr;
    each_guard(batch, [&](const FilterGuard& guard) {
        same = same && guards < batch.looked->guards.size() &&
               batch.looked->guards[guards].guard == &guard;
        ++guards;
    });
    if (guards == 0) {
        batch.looked.reset();
        return;
    }
    if (same && guards == batch.looked->guards.size()) return;
    batch.looked = std::make_shared<WriteBatch::Looked>();
    batch.looked->guards.reserve(guards);
    each_guard(batch,
               [&](const FilterGuard& guard) { batch.looked->guards.push_back(compile(guard)); });
}

GuardConflict guard_conflict(const GuardLook& look) {
    const auto filters = look.set->filters();
    const auto first = std::find_if(filters.begin(), filters.end(), [&](const Filter& filter) {
        return filter.matches(look.seen.topic);
    });
    const auto number = static_cast<std::size_t>(first - filters.begin());
    return GuardConflict{look.guard->none.at(number), look.guard->after, look.seen.found,
                         look.seen.topic};
}

Error guard_error(const GuardConflict& conflict) {
    return Error{Code::guard_conflict,
                 "seq " + std::to_string(conflict.seq.value) + " (" + conflict.topic +
                     ") matches " + conflict.filter + " and lies behind " +
                     std::to_string(conflict.after.value),
                 "read again from that cursor, decide anew and try again"};
}

Error looked_in_vain() {
    return Error{Code::backpressure, "so much is written that a guard could not be judged in time",
                 "try again"};
}

}  // namespace klog
