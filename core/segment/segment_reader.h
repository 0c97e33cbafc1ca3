// Reads one sealed segment. Every byte that is used was checked first; a hostile file ends in an
// error, never in a crash, a hang, or an allocation by a length that it claims.
//
// Threads: any number at once.
#ifndef KLOG_SEGMENT_SEGMENT_READER_H
#define KLOG_SEGMENT_SEGMENT_READER_H

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"
#include "segment/page_cache.h"
#include "segment/segment_info.h"
#include "segment/segment_writer.h"
#include "topic/filter.h"
#include "topic/topic_count.h"

namespace klog {

class SegmentReader {
public:
    virtual ~SegmentReader() = default;

    // Reads and checks the root. `expected`: what the set of segments says of it; null for a file
    // that is looked at on its own. `cache` may be null. Errors: corrupt (names file and offset;
    // also where the file is another one than expected, shorter or longer), format_unknown (names
    // what is not known), not_found, io.
    [[nodiscard]] static Result<std::shared_ptr<SegmentReader>> open(
        Env& env, const std::string& path, const SegmentEntry* expected,
        std::shared_ptr<PageCache> cache);

    [[nodiscard]] virtual const SegmentStats& stats() const = 0;
    [[nodiscard]] virtual const std::string& path() const = 0;
    [[nodiscard]] virtual std::uint32_t blocks() const = 0;
    [[nodiscard]] virtual Result<SegmentLineage> lineage() = 0;

    // The first block that holds a record with a seq >= seq (a time >= time). blocks(): none.
    [[nodiscard]] virtual Result<std::uint32_t> find_block(Seq seq) = 0;
    [[nodiscard]] virtual Result<std::uint32_t> find_block(Time time) = 0;
    [[nodiscard]] virtual Result<BlockInfo> block_info(std::uint32_t block) = 0;

    // A block as a frame whose payload RecordDecoder reads: header.first_seq, base_time, count,
    // log_id and payload_bytes are set, header_bytes is 0. From the cache, else from disk; then
    // `ahead` further blocks behind it are read in the same call, if the next call will want them.
    [[nodiscard]] virtual Result<std::shared_ptr<const Frame>> block(std::uint32_t block,
                                                                     std::uint32_t ahead) = 0;

    // Blocks as they lie in the file, checksums checked, for whoever unpacks elsewhere: `block` and
    // those behind it that `wanted` says yes to, until about bytes_max of them are there. At least
    // one where it says yes to the first. Not through the cache.
    struct StoredRun {
        std::shared_ptr<const std::string> bytes;  // one block behind the other
        std::vector<BlockInfo> blocks;
    };
    using Wanted = std::function<bool(std::uint32_t block, const BlockInfo& info)>;
    [[nodiscard]] virtual Result<StoredRun> stored_run(std::uint32_t block, std::size_t bytes_max,
                                                       const Wanted& wanted) = 0;
    // The dictionary of codec 2; empty: there is none.
    [[nodiscard]] virtual Result<std::string> dictionary() = 0;

    // Numbers of the blocks that hold a topic that matches, rising, and how many records of the
    // segment have one. Reads topics, not records.
    struct TopicBlocks {
        std::vector<std::uint32_t> blocks;
        std::uint64_t records = 0;
    };
    [[nodiscard]] virtual Result<TopicBlocks> blocks_of(const FilterSet& set) = 0;
    // Numbers of the blocks that hold a topic that does not match, rising. Looks at every topic.
    [[nodiscard]] virtual Result<std::vector<std::uint32_t>> blocks_of_others(
        const FilterSet& set) = 0;
    [[nodiscard]] virtual std::uint64_t topics() const = 0;
    // Exact, from the footer.
    [[nodiscard]] virtual Result<TopicCount> count(const FilterSet& set) = 0;
    // Topics >= from that start with prefix, in byte order, until visit says false.
    using VisitTopic = std::function<bool(std::string_view topic, const TopicCount& count)>;
    virtual Status each_topic(std::string_view prefix, std::string_view from,
                              const VisitTopic& visit) = 0;

    // Numbers of the blocks that may hold records of the entity, or with the id; rising. 64 bits
    // of the hash are compared, so a block may turn out to hold none.
    [[nodiscard]] virtual Result<std::vector<std::uint32_t>> blocks_of_entity(
        const Hash128& entity) = 0;
    [[nodiscard]] virtual Result<std::vector<std::uint32_t>> blocks_of_id(const Hash128& id) = 0;

    // Told before, so that the disk fetches all of it at once while others are asked: what
    // will_look_up(entities) reads; what blocks_of_entity() reads; what block_info() reads; the
    // blocks, of those at most kWillReadBlocks. What memory holds is left out. Cheap; a block that
    // cannot be found is left for who reads it.
    static constexpr std::size_t kWillReadBlocks = 64;
    virtual void will_look_up() {}
    virtual Status will_look_up(std::span<const Hash128> /*entities*/) { return {}; }
    virtual void will_read_infos(std::span<const std::uint32_t> /*blocks*/) {}
    virtual void will_read(std::span<const std::uint32_t> /*blocks*/) {}

    // Every checksum of the file, front to back, without the cache. `progress` is told the bytes
    // that were read; it may be empty. deep: also unpacks, and compares the footer with the
    // records: index, topics with counts and postings, keys, ids, statistics.
    virtual Status verify(bool deep, const std::function<void(std::uint64_t)>& progress) = 0;
    // As verify(true, progress), and shows each record to `visit` on the way, in the order of their
    // seqs. Where that finds one wrong, its block is what is damaged.
    using VisitRecord = std::function<Status(const RecordView&)>;
    virtual Status verify_records(const std::function<void(std::uint64_t)>& progress,
                                  const VisitRecord& visit) = 0;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_READER_H
