// Where in a segment something is: by seq, time, topic, entity, id.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "segment/segment_reader_impl.h"

namespace klog {
namespace {

using Cached = SegmentReaderImpl::Cached;

// Topics from `from` on, up to but without `to`.
struct TopicRange {
    std::string from;
    std::string to;
    bool open = false;  // there is no `to`
};

// All texts that begin with `prefix`.
TopicRange range_of_prefix(std::string prefix) {
    TopicRange range{prefix, std::move(prefix), false};
    while (!range.to.empty() && static_cast<unsigned char>(range.to.back()) == 0xff) {
        range.to.pop_back();
    }
    if (range.to.empty()) {
        range.open = true;
    } else {
        ++range.to.back();
    }
    return range;
}

TopicRange range_of(const Filter& filter) {
    std::string prefix = filter.literal_prefix();
    // It matches one topic alone where all of it is literal.
    const bool one = !filter.rest() && prefix == filter.text();
    if (!one) return range_of_prefix(std::move(prefix));
    return {prefix, prefix + '\0', false};
}

// Rising, without overlaps.
std::vector<TopicRange> ranges_of(const FilterSet& set) {
    std::vector<TopicRange> ranges;
    for (const Filter& filter : set.filters()) ranges.push_back(range_of(filter));
    std::sort(ranges.begin(), ranges.end(),
              [](const TopicRange& a, const TopicRange& b) { return a.from < b.from; });
    std::vector<TopicRange> merged;
    for (TopicRange& range : ranges) {
        if (merged.empty() || (!merged.back().open && merged.back().to < range.from)) {
            merged.push_back(std::move(range));
            continue;
        }
        TopicRange& last = merged.back();
        last.open = last.open || range.open;
        last.to = std::max(last.to, range.to);
    }
    return merged;
}

// Matches every topic but those that begin with $, and nothing else.
bool is_all_plain(const FilterSet& set) {
    return set.all() && std::none_of(set.filters().begin(), set.filters().end(),
                                     [](const Filter& filter) { return filter.reserved(); });
}

void join_count(TopicCount& to, const TopicCount& one) {
    if (to.records == 0 || one.first_seq < to.first_seq) to.first_seq = one.first_seq;
    to.last_seq = std::max(to.last_seq, one.last_seq);
    to.records += one.records;
}

}  // namespace

Result<bool> TopicWalk::next() {
    if (table_ == nullptr) {
        KLOG_TRY_ASSIGN(table_, reader_->table(SectionType::topic_pages));
    }
    while (true) {
        if (cursor_.has_value()) {
            if (cursor_->next()) {
                if (!last_.empty() && cursor_->topic() <= last_) break;
                last_.clear();
                return true;
            }
            if (cursor_->broken()) break;
            last_ = cursor_->topic();
        }
        if (page_ == table_->pages.size()) return false;
        KLOG_TRY_ASSIGN(frame_, reader_->page(SectionType::topic_pages, page_, cached_));
        cursor_.emplace(frame_->payload(), table_->pages[page_].entries,
                        reader_->stats().held.first, reader_->blocks());
        ++page_;
    }
    return reader_->corrupt_at(table_->pages[page_ - 1].offset, "a page of topics is damaged");
}

Result<bool> FingerprintWalk::next() {
    if (table_ == nullptr) {
        KLOG_TRY_ASSIGN(table_, reader_->table(type_));
    }
    while (true) {
        if (cursor_.has_value()) {
            if (cursor_->next()) {
                if (last_.has_value() && cursor_->fingerprint() <= *last_) break;
                last_ = cursor_->fingerprint();
                return true;
            }
            if (cursor_->broken()) break;
        }
        if (page_ == table_->pages.size()) return false;
        const std::string_view key = table_->key(page_);
        KLOG_TRY_ASSIGN(frame_, reader_->page(type_, page_, cached_));
        ++page_;
        if (key.size() != sizeof(std::uint64_t)) break;
        cursor_.emplace(frame_->payload(), table_->pages[page_ - 1].entries, load_big_endian(key),
                        reader_->blocks());
    }
    return reader_->corrupt_at(table_->pages[page_ - 1].offset,
                               "a page of fingerprints is damaged");
}

template <class KeyReaches, class Reaches>
Result<std::uint32_t> SegmentReaderImpl::find_first(KeyReaches&& key_reaches, Reaches&& reaches) {
    KLOG_TRY_ASSIGN(const auto table_held, table(SectionType::index_pages));
    // The last page whose first record lies before: in it, or at the beginning of the next one.
    std::uint32_t low = 0;
    auto high = static_cast<std::uint32_t>(table_held->pages.size());
    if (high == 0) return blocks();
    while (low + 1 < high) {
        const std::uint32_t middle = (low + high) / 2;
        const std::string_view key = table_held->key(middle);
        if (key.size() != 16) {
            return corrupt_at(section(SectionType::index_table).offset,
                              "the table of its block index is damaged");
        }
        (key_reaches(key) ? high : low) = middle;
    }
    KLOG_TRY_ASSIGN(const auto infos, index_page(low, Cached::yes));
    std::uint32_t found = 0;
    while (found < infos.size() && !reaches(infos[found])) ++found;
    return low * kSegmentIndexPageBlocks + found;
}

Result<std::uint32_t> SegmentReaderImpl::find_block(Seq seq) {
    return find_first([seq](std::string_view key) { return seq_of_index_key(key) >= seq; },
                      [seq](const BlockInfo& block) { return block.held.last >= seq; });
}

Result<std::uint32_t> SegmentReaderImpl::find_block(Time time) {
    return find_first([time](std::string_view key) { return time_of_index_key(key) >= time; },
                      [time](const BlockInfo& block) { return block.last_time >= time; });
}

Status SegmentReaderImpl::each_match(const FilterSet& set, const VisitMatch& visit) {
    for (const TopicRange& range : ranges_of(set)) {
        KLOG_TRY_ASSIGN(const auto table_held, table(SectionType::topic_pages));
        TopicWalk walk(*this, static_cast<std::uint32_t>(table_held->page_of(range.from)),
                       Cached::yes);
        while (true) {
            KLOG_TRY_ASSIGN(const bool more, walk.next());
            if (!more) break;
            const std::string_view topic = walk.cursor().topic();
            if (topic < range.from) continue;
            if (!range.open && topic >= range.to) break;
            if (set.matches(topic)) visit(walk.cursor());
        }
    }
    return {};
}

Result<std::vector<std::uint32_t>> SegmentReaderImpl::blocks_of_all() {
    std::vector<std::uint32_t> out;
    for (std::uint32_t number = 0; number < UINT32_MAX / kSegmentIndexPageBlocks; ++number) {
        const std::uint32_t first = number * kSegmentIndexPageBlocks;
        if (first >= blocks()) break;
        KLOG_TRY_ASSIGN(const auto infos, index_page(number, Cached::yes));
        for (std::uint32_t i = 0; i < infos.size(); ++i) {
            if ((infos[i].flags & BlockInfo::kPlainTopics) != 0) out.push_back(first + i);
        }
    }
    return out;
}

Result<SegmentReader::TopicBlocks> SegmentReaderImpl::blocks_of(const FilterSet& set) {
    TopicBlocks found;
    if (is_all_plain(set)) {
        KLOG_TRY_ASSIGN(found.blocks, blocks_of_all());
        found.records = root_.plain.records;
        return found;
    }
    BlockUnion held(blocks());
    KLOG_TRY(each_match(set, [&held, &found](const TopicCursor& cursor) {
        cursor.add_blocks(held);
        found.records += cursor.count().records;
    }));
    found.blocks = held.take();
    return found;
}

Result<std::vector<std::uint32_t>> SegmentReaderImpl::blocks_of_others(const FilterSet& set) {
    BlockUnion held(blocks());
    TopicWalk walk(*this, 0, Cached::yes);
    while (true) {
        KLOG_TRY_ASSIGN(const bool more, walk.next());
        if (!more) return held.take();
        if (!set.matches(walk.cursor().topic())) walk.cursor().add_blocks(held);
    }
}

Result<TopicCount> SegmentReaderImpl::count(const FilterSet& set) {
    if (is_all_plain(set)) return root_.plain;
    TopicCount sum;
    KLOG_TRY(
        each_match(set, [&sum](const TopicCursor& cursor) { join_count(sum, cursor.count()); }));
    return sum;
}

Status SegmentReaderImpl::each_topic(std::string_view prefix, std::string_view from,
                                     const VisitTopic& visit) {
    const std::string_view begin = std::max(prefix, from);
    KLOG_TRY_ASSIGN(const auto table_held, table(SectionType::topic_pages));
    TopicWalk walk(*this, static_cast<std::uint32_t>(table_held->page_of(begin)), Cached::yes);
    while (true) {
        KLOG_TRY_ASSIGN(const bool more, walk.next());
        if (!more) return {};
        const std::string_view topic = walk.cursor().topic();
        if (topic < begin) continue;
        if (!topic.starts_with(prefix)) return {};
        if (!visit(topic, walk.cursor().count())) return {};
    }
}

Result<bool> SegmentReaderImpl::may_hold(std::uint64_t fingerprint) {
    const SectionRef& pages = section(SectionType::filter_pages);
    if (pages.entries == 0) return false;
    if (pages.entries > UINT32_MAX) {
        return corrupt_at(pages.offset, "its filter is too large");
    }
    const auto block = filter_block_of(fingerprint, static_cast<std::uint32_t>(pages.entries));
    KLOG_TRY_ASSIGN(const auto table_held, table(SectionType::filter_pages));
    const std::uint32_t number = block / kFilterPageBlocks;
    const std::size_t at = (block % kFilterPageBlocks) * kFilterBlockBytes;
    if (number >= table_held->pages.size() ||
        table_held->pages[number].unpacked_bytes < at + kFilterBlockBytes) {
        return corrupt_at(pages.offset, "its filter has another size");
    }
    KLOG_TRY_ASSIGN(const auto frame, page(SectionType::filter_pages, number, Cached::yes));
    return filter_may_hold(frame->payload().data() + at, fingerprint);
}

Result<std::vector<std::uint32_t>> SegmentReaderImpl::blocks_of_fingerprint(
    SectionType pages, std::uint64_t fingerprint) {
    std::vector<std::uint32_t> none;
    if (section(pages).entries == 0) return none;
    KLOG_TRY_ASSIGN(const bool possible, may_hold(fingerprint));
    if (!possible) return none;
    KLOG_TRY_ASSIGN(const auto table_held, table(pages));
    const std::size_t number = table_held->page_of(big_endian(fingerprint));
    FingerprintWalk walk(*this, pages, static_cast<std::uint32_t>(number), Cached::yes);
    while (true) {
        KLOG_TRY_ASSIGN(const bool more, walk.next());
        if (!more || walk.cursor().fingerprint() > fingerprint) return none;
        if (walk.cursor().fingerprint() < fingerprint) continue;
        std::vector<std::uint32_t> held;
        walk.cursor().list_blocks(held);
        return held;
    }
}

void SegmentReaderImpl::will_look_up() {
    if (section(SectionType::key_pages).entries == 0) return;
    for (const SectionType type :
         {SectionType::filter_pages, SectionType::key_pages, SectionType::index_pages}) {
        {
            const MutexLock lock(mutex_);
            if (tables_[static_cast<std::size_t>(type)] != nullptr) continue;
        }
        const SectionRef& ref = section(table_of(type));
        file_->will_read(ref.offset, ref.stored_bytes);
    }
}

void SegmentReaderImpl::will_read_page(SectionType type, const PageTable& table,
                                       std::size_t number) {
    if (number >= table.pages.size() || in_memory(type, static_cast<std::uint32_t>(number))) return;
    file_->will_read(table.pages[number].offset, table.pages[number].stored_bytes);
}

Status SegmentReaderImpl::will_look_up(std::span<const Hash128> entities) {
    const std::uint64_t filter_entries = section(SectionType::filter_pages).entries;
    if (section(SectionType::key_pages).entries == 0 || filter_entries == 0) return {};
    KLOG_TRY_ASSIGN(const auto filter, table(SectionType::filter_pages));
    KLOG_TRY_ASSIGN(const auto keys, table(SectionType::key_pages));
    for (const Hash128& entity : entities) {
        const std::uint64_t fingerprint = fingerprint_of(entity);
        const auto blocks = static_cast<std::uint32_t>(filter_entries);
        will_read_page(SectionType::filter_pages, *filter,
                       filter_block_of(fingerprint, blocks) / kFilterPageBlocks);
        will_read_page(SectionType::key_pages, *keys, keys->page_of(big_endian(fingerprint)));
    }
    return {};
}

void SegmentReaderImpl::will_read_infos(std::span<const std::uint32_t> blocks) {
    if (blocks.empty()) return;
    {
        const MutexLock lock(mutex_);
        if (dictionary_.expired()) {
            const SectionRef& ref = section(SectionType::dictionary);
            file_->will_read(ref.offset, ref.stored_bytes);
        }
    }
    const auto known = table(SectionType::index_pages);
    if (!known.ok()) return;
    std::uint32_t last = UINT32_MAX;
    for (const std::uint32_t block : blocks.first(std::min(blocks.size(), kWillReadBlocks))) {
        const std::uint32_t number = block / kSegmentIndexPageBlocks;
        if (number != last) will_read_page(SectionType::index_pages, **known, number);
        last = number;
    }
}

void SegmentReaderImpl::will_read(std::span<const std::uint32_t> blocks) {
    for (const std::uint32_t block : blocks.first(std::min(blocks.size(), kWillReadBlocks))) {
        if (block >= this->blocks() || in_memory(SectionType::blocks, block)) continue;
        const auto info = block_info(block);
        if (info.ok()) file_->will_read(info->offset, info->stored_bytes);
    }
}

Result<std::vector<std::uint32_t>> SegmentReaderImpl::blocks_of_entity(const Hash128& entity) {
    return blocks_of_fingerprint(SectionType::key_pages, fingerprint_of(entity));
}

Result<std::vector<std::uint32_t>> SegmentReaderImpl::blocks_of_id(const Hash128& id) {
    return blocks_of_fingerprint(SectionType::id_pages, fingerprint_of(id));
}

}  // namespace klog
