// Filters over topics, compiled once, matched in time linear in the topic for any filter.
//
// seg ("/" seg)* ["/>"] or ">"; a seg is a literal, "*" (exactly one level) or "literal*" (one
// level with that prefix, the prefix itself included). ">" stands only alone as the last segment:
// one or more levels. Aliases: "+" for "*"; a trailing slash for "/>"; "a/#" for "a" and "a/>"; "#"
// alone for ">". Topics whose first level begins with "$" match only a filter whose first
// segment begins with "$".
#ifndef KLOG_TOPIC_FILTER_H
#define KLOG_TOPIC_FILTER_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"

namespace klog {

class Filter {
public:
    // The limits of a topic hold for the canonical spelling, ">" and "#" counting as a level.
    // Errors: bad_filter, whose message ends with "(column N)", counted from 1 in bytes: a
    // misplaced wildcard's own column, otherwise as check_topic says.
    [[nodiscard]] static Result<Filter> parse(std::string_view text);

    // Precondition: check_topic(topic) held once. Each segment takes one level: linear in the
    // topic, never backtracks, allocates nothing.
    [[nodiscard]] bool matches(std::string_view topic) const;

    // The canonical spelling: "*" and ">" instead of their aliases; "a/#" stays.
    [[nodiscard]] const std::string& text() const { return text_; }

    // All topics that match start with this, and it is the longest such text; empty where nothing
    // is certain. For range scans: "orders/" of "orders/*/x", "a" of "a/#".
    [[nodiscard]] std::string literal_prefix() const;

    struct Segment {
        enum class Kind : std::uint8_t { literal, any, prefix };
        Kind kind = Kind::literal;
        std::string text;  // literal or prefix
    };
    // What the filter index needs. The segments are those before the ">" or "#".
    [[nodiscard]] std::span<const Segment> segments() const { return segments_; }
    // Further levels follow the segments: it ends in "/>" or "/#", or is ">".
    [[nodiscard]] bool rest() const { return rest_; }
    // "a/#": rest() holds, and the segments match alone as well.
    [[nodiscard]] bool rest_optional() const { return optional_; }
    // The first segment begins with "$": no other filter matches "$…" topics.
    [[nodiscard]] bool reserved() const { return text_.starts_with('$'); }

private:
    Filter() = default;

    std::string text_;
    std::vector<Segment> segments_;
    bool rest_ = false;
    bool optional_ = false;
};

// A union of filters with others taken out again.
class FilterSet {
public:
    static constexpr std::size_t kFiltersMax = 64;  // of either kind

    FilterSet();  // ">"

    // No filters at all mean ">". Errors: bad_filter; bad_option past kFiltersMax of either.
    [[nodiscard]] static Result<FilterSet> parse(std::span<const std::string> filters,
                                                 std::span<const std::string> not_filters);
    // Precondition: check_topic(topic) held once.
    [[nodiscard]] bool matches(std::string_view topic) const;
    // A not-filter matches, so that the set does not, whatever its filters say.
    [[nodiscard]] bool excludes(std::string_view topic) const;
    // At least one: ">" where none was given.
    [[nodiscard]] std::span<const Filter> filters() const { return filters_; }
    [[nodiscard]] std::span<const Filter> not_filters() const { return nots_; }
    // True if, and only if, every topic that does not begin with "$" matches.
    [[nodiscard]] bool all() const;

private:
    std::vector<Filter> filters_;
    std::vector<Filter> nots_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_H
