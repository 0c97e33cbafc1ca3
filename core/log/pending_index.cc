#include "log/pending_index.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace klog {
namespace {

// What a topic costs in memory beside its text, about.
constexpr std::size_t kTopicBytes = 96;

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

void collect_keys(const KeyList& from, std::string_view space, std::string_view prefix,
                  std::string_view after, std::size_t limit, std::vector<std::string>& found) {
    const std::string_view start = std::max(prefix, after);
    std::size_t taken = 0;
    for (std::size_t i = from.lower_bound(space, start); i < from.size() && taken < limit; ++i) {
        const std::string_view key = from.key(i);
        if (from.space(i) != space || !starts_with(key, prefix)) break;
        if (!after.empty() && key <= after) continue;
        found.emplace_back(key);
        ++taken;
    }
}

}  // namespace

void PendingIndex::add_key(std::string_view space, std::string_view key) {
    MutexLock lock(mutex_);
    keys_.add(space, key);
}

void PendingIndex::add_topic(std::string_view topic, const TopicCount& gained) {
    MutexLock lock(mutex_);
    auto at = topics_.find(topic);
    if (at == topics_.end()) {
        at = topics_.emplace(std::string(topic), TopicCount{}).first;
        topic_bytes_ += kTopicBytes + topic.size();
    }
    add_count(at->second, gained);
}

std::size_t PendingIndex::bytes() const {
    MutexLock lock(mutex_);
    return keys_.bytes() + topic_bytes_;
}

void PendingIndex::freeze(Seq after, Seq upto) {
    MutexLock frozen_lock(frozen_mutex_);
    KLOG_ASSERT(!frozen_);
    frozen_ = std::make_unique<Frozen>();
    frozen_->delta.after = after;
    frozen_->delta.upto = upto;
    MutexLock lock(mutex_);
    frozen_->delta.keys = std::exchange(keys_, {});
    frozen_->topics = std::exchange(topics_, {});
    topic_bytes_ = 0;
}

const KeyIndexDelta* PendingIndex::in_order() {
    if (!frozen_) return nullptr;
    KeyIndexDelta& delta = frozen_->delta;
    delta.keys.sort();
    if (!frozen_->topics.empty())
        delta.topics.assign(frozen_->topics.begin(), frozen_->topics.end());
    frozen_->topics.clear();
    return &delta;
}

const KeyIndexDelta& PendingIndex::frozen() {
    MutexLock frozen_lock(frozen_mutex_);
    const KeyIndexDelta* delta = in_order();
    KLOG_ASSERT(delta != nullptr);
    return *delta;
}

void PendingIndex::applied() {
    MutexLock frozen_lock(frozen_mutex_);
    frozen_.reset();
    ++departures_;
}

void PendingIndex::forget() {
    MutexLock frozen_lock(frozen_mutex_);
    KLOG_ASSERT(!frozen_);
    MutexLock lock(mutex_);
    keys_ = {};
    topics_.clear();
    topic_bytes_ = 0;
    ++departures_;
}

void PendingIndex::failed() {
    MutexLock frozen_lock(frozen_mutex_);
    const KeyIndexDelta* delta = in_order();
    if (delta == nullptr) return;
    MutexLock lock(mutex_);
    keys_.add_all(delta->keys);
    for (const auto& [topic, count] : delta->topics) {
        TopicCount& now = topics_[topic];
        TopicCount sum = count;
        if (now.records > 0) {
            add_count(sum, now);
        } else {
            topic_bytes_ += kTopicBytes + topic.size();
        }
        now = sum;
    }
    frozen_.reset();
}

std::vector<std::string> PendingIndex::keys(std::string_view space, std::string_view prefix,
                                            std::string_view after, std::size_t limit) {
    std::vector<std::string> found;
    MutexLock frozen_lock(frozen_mutex_);
    if (const KeyIndexDelta* delta = in_order()) {
        collect_keys(delta->keys, space, prefix, after, limit, found);
    }
    {
        MutexLock lock(mutex_);
        keys_.sort();
        collect_keys(keys_, space, prefix, after, limit, found);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    if (found.size() > limit) found.resize(limit);
    return found;
}

std::vector<std::pair<std::string, TopicCount>> PendingIndex::topics(std::string_view prefix,
                                                                     std::string_view after,
                                                                     std::size_t limit) {
    MutexLock frozen_lock(frozen_mutex_);
    std::map<std::string, TopicCount, std::less<>> found;
    const std::string_view start = std::max(prefix, after);
    if (const KeyIndexDelta* delta = in_order()) {
        auto at = std::lower_bound(delta->topics.begin(), delta->topics.end(), start,
                                   [](const auto& a, std::string_view b) { return a.first < b; });
        for (std::size_t taken = 0; at != delta->topics.end() && taken < limit; ++at) {
            if (!starts_with(at->first, prefix)) break;
            if (!after.empty() && at->first <= after) continue;
            found.emplace(at->first, at->second);
            ++taken;
        }
    }
    MutexLock lock(mutex_);
    std::size_t taken = 0;
    for (auto at = topics_.lower_bound(start); at != topics_.end() && taken < limit; ++at) {
        if (!starts_with(at->first, prefix)) break;
        if (!after.empty() && at->first <= after) continue;
        add_count(found[at->first], at->second);
        ++taken;
    }
    std::vector<std::pair<std::string, TopicCount>> out(found.begin(), found.end());
    if (out.size() > limit) out.resize(limit);
    return out;
}

TopicCount PendingIndex::topic(std::string_view topic) {
    MutexLock frozen_lock(frozen_mutex_);
    TopicCount sum;
    if (const KeyIndexDelta* delta = in_order()) {
        auto at = std::lower_bound(delta->topics.begin(), delta->topics.end(), topic,
                                   [](const auto& a, std::string_view b) { return a.first < b; });
        if (at != delta->topics.end() && at->first == topic) sum = at->second;
    }
    MutexLock lock(mutex_);
    if (const auto at = topics_.find(topic); at != topics_.end()) add_count(sum, at->second);
    return sum;
}

}  // namespace klog
