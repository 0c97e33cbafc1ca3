// From a filter's text to its segments. Private to core/topic.
#ifndef KLOG_TOPIC_FILTER_PARSER_H
#define KLOG_TOPIC_FILTER_PARSER_H

#include <optional>
#include <string_view>

#include "topic/filter.h"
#include "topic/grammar.h"

namespace klog {

// One use each: construct, parse, take the fault.
class FilterParser {
public:
    // Precondition: `out` is empty.
    FilterParser(std::string_view text, Filter& out);

    // True: `out` is the filter. False: take_fault() says where it is wrong.
    bool parse();
    // The leftmost one. Precondition: parse() gave false.
    [[nodiscard]] grammar::Fault take_fault();

private:
    // False: that is the fault now.
    bool fail(grammar::Fault fault);
    bool parse_segment(std::size_t begin, std::size_t end);
    bool parse_wildcard(std::size_t begin, std::size_t end, std::size_t at);
    bool parse_many(std::size_t begin, std::size_t end, std::size_t at);
    bool fail_empty_segment(std::size_t at);
    void add(Filter::Segment::Kind kind, std::size_t begin, std::size_t end);

    std::string_view text_;
    Filter& out_;
    std::optional<grammar::Fault> fault_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_FILTER_PARSER_H
