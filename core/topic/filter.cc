#include "topic/filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>

#include "klog/types.h"
#include "topic/filter_parser.h"
#include "topic/grammar.h"

namespace klog {
namespace {

using SegmentKind = Filter::Segment::Kind;

}  // namespace

Status Filter::read(std::string_view text) {
    FilterParser parser(text, *this);
    if (parser.parse()) return {};
    return grammar::to_error(Code::bad_filter, text, "filter", parser.take_fault());
}

Result<Filter> Filter::parse(std::string_view text) {
    Filter filter;
    KLOG_TRY(filter.read(text));
    return filter;
}

bool Filter::matches(std::string_view topic) const {
    if (topic.starts_with('$') && !reserved()) return false;
    // The level that comes next begins at `at`; behind the last one at is size() + 1.
    std::size_t at = 0;
    for (const Part& part : parts_) {
        if (at > topic.size()) return false;
        if (topic.compare(at, part.size, text_, part.begin, part.size) != 0) return false;
        std::size_t end = at + part.size;
        if (part.kind != SegmentKind::literal) {
            end = std::min(topic.find('/', end), topic.size());
        } else if (end < topic.size() && topic[end] != '/') {
            return false;
        }
        at = end + 1;
    }
    const bool ended = at > topic.size();
    return rest_ ? !ended || optional_ : ended;
}

std::string Filter::literal_prefix() const {
    for (const Part& part : parts_) {
        if (part.kind != SegmentKind::literal) return text_.substr(0, part.begin + part.size);
    }
    if (parts_.empty()) return {};
    const std::size_t end = parts_.back().begin + parts_.back().size;
    return text_.substr(0, rest_ && !optional_ ? end + 1 : end);
}

FilterSet::FilterSet() { filters_.push_back(Filter::parse(">").value()); }

Result<FilterSet> FilterSet::parse(std::span<const std::string> filters,
                                   std::span<const std::string> not_filters) {
    FilterSet set = filters.empty() ? FilterSet() : FilterSet(Nothing{});
    KLOG_TRY(read(filters, "filters", set.filters_));
    KLOG_TRY(read(not_filters, "filters to take out", set.nots_));
    return set;
}

Status FilterSet::read(std::span<const std::string> texts, std::string_view what,
                       std::vector<Filter>& out) {
    if (texts.size() > kFiltersMax) {
        return Error{Code::bad_option,
                     fmt::format("{} {} are more than the {} allowed at once", texts.size(), what,
                                 kFiltersMax),
                     "a wider filter may do the work of several"};
    }
    if (texts.empty()) return {};
    out.reserve(texts.size());
    for (const std::string& text : texts) {
        out.push_back(Filter());
        KLOG_TRY(out.back().read(text));
    }
    return {};
}

bool FilterSet::matches(std::string_view topic) const {
    const auto matching = [topic](const Filter& filter) { return filter.matches(topic); };
    return std::any_of(filters_.begin(), filters_.end(), matching) && !excludes(topic);
}

bool FilterSet::excludes(std::string_view topic) const {
    return std::any_of(nots_.begin(), nots_.end(),
                       [topic](const Filter& filter) { return filter.matches(topic); });
}

// A literal or a prefix leaves out more topics than kFiltersMax filters could bring back, so that
// only filters of nothing but "*" count: together they must cover each number of levels. A
// not-filter always takes some topic away.
bool FilterSet::all() const {
    if (!std::all_of(nots_.begin(), nots_.end(), [](const Filter& f) { return f.reserved(); })) {
        return false;
    }
    std::bitset<Limits::kTopicLevelsMax + 1> covered;
    covered.set(0);  // no topic has no level
    for (const Filter& filter : filters_) {
        const std::size_t levels = filter.segment_count();
        bool any = true;
        for (std::size_t n = 0; n < levels && any; ++n) {
            any = filter.segment(n).kind == SegmentKind::any;
        }
        if (!any) continue;
        if (!filter.rest() || filter.rest_optional()) covered.set(levels);
        for (std::size_t n = levels + 1; filter.rest() && n < covered.size(); ++n) covered.set(n);
    }
    return covered.all();
}

}  // namespace klog
