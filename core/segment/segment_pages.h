// What stands in the pages of a segment's footer: the block index, topics, fingerprints of keys and
// ids with their postings, the filter. Specified in schemas/segment.md. Pure: bytes in, fields out;
// hostile bytes end in false, never in a crash or an allocation by a length that they claim.
#ifndef KLOG_SEGMENT_SEGMENT_PAGES_H
#define KLOG_SEGMENT_SEGMENT_PAGES_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "segment/segment_format.h"
#include "segment/segment_info.h"
#include "topic/topic_count.h"

namespace klog {

// A page is closed once it is as large, unpacked.
inline constexpr std::size_t kTopicPageBytes = 8192;
inline constexpr std::size_t kFingerprintPageBytes = 4096;

// --- Postings: block numbers, rising, as runs of neighbours. ---

void put_postings(std::string& out, std::span<const std::uint32_t> blocks);

// The blocks of one or several postings. Takes as much memory as they have blocks, at most.
class BlockUnion {
public:
    explicit BlockUnion(std::uint32_t blocks) : blocks_(blocks) {}
    void add(std::uint32_t first, std::uint32_t last);
    [[nodiscard]] std::vector<std::uint32_t> take() const;
    [[nodiscard]] std::uint32_t blocks() const { return blocks_; }

private:
    std::uint32_t blocks_;
    std::vector<bool> bits_;  // made at the first add
};

// False: broken, or a block that is none of `blocks`. `to` may be null.
[[nodiscard]] bool take_postings(ByteReader& in, std::uint32_t blocks, BlockUnion* to);

// --- The block index. ---

// Of the table: first seq, then first time, so that one table serves both searches.
[[nodiscard]] std::string index_key(const BlockInfo& first);
[[nodiscard]] Seq seq_of_index_key(std::string_view key);
[[nodiscard]] Time time_of_index_key(std::string_view key);

// The blocks of a page.
[[nodiscard]] std::string encode_index_page(std::span<const BlockInfo> blocks);

// blocks: the section that they lie in. held, first and last time of the whole segment. False:
// broken, or claims more than can be.
[[nodiscard]] bool decode_index_page(std::string_view page, std::string_view key,
                                     std::uint32_t count, const SectionRef& blocks,
                                     std::vector<BlockInfo>& out);

// --- Topics. ---

// Precondition of both: topics come in rising order; `previous` is empty at a page's beginning.
void put_topic(std::string& page, std::string_view previous, std::string_view topic,
               const TopicCount& count, Seq held_first, std::span<const std::uint32_t> blocks);
// The shortest text that is above `previous` and at most `topic`.
[[nodiscard]] std::string_view topic_separator(std::string_view previous, std::string_view topic);

// Walks a page of topics.
class TopicCursor {
public:
    TopicCursor(std::string_view page, std::uint32_t entries, Seq held_first, std::uint32_t blocks)
        : in_(page), left_(entries), held_first_(held_first), blocks_(blocks) {}
    // True: topic() and count() are the next one's. False: the end, or broken().
    [[nodiscard]] bool next();
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::string_view topic() const { return topic_; }
    [[nodiscard]] const TopicCount& count() const { return count_; }
    void add_blocks(BlockUnion& to) const;

private:
    ByteReader in_;
    std::uint32_t left_;
    Seq held_first_;
    std::uint32_t blocks_;
    std::string topic_;
    TopicCount count_;
    std::string_view postings_;
    bool first_ = true;
    bool broken_ = false;
};

// --- Fingerprints: the first 64 bits of a hash, with the blocks. ---

[[nodiscard]] constexpr std::uint64_t fingerprint_of(const Hash128& hash) { return hash.hi; }

void put_fingerprint(std::string& page, std::uint64_t previous, std::uint64_t fingerprint,
                     std::span<const std::uint32_t> blocks);

// Walks a page of fingerprints. first: the page's key.
class FingerprintCursor {
public:
    FingerprintCursor(std::string_view page, std::uint32_t entries, std::uint64_t first,
                      std::uint32_t blocks)
        : in_(page), left_(entries), fingerprint_(first), blocks_(blocks) {}
    [[nodiscard]] bool next();
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }
    void add_blocks(BlockUnion& to) const;
    // Appends them, rising: without the memory and the time that a union of all blocks takes.
    void list_blocks(std::vector<std::uint32_t>& to) const;

private:
    ByteReader in_;
    std::uint32_t left_;
    std::uint64_t fingerprint_;
    std::uint32_t blocks_;
    std::string_view postings_;
    bool first_ = true;
    bool broken_ = false;
};

// --- The filter: a split block Bloom filter over fingerprints of entities and ids. ---

inline constexpr std::size_t kFilterBlockBytes = 32;
inline constexpr std::uint32_t kFilterPageBlocks = 128;
inline constexpr std::uint64_t kFilterBitsPerEntry = 10;

[[nodiscard]] std::uint32_t filter_blocks(std::uint64_t entries);
// Precondition: blocks > 0.
[[nodiscard]] std::uint32_t filter_block_of(std::uint64_t fingerprint, std::uint32_t blocks);
// `block` holds kFilterBlockBytes.
void filter_add(char* block, std::uint64_t fingerprint);
[[nodiscard]] bool filter_may_hold(const char* block, std::uint64_t fingerprint);

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_PAGES_H
