#include "log/entity_trail.h"

#include <algorithm>
#include <utility>

namespace klog {

Result<std::optional<EntityTrail::Part>> EntityTrail::take(const SegmentCatalog& segments,
                                                           LogId log, Seq seq, Seq end,
                                                           const std::vector<Hash128>& entities) {
    while (next_ < parts_.size() && parts_[next_].segment->stats().covered.last < seq) ++next_;
    if (next_ == parts_.size() || !parts_[next_].segment->stats().covered.contains(seq)) {
        const auto list = segments.list(log);
        const auto at = std::lower_bound(
            list->begin(), list->end(), seq,
            [](const auto& segment, Seq wanted) { return segment.entry.covered.last < wanted; });
        if (at == list->end() || at->entry.covered.first > seq) return std::optional<Part>();
        KLOG_TRY(
            look_up(*list, static_cast<std::size_t>(at - list->begin()), {seq, end}, entities));
    }
    return std::optional<Part>(std::move(parts_[next_++]));
}

Result<EntityTrail::Part> EntityTrail::part_of(std::shared_ptr<SegmentReader> segment, Range wanted,
                                               const std::vector<Hash128>& entities) {
    Part part{std::move(segment), {}};
    for (const Hash128& entity : entities) {
        KLOG_TRY_ASSIGN(const std::vector<std::uint32_t> blocks,
                        part.segment->blocks_of_entity(entity));
        part.blocks.insert(part.blocks.end(), blocks.begin(), blocks.end());
    }
    std::sort(part.blocks.begin(), part.blocks.end());
    part.blocks.erase(std::unique(part.blocks.begin(), part.blocks.end()), part.blocks.end());
    // What lies outside of what is wanted is not asked of the disk.
    const SeqRange held = part.segment->stats().held;
    if (!part.blocks.empty() && wanted.last < held.last) {
        KLOG_TRY_ASSIGN(const std::uint32_t last, part.segment->find_block(wanted.last));
        part.blocks.erase(std::upper_bound(part.blocks.begin(), part.blocks.end(), last),
                          part.blocks.end());
    }
    if (!part.blocks.empty() && wanted.first > held.first) {
        KLOG_TRY_ASSIGN(const std::uint32_t first, part.segment->find_block(wanted.first));
        part.blocks.erase(part.blocks.begin(),
                          std::lower_bound(part.blocks.begin(), part.blocks.end(), first));
    }
    return part;
}

Status EntityTrail::look_up(const SegmentCatalog::List& list, std::size_t from, Range wanted,
                            const std::vector<Hash128>& entities) {
    parts_.clear();
    next_ = 0;
    std::size_t to = from + 1;
    while (to < std::min(from + kSegments, list.size()) &&
           list[to].entry.covered.first <= wanted.last) {
        ++to;
    }
    // Each step names what the next one reads, for all segments, before any of it is read.
    for (std::size_t i = from; i < to; ++i) list[i].reader->will_look_up();
    // What is damaged is told to whoever comes to its seqs, and those before it are served.
    for (std::size_t i = from; i < to; ++i) {
        Status told = list[i].reader->will_look_up(entities);
        if (!told && i == from) return told;
        if (!told) break;
    }
    std::vector<Part> parts;
    for (std::size_t i = from; i < to; ++i) {
        Result<Part> part = part_of(list[i].reader, wanted, entities);
        if (!part && i == from) return std::move(part).error();
        if (!part) break;
        parts.push_back(*std::move(part));
    }
    for (const Part& part : parts) part.segment->will_read_infos(part.blocks);
    for (const Part& part : parts) part.segment->will_read(part.blocks);
    parts_ = std::move(parts);
    return {};
}

}  // namespace klog
