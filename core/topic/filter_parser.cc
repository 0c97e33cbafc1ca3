#include "topic/filter_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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

FilterParser::FilterParser(std::string_view text, Filter& out) : text_(text), out_(out) {}

grammar::Fault FilterParser::take_fault() { return std::move(*fault_); }

bool FilterParser::fail(Fault fault) {
    fault_ = std::move(fault);
    return false;
}

void FilterParser::add(SegmentKind kind, std::size_t begin, std::size_t end) {
    out_.parts_.push_back(
        {kind, static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end - begin)});
}

// Faults are found from left to right; those behind the limit of bytes give way to the limit. The
// canonical spelling has each segment where the text has it.
bool FilterParser::parse() {
    if (text_.empty()) return fail({0, "it is empty", "\">\" matches every topic"});
    const std::size_t size_bytes = text_.size() + (text_.ends_with('/') ? 1 : 0);
    text_ = text_.substr(0, kLookBytesMax);
    const auto slashes = static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '/'));
    out_.parts_.reserve(std::min(slashes + 1, Limits::kTopicLevelsMax));
    out_.text_.reserve(text_.size() + 1);
    out_.text_ = text_;

    bool sound = true;
    std::size_t levels = 0;
    for (std::size_t begin = 0; begin <= text_.size() && sound;) {
        const std::size_t end = std::min(text_.find('/', begin), text_.size());
        if (++levels > Limits::kTopicLevelsMax) {
            sound = fail({begin - 1,
                          fmt::format("it has more than {} levels", Limits::kTopicLevelsMax), ""});
        } else {
            sound = parse_segment(begin, end);
        }
        begin = end + 1;
    }
    if (size_bytes > Limits::kTopicBytesMax && (sound || fault_->at >= Limits::kTopicBytesMax)) {
        return fail({Limits::kTopicBytesMax,
                     fmt::format("it has more than {} bytes", Limits::kTopicBytesMax), ""});
    }
    return sound;
}

bool FilterParser::parse_segment(std::size_t begin, std::size_t end) {
    if (begin == end) {
        // A slash at the end stands for "/>".
        if (begin == 0 || end != text_.size()) return fail_empty_segment(begin);
        out_.text_ += '>';
        out_.rest_ = true;
        return true;
    }
    for (std::size_t at = begin; at < end;) {
        if (grammar::class_of(text_[at]) == ByteClass::wildcard) {
            return parse_wildcard(begin, end, at);
        }
        const std::size_t length = grammar::level_char_bytes(text_, at);
        if (length == 0) return fail({at, grammar::why_not_in_level(text_, at), ""});
        at += length;
    }
    add(SegmentKind::literal, begin, end);
    return true;
}

bool FilterParser::fail_empty_segment(std::size_t at) {
    if (at == 0) {
        return fail({at, "its first segment is empty", "leave out the \"/\" at the start"});
    }
    return fail({at, "a segment is empty", "\"*\" stands for any one level"});
}

// The first wildcard of a segment stands at `at`; what is before it may stand there.
bool FilterParser::parse_wildcard(std::size_t begin, std::size_t end, std::size_t at) {
    const char wildcard = text_[at];
    if (wildcard == '>' || wildcard == '#') return parse_many(begin, end, at);

    const bool whole = at == begin && at + 1 == end;
    if (wildcard == '+' && !whole) {
        std::string hint = "\"+\" stands for exactly one whole level";
        if (at > begin && at + 1 == end) {
            hint =
                fmt::format("try {}", quoted(std::string(text_.substr(begin, at - begin)) + "*"));
        }
        return fail({at, "\"+\" stands only as a whole segment", std::move(hint)});
    }
    if (at + 1 != end) {
        const bool doubled = text_[at + 1] == '*';
        return fail({at, "\"*\" stands only at the end of a segment",
                     doubled ? "\"*\" is exactly one level; \">\" at the end is one or more"
                             : "\"*\" is a whole level, \"ab*\" one that begins with \"ab\""});
    }
    out_.text_[at] = '*';
    add(whole ? SegmentKind::any : SegmentKind::prefix, begin, at);
    return true;
}

bool FilterParser::parse_many(std::size_t begin, std::size_t end, std::size_t at) {
    const bool alone = at == begin && at + 1 == end;
    if (alone && end == text_.size()) {
        out_.rest_ = true;
        out_.optional_ = text_[at] == '#' && begin > 0;
        if (!out_.optional_) out_.text_[at] = '>';
        return true;
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
    return fail(std::move(fault));
}

}  // namespace klog
