#include "topic/topic.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "klog/types.h"
#include "topic/grammar.h"

namespace klog {
namespace {

using grammar::ByteClass;
using grammar::Fault;

constexpr std::size_t kNone = std::string_view::npos;

// The first byte that cannot stand there, whatever the reason; kNone for a topic. Every write goes
// through here, so that reasons and messages are left to explain_topic.
std::size_t find_topic_fault(std::string_view topic) {
    std::size_t level_start = 0;
    std::size_t levels = 1;
    const std::size_t end = std::min(topic.size(), Limits::kTopicBytesMax);
    for (std::size_t at = 0; at < end;) {
        const ByteClass byte_class = grammar::class_of(topic[at]);
        if (byte_class == ByteClass::plain) [[likely]] {
            ++at;
        } else if (byte_class == ByteClass::slash) {
            if (at == level_start || ++levels > Limits::kTopicLevelsMax) return at;
            level_start = ++at;
        } else {
            const std::size_t length = grammar::level_char_bytes(topic, at);
            if (length == 0) return at;
            at += length;
        }
    }
    if (topic.size() > Limits::kTopicBytesMax) return Limits::kTopicBytesMax;
    return level_start == topic.size() ? topic.size() : kNone;
}

Fault explain_topic(std::string_view topic, std::size_t at) {
    if (topic.empty()) return {at, "it is empty", ""};
    if (at == Limits::kTopicBytesMax && topic.size() > at) {
        return {at, fmt::format("it has more than {} bytes", Limits::kTopicBytesMax), ""};
    }
    if (at == topic.size()) {
        return {at, "its last level is empty", "leave out the \"/\" at the end"};
    }
    if (topic[at] == '/') {
        if (at == 0) {
            return {at, "its first level is empty", "leave out the \"/\" at the start"};
        }
        if (topic[at - 1] == '/') return {at, "a level is empty", "write one \"/\" for \"//\""};
        return {at, fmt::format("it has more than {} levels", Limits::kTopicLevelsMax), ""};
    }
    Fault fault{at, grammar::why_not_in_level(topic, at), ""};
    fault.hint = grammar::class_of(topic[at]) == ByteClass::wildcard
                     ? "wildcards are for filters; a record has one topic"
                     : "a level is UTF-8 text without control characters and white space";
    return fault;
}

}  // namespace

Status check_topic(std::string_view topic) {
    const std::size_t at = find_topic_fault(topic);
    if (at == kNone) [[likely]]
        return {};
    return grammar::to_error(Code::bad_topic, topic, "topic", explain_topic(topic, at));
}

std::string_view space_of(std::string_view topic) { return topic.substr(0, topic.find('/')); }

bool is_reserved_topic(std::string_view topic) { return topic.starts_with('$'); }

Status check_key(std::string_view key) {
    const auto refuse = [key](std::size_t at, std::string why) -> Status {
        return grammar::to_error(
            Code::bad_key, key, "key",
            {at, std::move(why), "a key is 1 to 1024 bytes of UTF-8 without control characters"});
    };
    if (key.empty()) return refuse(0, "it is empty");
    const std::size_t end = std::min(key.size(), Limits::kKeyBytesMax);
    for (std::size_t at = 0; at < end;) {
        const auto byte = static_cast<unsigned char>(key[at]);
        if (byte >= 0x20 && byte < 0x7F) [[likely]] {
            ++at;
            continue;
        }
        const Utf8Char here = decode_utf8(key, at);
        if (here.length_bytes == 0) return refuse(at, "it is not valid UTF-8");
        if (is_control(here.code)) {
            return refuse(at, fmt::format("the control character {} may not stand in a key",
                                          code_point_name(here.code)));
        }
        at += here.length_bytes;
    }
    if (key.size() > Limits::kKeyBytesMax) {
        return refuse(Limits::kKeyBytesMax,
                      fmt::format("it has more than {} bytes", Limits::kKeyBytesMax));
    }
    return {};
}

Status check_space(std::string_view space) {
    // A slash is the fault only where nothing before it is: "!/" fails at its "!", "/a" at its "/".
    const std::size_t slash = space.find('/');
    const std::size_t at = find_topic_fault(space);
    if (slash != kNone && slash > 0 && slash < at && slash < Limits::kTopicBytesMax) {
        return grammar::to_error(Code::bad_topic, space, "key space",
                                 {slash, "a key space is one level",
                                  fmt::format("try {}", quoted(space.substr(0, slash)))});
    }
    if (at == kNone) return {};
    return grammar::to_error(Code::bad_topic, space, "key space", explain_topic(space, at));
}

}  // namespace klog
