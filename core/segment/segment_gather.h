// What the footer of a segment says of its records, gathered record by record: by the writer, and
// by whoever compares a footer with its records.
//
// Memory: 12 bytes for each pair of an entity (an id) and a block; each topic's text and 56 bytes;
// 8 bytes for each pair of a topic and a block.
//
// Threads: one at a time.
#ifndef KLOG_SEGMENT_SEGMENT_GATHER_H
#define KLOG_SEGMENT_SEGMENT_GATHER_H

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/siphash.h"
#include "klog/types.h"
#include "segment/segment_info.h"
#include "topic/topic_count.h"

namespace klog {

// Sorted fingerprints with the blocks that hold them.
class FingerprintGatherer {
public:
    void add(std::uint64_t fingerprint, std::uint32_t block);
    // Of the block that was added to last: an entity counts once in it.
    void end_block();
    // How many different ones. Sorts.
    [[nodiscard]] std::uint64_t finish();
    using Visit = std::function<void(std::uint64_t, std::span<const std::uint32_t>)>;
    // Rising. Precondition: finish().
    void each(const Visit& visit) const;

private:
    struct Pair {  // 12 bytes
        std::uint32_t high;
        std::uint32_t low;
        std::uint32_t block;
        [[nodiscard]] std::uint64_t fingerprint() const { return std::uint64_t{high} << 32U | low; }
        friend auto operator<=>(const Pair&, const Pair&) = default;
    };
    std::vector<Pair> pairs_;
    std::size_t block_begins_ = 0;
};

class TopicGatherer {
public:
    explicit TopicGatherer(const HashKey& key) : key_(key) {}
    void add(std::string_view topic, Seq seq, std::uint32_t block);
    [[nodiscard]] std::uint64_t size() const { return topics_.size(); }
    // Of all topics that do not begin with $.
    [[nodiscard]] const TopicCount& plain() const { return plain_; }
    using Visit =
        std::function<void(std::string_view, const TopicCount&, std::span<const std::uint32_t>)>;
    // In byte order.
    void each(const Visit& visit) const;

private:
    struct Topic {
        const char* text;
        std::uint32_t bytes;
        std::uint32_t block_last;
        TopicCount count;
        [[nodiscard]] std::string_view view() const { return {text, bytes}; }
    };
    struct TopicBlock {
        std::uint32_t topic;
        std::uint32_t block;
    };
    [[nodiscard]] std::uint32_t find_or_add(std::string_view topic);
    [[nodiscard]] const char* keep(std::string_view topic);
    void grow();

    HashKey key_;  // so that nobody can make topics collide
    std::vector<Topic> topics_;
    std::vector<std::uint32_t> slots_;  // number + 1; 0: free
    std::vector<TopicBlock> blocks_;
    std::vector<std::unique_ptr<char[]>> texts_;
    std::size_t text_left_ = 0;
    std::uint32_t last_ = 0;
    TopicCount plain_;
};

struct SegmentGatherer {
    explicit SegmentGatherer(const HashKey& key) : hash_key(key), topics(key) {}
    void add(const RecordView& record, std::uint32_t block);
    void end_block();

    HashKey hash_key;
    TopicGatherer topics;
    FingerprintGatherer keys;
    FingerprintGatherer ids;
};

// The flags of a block (BlockInfo) that holds such a record.
[[nodiscard]] std::uint8_t block_flags(const RecordView& record);

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_GATHER_H
