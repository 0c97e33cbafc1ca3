// Filters and topics: the matcher, the index of followers and a plain matcher agree.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "support/naive_matcher.h"
#include "topic/filter.h"
#include "topic/filter_index.h"
#include "topic/topic.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::size_t kFiltersMax = 6;

}  // namespace

// Lines: filters, those behind "!" taken out again; an empty line; topics.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    std::vector<std::string> filters;
    std::vector<std::string> nots;
    while (!in.empty() && filters.size() + nots.size() < kFiltersMax) {
        const std::string line(in.until('\n'));
        if (line.empty()) break;
        (line[0] == '!' ? nots : filters).push_back(line[0] == '!' ? line.substr(1) : line);
    }
    for (const std::string& text : filters) {
        const auto filter = Filter::parse(text);
        if (!filter.ok()) continue;
        const auto again = Filter::parse(filter->text());
        require(again.ok() && again->text() == filter->text(), "one spelling in the end");
    }
    const auto set = FilterSet::parse(filters, nots);
    if (!set.ok()) {
        require(!set.error().message.empty(), "a refusal says why");
        return 0;
    }
    FilterIndex index;
    index.add(1, *set, std::nullopt);
    index.add(2, *set, std::string("key"));
    while (!in.empty()) {
        const std::string topic(in.until('\n'));
        if (!check_topic(topic).ok()) continue;
        const bool matches = set->matches(topic);
        require(matches == naive::set_matches(filters, nots, topic), "the plain matcher agrees");
        std::vector<FilterIndex::Follower> found;
        index.find(topic, true, "key", found);
        std::sort(found.begin(), found.end());
        const auto wanted = matches ? std::vector<FilterIndex::Follower>{1, 2}
                                    : std::vector<FilterIndex::Follower>{};
        require(found == wanted, "the index finds who follows");
        found.clear();
        index.find(topic, true, "other", found);
        require(found.size() == (matches ? 1U : 0U), "another key has one follower less");
        if (set->all()) require(matches || topic[0] == '$', "everything is everything");
    }
    index.remove(1);
    index.remove(2);
    require(index.parts() == 0 && index.empty(), "nothing is left behind");
    return 0;
}
