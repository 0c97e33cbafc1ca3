#include "segment/segment_gather.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/assert.h"
#include "segment/record_hash.h"
#include "segment/segment_pages.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::size_t kTextBytes = 64U * 1024;
constexpr std::size_t kSlotsFirst = 64;
constexpr std::uint32_t kNoBlock = UINT32_MAX;

std::uint64_t hash_topic(const HashKey& key, std::string_view topic) {
    SipHash hash(key);
    hash.update(topic);
    return hash.finish().lo;
}

}  // namespace

void FingerprintGatherer::add(std::uint64_t fingerprint, std::uint32_t block) {
    pairs_.push_back({static_cast<std::uint32_t>(fingerprint >> 32U),
                      static_cast<std::uint32_t>(fingerprint), block});
}

void FingerprintGatherer::end_block() {
    const auto begin = pairs_.begin() + static_cast<std::ptrdiff_t>(block_begins_);
    std::sort(begin, pairs_.end());
    pairs_.erase(std::unique(begin, pairs_.end()), pairs_.end());
    block_begins_ = pairs_.size();
}

std::uint64_t FingerprintGatherer::finish() {
    std::sort(pairs_.begin(), pairs_.end());
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
        if (i == 0 || pairs_[i].fingerprint() != pairs_[i - 1].fingerprint()) ++count;
    }
    return count;
}

void FingerprintGatherer::each(const Visit& visit) const {
    std::vector<std::uint32_t> blocks;
    for (std::size_t i = 0; i < pairs_.size();) {
        const std::uint64_t fingerprint = pairs_[i].fingerprint();
        blocks.clear();
        for (; i < pairs_.size() && pairs_[i].fingerprint() == fingerprint; ++i) {
            blocks.push_back(pairs_[i].block);
        }
        visit(fingerprint, blocks);
    }
}

const char* TopicGatherer::keep(std::string_view topic) {
    KLOG_ASSERT(topic.size() <= kTextBytes);
    if (topic.size() > text_left_) {
        text_left_ = kTextBytes;
        texts_.push_back(std::make_unique<char[]>(kTextBytes));
    }
    if (topic.empty()) return "";
    char* const at = texts_.back().get() + (kTextBytes - text_left_);
    std::memcpy(at, topic.data(), topic.size());
    text_left_ -= topic.size();
    return at;
}

void TopicGatherer::grow() {
    slots_.assign(std::max(kSlotsFirst, slots_.size() * 2), 0);
    const std::size_t mask = slots_.size() - 1;
    for (std::uint32_t i = 0; i < topics_.size(); ++i) {
        std::size_t at = hash_topic(key_, topics_[i].view()) & mask;
        while (slots_[at] != 0) at = (at + 1) & mask;
        slots_[at] = i + 1;
    }
}

std::uint32_t TopicGatherer::find_or_add(std::string_view topic) {
    if (last_ < topics_.size() && topics_[last_].view() == topic) return last_;
    if ((topics_.size() + 1) * 2 > slots_.size()) grow();
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash_topic(key_, topic) & mask;
    while (slots_[at] != 0) {
        const std::uint32_t found = slots_[at] - 1;
        if (topics_[found].view() == topic) return found;
        at = (at + 1) & mask;
    }
    const auto made = static_cast<std::uint32_t>(topics_.size());
    topics_.push_back({keep(topic), static_cast<std::uint32_t>(topic.size()), kNoBlock, {}});
    slots_[at] = made + 1;
    return made;
}

void TopicGatherer::add(std::string_view name, Seq seq, std::uint32_t block) {
    last_ = find_or_add(name);
    Topic& topic = topics_[last_];
    const TopicCount one{1, seq, seq};
    add_count(topic.count, one);
    if (!is_reserved_topic(name)) add_count(plain_, one);
    if (topic.block_last == block) return;
    topic.block_last = block;
    blocks_.push_back({last_, block});
}

void TopicGatherer::each(const Visit& visit) const {
    // Blocks were added in rising order, so counting sorts them by topic and keeps that order.
    std::vector<std::uint64_t> ends(topics_.size() + 1, 0);
    for (const TopicBlock& pair : blocks_) ++ends[pair.topic + 1];
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    std::vector<std::uint32_t> sorted(blocks_.size());
    std::vector<std::uint64_t> at(ends.begin(), ends.end() - 1);
    for (const TopicBlock& pair : blocks_) sorted[at[pair.topic]++] = pair.block;
    std::vector<std::uint32_t> order(topics_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
        return topics_[a].view() < topics_[b].view();
    });
    for (const std::uint32_t number : order) {
        const auto held = std::span<const std::uint32_t>(sorted).subspan(
            ends[number], ends[number + 1] - ends[number]);
        visit(topics_[number].view(), topics_[number].count, held);
    }
}

void SegmentGatherer::add(const RecordView& record, std::uint32_t block) {
    topics.add(record.topic, record.seq, block);
    if (record.has_key) {
        keys.add(fingerprint_of(entity_hash(hash_key, space_of(record.topic), record.key)), block);
    }
    if (!record.id.empty()) {
        ids.add(
            fingerprint_of(id_hash(hash_key, record.topic, record.has_key, record.key, record.id)),
            block);
    }
}

void SegmentGatherer::end_block() {
    keys.end_block();
    ids.end_block();
}

std::uint8_t block_flags(const RecordView& record) {
    return is_reserved_topic(record.topic) ? BlockInfo::kReservedTopics : BlockInfo::kPlainTopics;
}

}  // namespace klog
