// From a filter's text to its segments. Private to core/topic.
#ifndef KLOG_TOPIC_FILTER_PARSER_H
#define KLOG_TOPIC_FILTER_PARSER_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "topic/filter.h"
#include "topic/grammar.h"

namespace klog {

// One use each: construct, parse, take the members.
class FilterParser {
public:
    explicit FilterParser(std::string_view text);

    // The leftmost fault, or nothing where the members below describe a filter.
    std::optional<grammar::Fault> parse();

    std::vector<Filter::Segment> segments;
    bool rest = false;
    bool rest_optional = false;

private:
    using MaybeFault = std::optional<grammar::Fault>;
    MaybeFault parse_segment(std::size_t begin, std::size_t end);
    MaybeFault parse_wildcard(std::size_t begin, std::size_t end, std::size_t at);
    MaybeFault parse_many(std::size_t begin, std::size_t end, std::size_t at);
    [[nodiscard]] grammar::Fault empty_segment(std::size_t at) const;

    std::string_view text_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_PARSER_H
