// The filter grammar once more, in the plainest words and sharing no code with klog: texts are
// split into levels, and a recursion compares them. Tests hold the real matcher against it.
#ifndef KLOG_TESTS_SUPPORT_NAIVE_MATCHER_H
#define KLOG_TESTS_SUPPORT_NAIVE_MATCHER_H

#include <string>
#include <vector>

namespace klog::naive {

using Levels = std::vector<std::string>;

inline Levels split(const std::string& text) {
    Levels levels(1);
    for (const char c : text) {
        if (c == '/') {
            levels.emplace_back();
        } else {
            levels.back() += c;
        }
    }
    return levels;
}

inline bool level_matches(const std::string& segment, const std::string& level) {
    if (segment == "*" || segment == "+") return true;
    if (segment.back() == '*') {
        const std::string prefix = segment.substr(0, segment.size() - 1);
        return level.substr(0, prefix.size()) == prefix;
    }
    return segment == level;
}

inline bool levels_match(const Levels& filter, std::size_t f, const Levels& topic, std::size_t t) {
    if (f == filter.size()) return t == topic.size();
    const bool last = f + 1 == filter.size();
    // ">", and "" behind a slash at the end: one or more levels.
    if (last && (filter[f] == ">" || filter[f].empty())) return t < topic.size();
    // "#": none or more; alone it can meet no topic without levels.
    if (last && filter[f] == "#") return true;
    if (t == topic.size()) return false;
    return level_matches(filter[f], topic[t]) && levels_match(filter, f + 1, topic, t + 1);
}

// Precondition: both are well-formed.
inline bool matches(const std::string& filter, const std::string& topic) {
    if (topic[0] == '$' && filter[0] != '$') return false;
    return levels_match(split(filter), 0, split(topic), 0);
}

// A union of filters (none: all), less what the others match.
inline bool set_matches(const std::vector<std::string>& filters,
                        const std::vector<std::string>& not_filters, const std::string& topic) {
    bool in = filters.empty() && matches(">", topic);
    for (const std::string& filter : filters) in = in || matches(filter, topic);
    for (const std::string& filter : not_filters) in = in && !matches(filter, topic);
    return in;
}

}  // namespace klog::naive

#endif  // KLOG_TESTS_SUPPORT_NAIVE_MATCHER_H
