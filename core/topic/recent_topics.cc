#include "topic/recent_topics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace klog {

struct RecentTopics::Node {
    Node* parent = nullptr;
    std::string level;
    Seq below;  // the greatest seq here and below
    Seq own;    // of the topic that ends here; 0: none does
    // Among the children of its parent, newest first.
    Node* newer = nullptr;
    Node* older = nullptr;
    Node* newest_child = nullptr;
    Node* oldest_child = nullptr;
    // Among all topics, newest first.
    Node* newer_topic = nullptr;
    Node* older_topic = nullptr;

    [[nodiscard]] std::size_t bytes() const {
        constexpr std::size_t kSetBytes = 40;  // its cell in the set, and its bucket
        constexpr std::size_t kInPlaceBytes = 15;
        const std::size_t text = level.size() > kInPlaceBytes ? level.capacity() + 1 : 0;
        return sizeof(Node) + kSetBytes + text;
    }
    void unlink() {
        (newer != nullptr ? newer->older : parent->newest_child) = older;
        (older != nullptr ? older->newer : parent->oldest_child) = newer;
        newer = older = nullptr;
    }
    void link_as_newest() {
        older = parent->newest_child;
        (older != nullptr ? older->newer : parent->oldest_child) = this;
        parent->newest_child = this;
    }
};

struct RecentTopics::Search {
    const FilterSet& set;
    const Filter* filter;
    Seq best;  // only what lies behind this is of interest
    const Node* found;
    std::string topic;  // of `found`
    std::size_t steps_left;
    bool gave_up = false;

    // False: that is more than there is.
    bool spend(std::size_t steps) {
        gave_up = gave_up || steps > steps_left;
        steps_left -= std::min(steps, steps_left);
        return !gave_up;
    }
};

namespace {

// Levels from the last to the first one.
template <class Node>
std::vector<const Node*> path_of(const Node& node) {
    std::vector<const Node*> path;
    for (const Node* at = &node; at->parent != nullptr; at = at->parent) path.push_back(at);
    return path;
}

template <class Node>
std::string join(const std::vector<const Node*>& path) {
    std::string topic;
    for (auto node = path.rbegin(); node != path.rend(); ++node) {
        if (!topic.empty()) topic += '/';
        topic += (*node)->level;
    }
    return topic;
}

bool starts_as(std::string_view level, const Filter::Segment& segment) {
    return segment.kind == Filter::Segment::Kind::any || level.starts_with(segment.text);
}

}  // namespace

std::size_t RecentTopics::Hash::operator()(const Name& name) const {
    return sip_hash_13(key, reinterpret_cast<std::uintptr_t>(name.parent), name.level);
}
std::size_t RecentTopics::Hash::operator()(const std::unique_ptr<Node>& node) const {
    return (*this)(Name{node->parent, node->level});
}
bool RecentTopics::Equal::operator()(const Name& name, const std::unique_ptr<Node>& node) const {
    return name.parent == node->parent && name.level == node->level;
}
bool RecentTopics::Equal::operator()(const std::unique_ptr<Node>& node, const Name& name) const {
    return (*this)(name, node);
}
bool RecentTopics::Equal::operator()(const std::unique_ptr<Node>& a,
                                     const std::unique_ptr<Node>& b) const {
    return a == b;
}

RecentTopics::RecentTopics(Seq floor, std::size_t bytes_max, const HashKey& key)
    : root_(std::make_unique<Node>()), nodes_(0, Hash{key}), bytes_max_(bytes_max), floor_(floor) {}

RecentTopics::~RecentTopics() = default;

RecentTopics::Node* RecentTopics::child(const Node* parent, std::string_view level) const {
    const auto found = nodes_.find(Name{parent, level});
    return found == nodes_.end() ? nullptr : found->get();
}

RecentTopics::Node* RecentTopics::obtain(Node* parent, std::string_view level) {
    if (Node* known = child(parent, level)) return known;
    auto made = std::make_unique<Node>();
    made->parent = parent;
    made->level = level;
    made->link_as_newest();
    Node* node = made.get();
    bytes_ += node->bytes();
    nodes_.insert(std::move(made));
    return node;
}

void RecentTopics::add(std::string_view topic, Seq seq) {
    KLOG_ASSERT(seq > root_->below && seq > floor_);
    Node* node = root_.get();
    node->below = seq;
    for (std::size_t at = 0; at <= topic.size();) {
        const std::size_t slash = std::min(topic.find('/', at), topic.size());
        node = obtain(node, topic.substr(at, slash - at));
        node->below = seq;
        if (node->newer != nullptr) {
            node->unlink();
            node->link_as_newest();
        }
        at = slash + 1;
    }
    if (node->own == Seq{}) {
        ++topics_;
    } else if (node != newest_topic_) {
        node->newer_topic->older_topic = node->older_topic;
        (node->older_topic != nullptr ? node->older_topic->newer_topic : oldest_topic_) =
            node->newer_topic;
    }
    if (node != newest_topic_) {
        node->newer_topic = nullptr;
        node->older_topic = newest_topic_;
        (newest_topic_ != nullptr ? newest_topic_->newer_topic : oldest_topic_) = node;
        newest_topic_ = node;
    }
    node->own = seq;
    while (bytes_ > bytes_max_ && oldest_topic_ != newest_topic_) forget_oldest();
}

void RecentTopics::forget_oldest() {
    Node* node = oldest_topic_;
    oldest_topic_ = node->newer_topic;
    oldest_topic_->older_topic = nullptr;
    node->newer_topic = nullptr;
    floor_ = node->own;
    node->own = Seq{};
    --topics_;
    // A branch in which no topic is left goes with it; `below` of what stays is of a newer one.
    while (node->parent != nullptr && node->own == Seq{} && node->newest_child == nullptr) {
        Node* parent = node->parent;
        node->unlink();
        bytes_ -= node->bytes();
        nodes_.erase(nodes_.find(Name{parent, node->level}));
        node = parent;
    }
}

void RecentTopics::take(Search& search, const Node& node) {
    if (node.own <= search.best) return;
    const std::vector<const Node*> path = path_of(node);
    const std::size_t nots = search.set.not_filters().size();
    if (!search.spend(nots == 0 ? 1 : nots + path.size())) return;
    std::string topic = join(path);
    if (nots != 0 && search.set.excludes(topic)) return;
    search.best = node.own;
    search.found = &node;
    search.topic = std::move(topic);
}

// `node` stands for the segments before `segment`, which all matched.
void RecentTopics::look(Search& search, const Node& node, std::size_t segment) const {
    if (node.below <= search.best || !search.spend(1)) return;
    if (segment < search.filter->segment_count()) {
        const Filter::Segment wanted = search.filter->segment(segment);
        if (wanted.kind != Filter::Segment::Kind::literal) {
            return look_at_children(search, node, segment);
        }
        const Node* next = child(&node, wanted.text);
        if (next != nullptr) look(search, *next, segment + 1);
        return;
    }
    if (!search.filter->rest() || search.filter->rest_optional()) take(search, node);
    if (search.filter->rest()) look_below(search, node);
}

// Children that hold something new enough, newest first, as long as there are steps left.
template <class Visit>
void RecentTopics::each_new_child(Search& search, const Node& node, Visit&& visit) {
    for (const Node* next = node.newest_child; next != nullptr; next = next->older) {
        if (next->below <= search.best || !search.spend(1)) return;
        visit(*next);
    }
}

void RecentTopics::look_at_children(Search& search, const Node& node, std::size_t segment) const {
    const Filter::Segment wanted = search.filter->segment(segment);
    each_new_child(search, node, [&](const Node& next) {
        if (starts_as(next.level, wanted)) look(search, next, segment + 1);
    });
}

// All topics under `node`. As deep as a topic has levels at the most.
void RecentTopics::look_below(Search& search, const Node& node) {
    each_new_child(search, node, [&](const Node& next) {
        take(search, next);
        look_below(search, next);
    });
}

RecentTopics::Found RecentTopics::newest(const FilterSet& set, Seq after,
                                         std::size_t steps_max) const {
    KLOG_ASSERT(after >= floor_);
    Search search{set, nullptr, after, nullptr, {}, steps_max};
    for (const Filter& filter : set.filters()) {
        if (filter.reserved()) continue;
        search.filter = &filter;
        look(search, *root_, 0);
        if (search.gave_up) return {Found::Outcome::gave_up, {}, {}, steps_max};
    }
    const std::size_t steps = steps_max - search.steps_left;
    if (search.found == nullptr) return {Found::Outcome::none, {}, {}, steps};
    return {Found::Outcome::found, search.best, std::move(search.topic), steps};
}

}  // namespace klog
