#include "daemon/json/guard_json.h"

#include <fmt/core.h>

#include <array>

#include "daemon/json/members.h"
#include "daemon/json/record_json.h"
#include "topic/filter.h"

namespace klog::json {
namespace {

constexpr std::string_view kForm = R"({"none":["orders/7/+"],"after":42})";

Error too_many() {
    return bad_record(fmt::format("a guard has at most {} filters in 'none' and 'not' together",
                                  Limits::kGuardFiltersMax),
                      "a wider filter may do the work of several");
}

Error no_filter() { return bad_record("the guard has no filter in 'none'", std::string(kForm)); }

// True for what most filters are, which the parser takes for certain: levels of plain letters,
// wildcards that are a whole level, and perhaps ">" at the end. The log parses them anyway, so the
// rest of the grammar is left to its parser here too.
bool is_plain_filter(std::string_view text) {
    if (text.size() > Limits::kTopicLevelsMax) return false;  // so it has not too many levels
    std::size_t level_bytes = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool ends = i + 1 == text.size() || text[i + 1] == '/';
        if (c == '/') {
            if (level_bytes == 0) return false;
            level_bytes = 0;
            continue;
        }
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        const bool wild = (c == '+' || c == '*') && ends;
        const bool rest = c == '>' && i + 1 == text.size();
        if (!letter && (level_bytes > 0 || !(wild || rest))) return false;
        ++level_bytes;
    }
    return level_bytes > 0;
}

Status check_filter(std::string_view text) {
    if (is_plain_filter(text)) return {};
    KLOG_TRY_ASSIGN(const Filter filter, Filter::parse(text));
    if (!filter.reserved()) return {};
    return Error{Code::bad_filter,
                 fmt::format("'{}' cannot stand in a guard: it begins with '$' (column 1)", text),
                 "a guard looks at records that producers wrote"};
}

// An array of filters; `others` stand in the guard already.
Status take_filters(Scanner& in, std::string_view name, std::size_t others,
                    std::vector<std::string>& out) {
    if (in.peek() != '[') {
        if (!in.scan_value()) return in.error();
        return bad_record(fmt::format("'{}' is not an array of filters", name), std::string(kForm));
    }
    if (!in.take('[')) return in.error();
    in.skip_space();
    if (in.peek() == ']') return in.take(']') ? Status() : in.error();
    for (;;) {
        in.skip_space();
        if (out.size() + others == Limits::kGuardFiltersMax) return too_many();
        KLOG_TRY(take_text(in, name, out.emplace_back()));
        KLOG_TRY(check_filter(out.back()));
        in.skip_space();
        if (in.peek() == ']') return in.take(']') ? Status() : in.error();
        if (!in.take(',')) return in.error();
    }
}

Error unknown_member(std::string_view name) {
    static constexpr std::array<std::string_view, 4> kNames = {"none", "not", "after", "version"};
    const std::string_view near = nearest_name(name, kNames);
    return bad_record(fmt::format("unknown member '{}' in a guard", name.substr(0, 100)),
                      near.empty() ? std::string(kForm) : fmt::format("did you mean '{}'?", near));
}

}  // namespace

Status GuardMembers::take(Scanner& in, std::string_view name) {
    if (name == "none") {
        KLOG_TRY(note_once(has_none_, name));
        return take_filters(in, name, guard.not_filters.size(), guard.none);
    }
    if (name == "not") {
        KLOG_TRY(note_once(has_not_, name));
        return take_filters(in, name, guard.none.size(), guard.not_filters);
    }
    KLOG_TRY(note_once(has_after_, name));
    return take_number(in, name, guard.after.value);
}

Status GuardMembers::check() const {
    if (guard.none.empty()) return no_filter();
    return {};
}

Result<GuardExpect> read_guard(Scanner& in) {
    GuardExpect read;
    GuardMembers members;
    bool has_version = false;
    const auto take = [&](std::string_view name) -> Status {
        if (GuardMembers::knows(name)) return members.take(in, name);
        if (name != "version") return unknown_member(name);
        KLOG_TRY(note_once(has_version, name));
        return take_version(in, name, read.version);
    };
    KLOG_TRY(walk_members(in, take));
    KLOG_TRY(members.check());
    read.guard = std::move(members.guard);
    return read;
}

Status check_guard(const FilterGuard& guard) {
    if (guard.none.empty()) return no_filter();
    if (guard.none.size() + guard.not_filters.size() > Limits::kGuardFiltersMax) return too_many();
    for (const auto* filters : {&guard.none, &guard.not_filters}) {
        for (const std::string& filter : *filters) KLOG_TRY(check_filter(filter));
    }
    return {};
}

}  // namespace klog::json
