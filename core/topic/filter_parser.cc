#include "topic/filter_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "klog/types.h"

namespace klog {

using grammar::ByteClass;
using grammar::Fault;

namespace {

using SegmentKind = Filter::Segment::Kind;

// Enough to see a fault in the last byte that may stand, and no more of a text without limit.
constexpr std::size_t kLookBytesMax = Limits::kTopicBytesMax + 8;

}  // namespace

FilterParser::FilterParser(std::string_view text) : text_(text) {}

// Faults are found from left to right; those behind the limit of bytes give way to the limit.
std::optional<Fault> FilterParser::parse() {
    if (text_.empty()) return Fault{0, "it is empty", "\">\" matches every topic"};
    const std::size_t size_bytes = text_.size() + (text_.ends_with('/') ? 1 : 0);
    text_ = text_.substr(0, kLookBytesMax);

    MaybeFault fault;
    std::size_t levels = 0;
    for (std::size_t begin = 0; begin <= text_.size() && !fault;) {
        const std::size_t end = std::min(text_.find('/', begin), text_.size());
        if (++levels > Limits::kTopicLevelsMax) {
            fault = Fault{begin - 1,
                          fmt::format("it has more than {} levels", Limits::kTopicLevelsMax), ""};
        } else {
            fault = parse_segment(begin, end);
        }
        begin = end + 1;
    }
    if (size_bytes > Limits::kTopicBytesMax && (!fault || fault->at >= Limits::kTopicBytesMax)) {
        return Fault{Limits::kTopicBytesMax,
                     fmt::format("it has more than {} bytes", Limits::kTopicBytesMax), ""};
    }
    return fault;
}

std::optional<Fault> FilterParser::parse_segment(std::size_t begin, std::size_t end) {
    if (begin == end) {
        // A slash at the end stands for "/>".
        if (begin == 0 || end != text_.size()) return empty_segment(begin);
        rest = true;
        return std::nullopt;
    }
    for (std::size_t at = begin; at < end;) {
        if (grammar::class_of(text_[at]) == ByteClass::wildcard) {
            return parse_wildcard(begin, end, at);
        }
        const std::size_t length = grammar::level_char_bytes(text_, at);
        if (length == 0) return Fault{at, grammar::why_not_in_level(text_, at), ""};
        at += length;
    }
    segments.push_back({SegmentKind::literal, std::string(text_.substr(begin, end - begin))});
    return std::nullopt;
}

Fault FilterParser::empty_segment(std::size_t at) const {
    if (at == 0) return {at, "its first segment is empty", "leave out the \"/\" at the start"};
    return {at, "a segment is empty", "\"*\" stands for any one level"};
}

// The first wildcard of a segment stands at `at`; what is before it may stand there.
std::optional<Fault> FilterParser::parse_wildcard(std::size_t begin, std::size_t end,
                                                  std::size_t at) {
    const char wildcard = text_[at];
    if (wildcard == '>' || wildcard == '#') return parse_many(begin, end, at);

    const bool whole = at == begin && at + 1 == end;
    if (wildcard == '+' && !whole) {
        std::string hint = "\"+\" stands for exactly one whole level";
        if (at > begin && at + 1 == end) {
            hint =
                fmt::format("try {}", quoted(std::string(text_.substr(begin, at - begin)) + "*"));
        }
        return Fault{at, "\"+\" stands only as a whole segment", std::move(hint)};
    }
    if (at + 1 != end) {
        const bool doubled = text_[at + 1] == '*';
        return Fault{at, "\"*\" stands only at the end of a segment",
                     doubled ? "\"*\" is exactly one level; \">\" at the end is one or more"
                             : "\"*\" is a whole level, \"ab*\" one that begins with \"ab\""};
    }
    if (whole) {
        segments.push_back({SegmentKind::any, ""});
    } else {
        segments.push_back({SegmentKind::prefix, std::string(text_.substr(begin, at - begin))});
    }
    return std::nullopt;
}

std::optional<Fault> FilterParser::parse_many(std::size_t begin, std::size_t end, std::size_t at) {
    const bool alone = at == begin && at + 1 == end;
    if (alone && end == text_.size()) {
        rest = true;
        rest_optional = text_[at] == '#' && begin > 0;
        return std::nullopt;
    }
    Fault fault{at, fmt::format("\"{}\" stands only as the last segment", text_[at]), ""};
    if (alone) {
        fault.hint = "\"*\" stands for exactly one level, anywhere";
    } else if (at > begin && at + 1 == text_.size()) {
        const std::string_view before = text_.substr(0, at);
        fault.hint =
            fmt::format("try {} for what is below it, or {} for levels that begin so",
                        quoted(std::string(before) + "/>"), quoted(std::string(before) + "*"));
    }
    return fault;
}

}  // namespace klog
