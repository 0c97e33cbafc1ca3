// Filters over topics, compiled once, matched in time linear in the topic for any filter.
//
// seg ("/" seg)* ["/>"] or ">"; a seg is a literal, "*" (exactly one level) or "literal*" (one level
// with that prefix, the prefix itself included). ">" stands only alone as the last segment: one
// or more levels. Aliases: "+" for "*"; a trailing slash for "/>"; "a/#" for "a" and "a/>"; "#"
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
    // Errors: bad_filter, whose message ends with "(column N)", counted from 1 in bytes.
    [[nodiscard]] static Result<Filter> parse(std::string_view text);

    // Precondition: check_topic(topic) held once.
    [[nodiscard]] bool matches(std::string_view topic) const;

    // The canonical spelling: "*" and ">" instead of their aliases; "a/#" stays.
    [[nodiscard]] const std::string& text() const { return text_; }

    // All topics that match start with this; empty where nothing is certain. For range scans.
    [[nodiscard]] std::string literal_prefix() const;

    struct Segment {
        enum class Kind : std::uint8_t { literal, any, prefix };
        Kind kind = Kind::literal;
        std::string text;  // literal or prefix
    };
    // What the filter index needs.
    [[nodiscard]] std::span<const Segment> segments() const { return segments_; }
    [[nodiscard]] bool rest() const { return rest_; }             // ends in "/>" or is ">"
    [[nodiscard]] bool rest_optional() const { return optional_; }  // "a/#"

private:
    std::string text_;
    std::vector<Segment> segments_;
    bool rest_ = false;
    bool optional_ = false;
};

// A union of filters with others taken out again.
class FilterSet {
public:
    static constexpr std::size_t kFiltersMax = 64;
    // No filters at all mean ">". Errors: bad_filter; bad_option past kFiltersMax of either.
    [[nodiscard]] static Result<FilterSet> parse(std::span<const std::string> filters,
                                                 std::span<const std::string> not_filters);
    [[nodiscard]] bool matches(std::string_view topic) const;
    [[nodiscard]] std::span<const Filter> filters() const { return filters_; }
    // True if every topic that does not begin with "$" matches.
    [[nodiscard]] bool all() const;

private:
    std::vector<Filter> filters_;
    std::vector<Filter> nots_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_H
