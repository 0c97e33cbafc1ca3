#include "segment/segment_pages.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace klog {
namespace {

constexpr std::uint64_t kTimeSign = 1ULL << 63U;
constexpr std::uint64_t kPostingsMore = 2;
constexpr std::uint64_t kPostingsRun = 1;
constexpr unsigned kPostingsShift = 2;
// A record has a length, a kind, two bytes of presence bits, seq, time, version and a topic.
constexpr std::uint32_t kRecordBytesMin = 8;
// The odd numbers of the public specification of the filter.
constexpr std::array<std::uint32_t, 8> kFilterSalts{0x47b6137bU, 0x44974d91U, 0x8824ad5bU,
                                                    0xa2b7289dU, 0x705495c7U, 0x2df1424bU,
                                                    0x9efc4947U, 0x5c6bfb31U};

// Where b is at least a in a sound page; broken pages may wrap, which a cursor notices.
std::uint64_t difference(std::int64_t b, std::int64_t a) {
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

// False: a + b overflows.
bool add_time(Time& to, std::uint64_t micros) {
    const auto sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(to.micros) + micros);
    if (micros > UINT64_MAX / 2 || sum < to.micros) return false;
    to.micros = sum;
    return true;
}

bool add_seq(Seq& to, std::uint64_t difference) {
    if (difference > UINT64_MAX - 1 - to.value) return false;
    to.value += difference;
    return true;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
    return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                    a.begin());
}

// Visits runs. False: broken.
template <class Visit>
bool walk_postings(ByteReader& in, std::uint32_t blocks, Visit&& visit) {
    std::uint64_t at = 0;
    while (true) {
        const std::uint64_t head = in.varint();
        const std::uint64_t gap = head >> kPostingsShift;
        std::uint64_t length = 1;
        if ((head & kPostingsRun) != 0) {
            const std::uint64_t longer = in.varint();
            if (longer >= blocks) return false;
            length = longer + 2;
        }
        if (!in.ok() || gap >= blocks || at + gap + length > blocks) return false;
        const std::uint64_t first = at + gap;
        visit(static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first + length - 1));
        at = first + length + 1;
        if ((head & kPostingsMore) == 0) return true;
    }
}

void add_walked(std::string_view postings, std::uint32_t blocks, BlockUnion& to) {
    ByteReader in(postings);
    const bool sound = take_postings(in, blocks, &to);
    KLOG_ASSERT(sound);  // the cursor walked them before
}

}  // namespace

void put_postings(std::string& out, std::span<const std::uint32_t> blocks) {
    KLOG_ASSERT(!blocks.empty());
    std::uint64_t at = 0;
    std::size_t i = 0;
    while (i < blocks.size()) {
        std::size_t end = i + 1;
        while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1) ++end;
        const std::uint64_t length = end - i;
        std::uint64_t head = (blocks[i] - at) << kPostingsShift;
        if (end < blocks.size()) head |= kPostingsMore;
        if (length > 1) head |= kPostingsRun;
        put_varint(out, head);
        if (length > 1) put_varint(out, length - 2);
        at = blocks[i] + length + 1;
        i = end;
    }
}

void BlockUnion::add(std::uint32_t first, std::uint32_t last) {
    if (bits_.empty()) bits_.resize(blocks_);
    std::fill(bits_.begin() + first, bits_.begin() + last + 1, true);
}

std::vector<std::uint32_t> BlockUnion::take() const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t i = 0; i < bits_.size(); ++i) {
        if (bits_[i]) out.push_back(i);
    }
    return out;
}

bool take_postings(ByteReader& in, std::uint32_t blocks, BlockUnion* to) {
    return walk_postings(in, blocks, [to](std::uint32_t first, std::uint32_t last) {
        if (to != nullptr) to->add(first, last);
    });
}

std::string index_key(const BlockInfo& first) {
    std::string key = big_endian(first.held.first.value);
    put_big_endian(key, static_cast<std::uint64_t>(first.first_time.micros) ^ kTimeSign);
    return key;
}

Seq seq_of_index_key(std::string_view key) { return {load_big_endian(key)}; }

Time time_of_index_key(std::string_view key) {
    return {static_cast<std::int64_t>(load_big_endian(key.substr(8)) ^ kTimeSign)};
}

std::string encode_index_page(std::span<const BlockInfo> blocks) {
    std::string out;
    put_varint(out, blocks.front().offset);
    Seq seq = blocks.front().held.first;
    Time time = blocks.front().first_time;
    for (const BlockInfo& block : blocks) {
        put_varint(out, block.held.first.value - seq.value);
        put_varint(out, block.held.last.value - block.held.first.value);
        put_varint(out, block.count);
        put_varint(out, difference(block.first_time.micros, time.micros));
        put_varint(out, difference(block.last_time.micros, block.first_time.micros));
        put_varint(out, block.stored_bytes);
        put_varint(out, block.payload_bytes);
        put_fixed(out, block.crc);
        put_u8(out, block.codec);
        put_u8(out, block.flags);
        seq = {block.held.last.value + 1};
        time = block.last_time;
    }
    return out;
}

bool decode_index_page(std::string_view page, std::string_view key, std::uint32_t count,
                       const SectionRef& blocks, std::vector<BlockInfo>& out) {
    if (key.size() != 16) return false;
    ByteReader in(page);
    std::uint64_t offset = in.varint();
    const std::uint64_t end = blocks.offset + blocks.stored_bytes;
    if (!in.ok() || offset < blocks.offset || offset > end) return false;
    Seq seq = seq_of_index_key(key);
    Time time = time_of_index_key(key);
    out.clear();
    for (std::uint32_t i = 0; i < count; ++i) {
        BlockInfo block;
        block.offset = offset;
        block.held.first = seq;
        if (!add_seq(block.held.first, in.varint())) return false;
        block.held.last = block.held.first;
        if (!add_seq(block.held.last, in.varint())) return false;
        const std::uint64_t records = in.varint();
        block.first_time = time;
        if (!add_time(block.first_time, in.varint())) return false;
        block.last_time = block.first_time;
        if (!add_time(block.last_time, in.varint())) return false;
        const std::uint64_t stored = in.varint();
        const std::uint64_t payload = in.varint();
        block.crc = in.fixed<std::uint32_t>();
        block.codec = in.u8();
        block.flags = in.u8();
        const bool possible =
            in.ok() && block.held.first.value > 0 && records > 0 &&
            records - 1 <= block.held.last.value - block.held.first.value && stored > 0 &&
            stored <= end - offset && payload <= kFrameBytesMax &&
            records <= payload / kRecordBytesMin &&
            block.codec <= static_cast<std::uint8_t>(SegmentCodec::zstd_dictionary) &&
            size_is_justified(payload, stored, block.codec);
        if (!possible) return false;
        block.count = static_cast<std::uint32_t>(records);
        block.stored_bytes = static_cast<std::uint32_t>(stored);
        block.payload_bytes = static_cast<std::uint32_t>(payload);
        offset += stored;
        seq = {block.held.last.value + 1};
        time = block.last_time;
        out.push_back(block);
    }
    return in.left() == 0;
}

void put_topic(std::string& page, std::string_view previous, std::string_view topic,
               const TopicCount& count, Seq held_first, std::span<const std::uint32_t> blocks) {
    const std::size_t shared = common_prefix(previous, topic);
    put_varint(page, shared);
    put_bytes(page, topic.substr(shared));
    put_varint(page, count.records);
    put_varint(page, count.first_seq.value - held_first.value);
    put_varint(page, count.last_seq.value - count.first_seq.value);
    put_postings(page, blocks);
}

std::string_view topic_separator(std::string_view previous, std::string_view topic) {
    return topic.substr(0, common_prefix(previous, topic) + 1);
}

bool TopicCursor::next() {
    if (broken_) return false;
    if (left_ == 0) {
        broken_ = in_.left() > 0;
        return false;
    }
    const std::uint64_t shared = in_.varint();
    const std::string_view rest = in_.bytes();
    count_.records = in_.varint();
    count_.first_seq = held_first_;
    broken_ = !add_seq(count_.first_seq, in_.varint());
    count_.last_seq = count_.first_seq;
    broken_ = !add_seq(count_.last_seq, in_.varint()) || broken_;
    // Topics rise: what follows the shared part is above what the last one has there.
    if (broken_ || !in_.ok() || count_.records == 0 || shared > topic_.size() ||
        (!first_ && rest <= std::string_view(topic_).substr(shared)) ||
        shared + rest.size() > Limits::kTopicBytesMax || shared + rest.size() == 0 ||
        count_.records - 1 > count_.last_seq.value - count_.first_seq.value) {
        broken_ = true;
        return false;
    }
    topic_.resize(static_cast<std::size_t>(shared));
    topic_ += rest;
    const char* const begin = in_.position();
    if (!take_postings(in_, blocks_, nullptr)) {
        broken_ = true;
        return false;
    }
    postings_ = {begin, static_cast<std::size_t>(in_.position() - begin)};
    first_ = false;
    --left_;
    return true;
}

void TopicCursor::add_blocks(BlockUnion& to) const { add_walked(postings_, blocks_, to); }

void put_fingerprint(std::string& page, std::uint64_t previous, std::uint64_t fingerprint,
                     std::span<const std::uint32_t> blocks) {
    put_varint(page, fingerprint - previous);
    put_postings(page, blocks);
}

bool FingerprintCursor::next() {
    if (broken_) return false;
    if (left_ == 0) {
        broken_ = in_.left() > 0;
        return false;
    }
    const std::uint64_t gap = in_.varint();
    const char* const begin = in_.position();
    // The first one is the page's key itself; behind it they rise.
    if (!in_.ok() || (gap == 0) != first_ || gap > UINT64_MAX - fingerprint_ ||
        !take_postings(in_, blocks_, nullptr)) {
        broken_ = true;
        return false;
    }
    fingerprint_ += gap;
    postings_ = {begin, static_cast<std::size_t>(in_.position() - begin)};
    first_ = false;
    --left_;
    return true;
}

void FingerprintCursor::add_blocks(BlockUnion& to) const { add_walked(postings_, blocks_, to); }

void FingerprintCursor::list_blocks(std::vector<std::uint32_t>& to) const {
    ByteReader in(postings_);
    const bool sound = walk_postings(in, blocks_, [&to](std::uint32_t first, std::uint32_t last) {
        for (std::uint32_t block = first; block <= last; ++block) to.push_back(block);
    });
    KLOG_ASSERT(sound);  // next() walked them before
}

std::uint32_t filter_blocks(std::uint64_t entries) {
    constexpr std::uint64_t kBlockBits = kFilterBlockBytes * 8;
    return static_cast<std::uint32_t>((entries * kFilterBitsPerEntry + kBlockBits - 1) /
                                      kBlockBits);
}

std::uint32_t filter_block_of(std::uint64_t fingerprint, std::uint32_t blocks) {
    return static_cast<std::uint32_t>(((fingerprint >> 32U) * blocks) >> 32U);
}

void filter_add(char* block, std::uint64_t fingerprint) {
    const auto low = static_cast<std::uint32_t>(fingerprint);
    for (std::size_t i = 0; i < kFilterSalts.size(); ++i) {
        char* const at = block + i * sizeof(std::uint32_t);
        const std::uint32_t word =
            load_fixed<std::uint32_t>(at) | 1U << ((low * kFilterSalts[i]) >> 27U);
        std::memcpy(at, &word, sizeof word);
    }
}

bool filter_may_hold(const char* block, std::uint64_t fingerprint) {
    const auto low = static_cast<std::uint32_t>(fingerprint);
    for (std::size_t i = 0; i < kFilterSalts.size(); ++i) {
        const auto word = load_fixed<std::uint32_t>(block + i * sizeof(std::uint32_t));
        if ((word & 1U << ((low * kFilterSalts[i]) >> 27U)) == 0) return false;
    }
    return true;
}

}  // namespace klog
