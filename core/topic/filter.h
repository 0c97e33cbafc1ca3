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
        std::string_view text;  // literal or prefix: a part of text(), so as long as that stays
    };
    // The segments are those before the ">" or "#". Precondition: number < segment_count().
    [[nodiscard]] std::size_t segment_count() const { return parts_.size(); }
    [[nodiscard]] Segment segment(std::size_t number) const {
        const Part& part = parts_[number];
        return {part.kind, std::string_view(text_).substr(part.begin, part.size)};
    }
    // What it takes in memory, about.
    [[nodiscard]] std::size_t bytes() const {
        return sizeof(Filter) + text_.capacity() + parts_.capacity() * sizeof(Part);
    }
    // Further levels follow the segments: it ends in "/>" or "/#", or is ">".
    [[nodiscard]] bool rest() const { return rest_; }
    // "a/#": rest() holds, and the segments match alone as well.
    [[nodiscard]] bool rest_optional() const { return optional_; }
    // The first segment begins with "$": no other filter matches "$…" topics.
    [[nodiscard]] bool reserved() const { return text_.starts_with('$'); }

private:
    friend class FilterParser;
    friend class FilterSet;
    Filter() = default;
    // Precondition: it is empty. Errors: as parse().
    Status read(std::string_view text);

    // A segment in text_, which is no longer than a topic.
    struct Part {
        Segment::Kind kind;
        std::uint16_t begin;
        std::uint16_t size;
    };

    std::string text_;
    std::vector<Part> parts_;
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
    struct Nothing {};
    explicit FilterSet(Nothing /*unused*/) {}
    static Status read(std::span<const std::string> texts, std::string_view what,
                       std::vector<Filter>& out);

    std::vector<Filter> filters_;
    std::vector<Filter> nots_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_H
