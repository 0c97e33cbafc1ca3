// The topics that records were written to lately, each with its newest seq: whether something that
// matches a filter came behind a seq is told without reading a record.
//
// A trie over levels. Each node knows the greatest seq below it, and its children stand in the
// order of theirs, the newest first: a search never enters a branch in which nothing is new enough,
// and
// "*" costs the children that are, not all of them. Where it holds too much, the topic that was
// written to longest ago is forgotten; everything behind floor() is known.
//
// Threads: none of its own.
#ifndef KLOG_TOPIC_RECENT_TOPICS_H
#define KLOG_TOPIC_RECENT_TOPICS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/siphash.h"
#include "klog/types.h"
#include "topic/filter.h"

namespace klog {

class RecentTopics {
public:
    // bytes_max: what its nodes may take in memory, about. key: secret, so that nobody can name
    // topics whose hashes collide.
    RecentTopics(Seq floor, std::size_t bytes_max, const HashKey& key);
    ~RecentTopics();
    RecentTopics(const RecentTopics&) = delete;
    RecentTopics& operator=(const RecentTopics&) = delete;

    // A record was written. Seqs rise. Precondition: check_topic(topic) held once, and it does not
    // begin with "$".
    void add(std::string_view topic, Seq seq);

    // Every topic whose newest record lies behind this is here.
    [[nodiscard]] Seq floor() const { return floor_; }

    struct Found {
        enum class Outcome : std::uint8_t { none, found, gave_up };
        Outcome outcome = Outcome::none;
        Seq seq;                // of the newest record that matches
        std::string topic;      // its topic
        std::size_t steps = 0;  // that were taken
    };
    // The newest record behind `after` whose topic matches the set. gave_up: it takes more than
    // steps_max: one for each node that is looked at; for a topic that is compared with the filters
    // to take out also one for each of those, and for each of its levels. Precondition: after >=
    // floor().
    [[nodiscard]] Found newest(const FilterSet& set, Seq after, std::size_t steps_max) const;

    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::size_t topics() const { return topics_; }

private:
    struct Node;
    struct Name {
        const Node* parent;
        std::string_view level;
    };
    struct Hash {
        using is_transparent = void;
        HashKey key;
        std::size_t operator()(const Name& name) const;
        std::size_t operator()(const std::unique_ptr<Node>& node) const;
    };
    struct Equal {
        using is_transparent = void;
        bool operator()(const Name& name, const std::unique_ptr<Node>& node) const;
        bool operator()(const std::unique_ptr<Node>& node, const Name& name) const;
        bool operator()(const std::unique_ptr<Node>& a, const std::unique_ptr<Node>& b) const;
    };
    struct Search;

    [[nodiscard]] Node* child(const Node* parent, std::string_view level) const;
    Node* obtain(Node* parent, std::string_view level);
    void forget_oldest();
    void look(Search& search, const Node& node, std::size_t segment) const;
    void look_at_children(Search& search, const Node& node, std::size_t segment) const;
    static void look_below(Search& search, const Node& node);
    template <class Visit>
    static void each_new_child(Search& search, const Node& node, Visit&& visit);
    static void take(Search& search, const Node& node);

    std::unique_ptr<Node> root_;
    std::unordered_set<std::unique_ptr<Node>, Hash, Equal> nodes_;  // but for the root
    Node* newest_topic_ = nullptr;
    Node* oldest_topic_ = nullptr;
    const std::size_t bytes_max_;
    std::size_t bytes_ = 0;
    std::size_t topics_ = 0;
    Seq floor_;
};

}  // namespace klog

#endif  // KLOG_TOPIC_RECENT_TOPICS_H
