#include "log/pending_index.h"

#include <algorithm>

#include "base/assert.h"

namespace klog {
namespace {

// What one entry costs in memory beside its text, about.
constexpr std::size_t kEntryBytes = 96;

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

void PendingIndex::add_key(std::string_view space, std::string_view key) {
    MutexLock lock(mutex_);
    keys_.emplace_back(space, key);
    sorted_ = false;
    bytes_ += kEntryBytes + space.size() + key.size();
}

void PendingIndex::add_topic(std::string_view topic, const TopicCount& gained) {
    MutexLock lock(mutex_);
    auto at = topics_.find(topic);
    if (at == topics_.end()) {
        at = topics_.emplace(std::string(topic), TopicCount{}).first;
        bytes_ += kEntryBytes + topic.size();
    }
    add_count(at->second, gained);
}

std::size_t PendingIndex::bytes() const {
    MutexLock lock(mutex_);
    return bytes_;
}

void PendingIndex::sort_keys() {
    if (sorted_) return;
    std::sort(keys_.begin(), keys_.end());
    keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
    sorted_ = true;
}

std::shared_ptr<const KeyIndexDelta> PendingIndex::freeze(Seq after, Seq upto) {
    MutexLock lock(mutex_);
    KLOG_ASSERT(!frozen_);
    sort_keys();
    auto delta = std::make_shared<KeyIndexDelta>();
    delta->keys = std::move(keys_);
    delta->topics.assign(topics_.begin(), topics_.end());
    delta->after = after;
    delta->upto = upto;
    keys_ = {};
    topics_.clear();
    bytes_ = 0;
    frozen_ = delta;
    return delta;
}

void PendingIndex::applied() {
    MutexLock lock(mutex_);
    frozen_.reset();
}

void PendingIndex::failed() {
    MutexLock lock(mutex_);
    if (!frozen_) return;
    for (const Key& key : frozen_->keys) {
        keys_.push_back(key);
        bytes_ += kEntryBytes + key.first.size() + key.second.size();
    }
    sorted_ = false;
    for (const auto& [topic, count] : frozen_->topics) {
        TopicCount& now = topics_[topic];
        TopicCount sum = count;
        if (now.records > 0) add_count(sum, now);
        now = sum;
        bytes_ += kEntryBytes + topic.size();
    }
    frozen_.reset();
}

std::vector<std::string> PendingIndex::keys(std::string_view space, std::string_view prefix,
                                            std::string_view after, std::size_t limit) {
    MutexLock lock(mutex_);
    sort_keys();
    std::vector<std::string> found;
    const auto collect = [&](const std::vector<Key>& from) {
        const std::string_view start = std::max(prefix, after);
        auto at = std::lower_bound(
            from.begin(), from.end(), std::pair(space, start), [](const Key& a, const auto& b) {
                return std::pair<std::string_view, std::string_view>(a.first, a.second) < b;
            });
        for (std::size_t taken = 0; at != from.end() && taken < limit; ++at) {
            if (at->first != space || !starts_with(at->second, prefix)) break;
            if (!after.empty() && at->second <= after) continue;
            found.push_back(at->second);
            ++taken;
        }
    };
    collect(keys_);
    if (frozen_) collect(frozen_->keys);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    if (found.size() > limit) found.resize(limit);
    return found;
}

std::vector<std::pair<std::string, TopicCount>> PendingIndex::topics(std::string_view prefix,
                                                                     std::string_view after,
                                                                     std::size_t limit) {
    MutexLock lock(mutex_);
    std::map<std::string, TopicCount, std::less<>> found;
    const std::string_view start = std::max(prefix, after);
    if (frozen_) {
        auto at = std::lower_bound(frozen_->topics.begin(), frozen_->topics.end(), start,
                                   [](const auto& a, std::string_view b) { return a.first < b; });
        for (std::size_t taken = 0; at != frozen_->topics.end() && taken < limit; ++at) {
            if (!starts_with(at->first, prefix)) break;
            if (!after.empty() && at->first <= after) continue;
            found.emplace(at->first, at->second);
            ++taken;
        }
    }
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
    MutexLock lock(mutex_);
    TopicCount sum;
    if (frozen_) {
        auto at = std::lower_bound(frozen_->topics.begin(), frozen_->topics.end(), topic,
                                   [](const auto& a, std::string_view b) { return a.first < b; });
        if (at != frozen_->topics.end() && at->first == topic) sum = at->second;
    }
    if (const auto at = topics_.find(topic); at != topics_.end()) add_count(sum, at->second);
    return sum;
}

}  // namespace klog
