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

std::string canonical_text(const FilterParser& parsed) {
    std::string text;
    for (const Filter::Segment& segment : parsed.segments) {
        if (!text.empty()) text += '/';
        text += segment.text;
        if (segment.kind != SegmentKind::literal) text += '*';
    }
    if (parsed.rest) {
        if (!text.empty()) text += '/';
        text += parsed.rest_optional ? '#' : '>';
    }
    return text;
}

Result<std::vector<Filter>> parse_all(std::span<const std::string> texts, std::string_view what) {
    if (texts.size() > FilterSet::kFiltersMax) {
        return Error{Code::bad_option,
                     fmt::format("{} {} are more than the {} allowed at once", texts.size(), what,
                                 FilterSet::kFiltersMax),
                     "a wider filter may do the work of several"};
    }
    std::vector<Filter> filters;
    filters.reserve(texts.size());
    for (const std::string& text : texts) {
        KLOG_TRY_ASSIGN(Filter filter, Filter::parse(text));
        filters.push_back(std::move(filter));
    }
    return filters;
}

}  // namespace

Result<Filter> Filter::parse(std::string_view text) {
    FilterParser parser(text);
    if (auto fault = parser.parse()) {
        return grammar::to_error(Code::bad_filter, text, "filter", *std::move(fault));
    }
    Filter filter;
    filter.text_ = canonical_text(parser);
    filter.segments_ = std::move(parser.segments);
    filter.rest_ = parser.rest;
    filter.optional_ = parser.rest_optional;
    return filter;
}

bool Filter::matches(std::string_view topic) const {
    if (topic.starts_with('$') && !reserved()) return false;
    // The level that comes next begins at `at`; behind the last one at is size() + 1.
    std::size_t at = 0;
    for (const Segment& segment : segments_) {
        if (at > topic.size()) return false;
        if (topic.compare(at, segment.text.size(), segment.text) != 0) return false;
        std::size_t end = at + segment.text.size();
        if (segment.kind != SegmentKind::literal) {
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
    std::string prefix;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
        if (i > 0) prefix += '/';
        prefix += segments_[i].text;
        if (segments_[i].kind != SegmentKind::literal) return prefix;
    }
    if (rest_ && !optional_ && !segments_.empty()) prefix += '/';
    return prefix;
}

FilterSet::FilterSet() {
    Result<Filter> everything = Filter::parse(">");
    filters_.push_back(std::move(everything).value());
}

Result<FilterSet> FilterSet::parse(std::span<const std::string> filters,
                                   std::span<const std::string> not_filters) {
    FilterSet set;
    if (!filters.empty()) {
        KLOG_TRY_ASSIGN(set.filters_, parse_all(filters, "filters"));
    }
    KLOG_TRY_ASSIGN(set.nots_, parse_all(not_filters, "filters to take out"));
    return set;
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
        const auto segments = filter.segments();
        if (std::any_of(segments.begin(), segments.end(),
                        [](const Filter::Segment& s) { return s.kind != SegmentKind::any; })) {
            continue;
        }
        if (!filter.rest() || filter.rest_optional()) covered.set(segments.size());
        for (std::size_t n = segments.size() + 1; filter.rest() && n < covered.size(); ++n) {
            covered.set(n);
        }
    }
    return covered.all();
}

}  // namespace klog
