#include "topic/filter_index.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "topic/prefix_map.h"
#include "topic/screened_map.h"

namespace klog {
namespace {

struct Entry {
    FilterIndex::Follower follower = 0;
    FilterSet set;
    std::optional<std::string> key;
    // A topic takes one way through the trie for each filter, so that only a follower with several
    // filters can be found twice.
    [[nodiscard]] bool may_repeat() const { return set.filters().size() > 1; }
};

using Entries = std::vector<const Entry*>;

// What stands here once is taken out once: a follower may have put the same filter in twice.
void take_out(Entries& entries, const Entry* entry) {
    const auto found = std::find(entries.begin(), entries.end(), entry);
    if (found == entries.end()) return;
    *found = entries.back();
    entries.pop_back();
    if (entries.empty()) entries.shrink_to_fit();
}

// Where the filters that begin with the same segments meet.
struct Node {
    ScreenedMap<std::unique_ptr<Node>> literals;
    std::unique_ptr<Node> any;
    PrefixMap<std::unique_ptr<Node>> prefixes;
    Entries ends;   // filters that match a topic which ends here
    Entries rests;  // filters that match a topic which goes on here

    [[nodiscard]] bool empty() const {
        return literals.empty() && !any && prefixes.empty() && ends.empty() && rests.empty();
    }
};

using Segment = Filter::Segment;

// The child's place, made where there is none.
std::unique_ptr<Node>& child_place(Node& node, const Segment& segment) {
    switch (segment.kind) {
        case Segment::Kind::literal:
            return node.literals[segment.text];
        case Segment::Kind::prefix:
            return node.prefixes[segment.text];
        case Segment::Kind::any:
            break;
    }
    return node.any;
}

void drop_child(Node& node, const Segment& segment) {
    switch (segment.kind) {
        case Segment::Kind::literal:
            node.literals.erase(segment.text);
            return;
        case Segment::Kind::prefix:
            node.prefixes.erase(segment.text);
            return;
        case Segment::Kind::any:
            node.any.reset();
            return;
    }
}

// One look-up of a topic. What matches is gathered apart where it may be found twice.
class Search {
public:
    Search(std::string_view topic, std::vector<FilterIndex::Follower>& out)
        : topic_(topic), out_(out) {}

    void run(const Node& root) {
        if (topic_.starts_with('$')) {
            // Only a first segment that begins with "$" will do: a literal or a prefix.
            visit_named(root, 0);
        } else {
            visit(root, 0);
        }
        std::sort(repeating_.begin(), repeating_.end());
        const auto last = std::unique(repeating_.begin(), repeating_.end());
        for (auto entry = repeating_.begin(); entry != last; ++entry) emit(**entry);
    }

private:
    // The level that comes next begins at `at`; behind the last one at is size() + 1.
    void visit(const Node& node, std::size_t at) {
        if (at > topic_.size()) {
            take(node.ends);
            return;
        }
        take(node.rests);
        if (node.any) visit(*node.any, level_end(at) + 1);
        visit_named(node, at);
    }

    void visit_named(const Node& node, std::size_t at) {
        if (node.literals.empty() && node.prefixes.empty()) return;
        const std::size_t end = level_end(at);
        const std::string_view level = topic_.substr(at, end - at);
        const auto* const literal = node.literals.find(level);
        if (literal != nullptr) visit(**literal, end + 1);
        if (node.prefixes.empty()) return;
        node.prefixes.for_each_prefix_of(
            level, [this, end](const std::unique_ptr<Node>& child) { visit(*child, end + 1); });
    }

    [[nodiscard]] std::size_t level_end(std::size_t at) const {
        return std::min(topic_.find('/', at), topic_.size());
    }

    void take(const Entries& entries) {
        for (const Entry* entry : entries) {
            if (entry->may_repeat()) {
                repeating_.push_back(entry);
            } else {
                emit(*entry);
            }
        }
    }

    void emit(const Entry& entry) {
        if (!entry.set.excludes(topic_)) out_.push_back(entry.follower);
    }

    std::string_view topic_;
    std::vector<FilterIndex::Follower>& out_;
    Entries repeating_;
};

}  // namespace

struct FilterIndex::Impl {
    std::unordered_map<Follower, std::unique_ptr<Entry>> entries;
    ScreenedMap<Entries> by_key;
    Node root;
    std::size_t nodes = 0;

    void insert(const Filter& filter, const Entry* entry) {
        Node* node = &root;
        for (std::size_t i = 0; i < filter.segment_count(); ++i) {
            std::unique_ptr<Node>& child = child_place(*node, filter.segment(i));
            if (!child) {
                child = std::make_unique<Node>();
                ++nodes;
            }
            node = child.get();
        }
        if (filter.rest()) node->rests.push_back(entry);
        if (!filter.rest() || filter.rest_optional()) node->ends.push_back(entry);
    }

    // `node` stands for the segments before `segment`. Nodes that nothing needs any more go on the
    // way back.
    void take_out_below(Node& node, const Filter& filter, std::size_t segment, const Entry* entry) {
        if (segment == filter.segment_count()) {
            if (filter.rest()) take_out(node.rests, entry);
            if (!filter.rest() || filter.rest_optional()) take_out(node.ends, entry);
            return;
        }
        Node& child = *child_place(node, filter.segment(segment));
        take_out_below(child, filter, segment + 1, entry);
        if (child.empty()) {
            drop_child(node, filter.segment(segment));
            --nodes;
        }
    }
};

FilterIndex::FilterIndex() : impl_(std::make_unique<Impl>()) {}
FilterIndex::~FilterIndex() = default;

void FilterIndex::add(Follower follower, const FilterSet& set, std::optional<std::string> key) {
    remove(follower);
    auto made = std::make_unique<Entry>(Entry{follower, set, std::move(key)});
    const Entry* entry = made.get();
    impl_->entries.emplace(follower, std::move(made));
    if (entry->key) {
        impl_->by_key[*entry->key].push_back(entry);
        return;
    }
    for (const Filter& filter : entry->set.filters()) impl_->insert(filter, entry);
}

void FilterIndex::remove(Follower follower) {
    const auto found = impl_->entries.find(follower);
    if (found == impl_->entries.end()) return;
    const Entry* entry = found->second.get();
    if (entry->key) {
        Entries& followers = *impl_->by_key.find(*entry->key);
        take_out(followers, entry);
        if (followers.empty()) impl_->by_key.erase(*entry->key);
    } else {
        for (const Filter& filter : entry->set.filters()) {
            impl_->take_out_below(impl_->root, filter, 0, entry);
        }
    }
    impl_->entries.erase(found);
}

bool FilterIndex::empty() const { return impl_->entries.empty(); }

std::size_t FilterIndex::size() const { return impl_->entries.size(); }

std::size_t FilterIndex::parts() const { return impl_->nodes + impl_->by_key.size(); }

void FilterIndex::find(std::string_view topic, bool has_key, std::string_view key,
                       std::vector<Follower>& out) const {
    find_by_topic(topic, out);
    if (has_key) find_by_key(topic, key, out);
}

void FilterIndex::find_by_topic(std::string_view topic, std::vector<Follower>& out) const {
    Search(topic, out).run(impl_->root);
}

void FilterIndex::find_by_key(std::string_view topic, std::string_view key,
                              std::vector<Follower>& out) const {
    const Entries* const followers = impl_->by_key.find(key);
    if (followers == nullptr) return;
    for (const Entry* entry : *followers) {
        if (entry->set.matches(topic)) out.push_back(entry->follower);
    }
}

}  // namespace klog
