// Checks a segment front to back, beside the cache; deep: the footer against the records.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "segment/record_codec.h"
#include "segment/segment_gather.h"
#include "segment/segment_reader_impl.h"

namespace klog {
namespace {

using Cached = SegmentReaderImpl::Cached;

constexpr std::uint64_t kChunkBytes = 1U << 20U;

class SegmentVerifier {
public:
    SegmentVerifier(SegmentReaderImpl& reader, bool deep,
                    const std::function<void(std::uint64_t)>& progress,
                    const SegmentReader::VisitRecord& visit)
        : reader_(reader),
          root_(reader.root()),
          deep_(deep),
          progress_(progress),
          visit_(visit),
          gatherer_(root_.stats.hash_key) {}

    Status run() {
        KLOG_TRY(check_header());
        KLOG_TRY(check_blocks());
        for (const SectionRef& section : root_.sections) {
            if (section.type == static_cast<std::uint16_t>(SectionType::blocks)) continue;
            KLOG_TRY(check_section(section));
        }
        for (const SectionType type :
             {SectionType::index_pages, SectionType::topic_pages, SectionType::key_pages,
              SectionType::filter_pages, SectionType::id_pages, SectionType::residue_head_pages,
              SectionType::residue_id_pages}) {
            KLOG_TRY(check_pages(type));
        }
        KLOG_TRY(check_partitions());
        KLOG_TRY_ASSIGN(const SegmentLineage lineage, reader_.lineage());
        static_cast<void>(lineage);  // that it can be read is all there is to check
        if (!deep_) return {};
        KLOG_TRY(compare_statistics());
        KLOG_TRY(compare_topics());
        KLOG_TRY(compare_fingerprints(SectionType::key_pages, gatherer_.keys));
        return compare_fingerprints(SectionType::id_pages, gatherer_.ids);
    }

private:
    void tell(std::uint64_t bytes) const {
        if (progress_) progress_(bytes);
    }
    [[nodiscard]] Error differs(SectionType type, std::string_view what) const {
        return reader_.corrupt_at(
            root_.section(type).offset,
            fmt::format("its {} do not tell of its records: {}", section_name(type), what));
    }
    Status check_header();
    Status check_blocks();
    Status check_block_run(std::uint32_t first, std::span<const BlockInfo> infos);
    Status check_block(std::uint32_t block, const BlockInfo& info, std::string_view stored);
    Status check_section(const SectionRef& section);
    Status check_pages(SectionType type);
    Status check_partitions();
    Status gather(std::uint32_t block, const BlockInfo& info, const Frame& frame);
    Status compare_statistics();
    Status compare_topics();
    Status compare_fingerprints(SectionType type, FingerprintGatherer& held);
    Status check_filter(std::uint64_t fingerprint);

    SegmentReaderImpl& reader_;
    const SegmentRoot& root_;
    const bool deep_;
    const std::function<void(std::uint64_t)>& progress_;
    const SegmentReader::VisitRecord& visit_;
    SegmentGatherer gatherer_;
    std::uint32_t blocks_crc_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t payload_bytes_ = 0;
    std::uint64_t offset_ = kSegmentHeaderBytes;  // behind the blocks that were checked
    Seq seq_last_;
    Time time_last_;
    std::shared_ptr<const Frame> filter_page_;
    std::uint32_t filter_page_number_ = UINT32_MAX;
};

Status SegmentVerifier::check_header() {
    std::string bytes(kSegmentHeaderBytes, '\0');
    KLOG_TRY(reader_.read_exact(0, bytes));
    tell(bytes.size());
    // Nothing in it is not told by the root as well.
    if (bytes != encode_segment_header(root_.stats)) {
        return reader_.corrupt_at(0, "its header is damaged");
    }
    return {};
}

Status SegmentVerifier::check_blocks() {
    std::uint32_t block = 0;
    while (block < root_.blocks) {
        KLOG_TRY_ASSIGN(const IndexPage page,
                        reader_.index_page(block / kSegmentIndexPageBlocks, Cached::no));
        std::vector<BlockInfo> infos;
        for (std::size_t i = 0; i < page.size(); ++i) infos.push_back(page[i]);
        std::span<const BlockInfo> left = infos;
        while (!left.empty()) {
            std::size_t part = 1;
            std::uint64_t bytes = left.front().stored_bytes;
            while (part < left.size() && bytes + left[part].stored_bytes <= kChunkBytes) {
                bytes += left[part].stored_bytes;
                ++part;
            }
            KLOG_TRY(check_block_run(block, left.first(part)));
            block += static_cast<std::uint32_t>(part);
            left = left.subspan(part);
        }
    }
    const SectionRef& blocks = root_.section(SectionType::blocks);
    if (offset_ != blocks.offset + blocks.stored_bytes || blocks_crc_ != blocks.crc) {
        return reader_.corrupt_at(blocks.offset, "its blocks are not those that its root names");
    }
    const SegmentStats& stats = root_.stats;
    if (records_ != stats.records || payload_bytes_ != stats.payload_bytes ||
        seq_last_ != stats.held.last || time_last_ != stats.last_time) {
        return differs(SectionType::index_pages, "the sums differ from its statistics");
    }
    return {};
}

Status SegmentVerifier::check_block_run(std::uint32_t first, std::span<const BlockInfo> infos) {
    const BlockInfo& last = infos.back();
    std::string stored(
        static_cast<std::size_t>(last.offset + last.stored_bytes - infos.front().offset), '\0');
    KLOG_TRY(reader_.read_exact(infos.front().offset, stored));
    tell(stored.size());
    blocks_crc_ = crc32c(stored, blocks_crc_);
    for (std::size_t i = 0; i < infos.size(); ++i) {
        const auto part = std::string_view(stored).substr(
            static_cast<std::size_t>(infos[i].offset - infos.front().offset),
            infos[i].stored_bytes);
        KLOG_TRY(check_block(first + static_cast<std::uint32_t>(i), infos[i], part));
    }
    return {};
}

Status SegmentVerifier::check_block(std::uint32_t block, const BlockInfo& info,
                                    std::string_view stored) {
    const SegmentStats& stats = root_.stats;
    const bool first = block == 0;
    if (info.offset != offset_ ||
        (first ? info.held.first != stats.held.first : info.held.first <= seq_last_) ||
        (first ? info.first_time != stats.first_time : info.first_time < time_last_)) {
        return reader_.corrupt_block(block, info, "is not where the one before it ends");
    }
    offset_ += info.stored_bytes;
    seq_last_ = info.held.last;
    time_last_ = info.last_time;
    records_ += info.count;
    payload_bytes_ += info.payload_bytes;
    if (!deep_) {
        if (crc32c(stored) != info.crc) {
            return reader_.corrupt_block(block, info, "fails its checksum");
        }
        return {};
    }
    KLOG_TRY_ASSIGN(const auto frame, reader_.unpack_block(block, info, stored));
    return gather(block, info, *frame);
}

Status SegmentVerifier::gather(std::uint32_t block, const BlockInfo& info, const Frame& frame) {
    RecordDecoder decoder(frame.payload(), frame.header.first_seq, frame.header.base_time,
                          frame.header.count);
    RecordView record;
    Seq seq_before;
    Time time_before = info.first_time;
    std::uint8_t flags = 0;
    while (true) {
        auto more = decoder.next(record);
        if (!more.ok()) {
            Error error = std::move(more).error();
            error.message = reader_.corrupt_block(block, info, error.message).message;
            return error;
        }
        if (!more.value()) break;
        const bool first = seq_before.value == 0;
        if ((first ? record.seq != info.held.first : record.seq <= seq_before) ||
            record.time < time_before || (first && record.time != info.first_time) ||
            record.topic.empty() || record.topic.size() > Limits::kTopicBytesMax) {
            return reader_.corrupt_block(block, info, "holds records out of order");
        }
        seq_before = record.seq;
        time_before = record.time;
        flags = static_cast<std::uint8_t>(flags | block_flags(record));
        gatherer_.add(record, block);
        if (!visit_) continue;
        Status visited = visit_(record);
        if (!visited.ok()) {
            Error error = std::move(visited).error();
            error.message =
                reader_.corrupt_block(block, info, "is wrong: " + error.message).message;
            return error;
        }
    }
    gatherer_.end_block();
    constexpr std::uint8_t kFlags = BlockInfo::kReservedTopics | BlockInfo::kPlainTopics;
    if (seq_before != info.held.last || time_before != info.last_time ||
        flags != (info.flags & kFlags)) {
        return reader_.corrupt_block(block, info, "is not what the block index says");
    }
    return {};
}

Status SegmentVerifier::check_section(const SectionRef& section) {
    std::string chunk;
    std::uint32_t crc = 0;
    std::uint64_t done = 0;
    while (done < section.stored_bytes) {
        chunk.resize(static_cast<std::size_t>(std::min(kChunkBytes, section.stored_bytes - done)));
        KLOG_TRY(reader_.read_exact(section.offset + done, chunk));
        crc = crc32c(chunk, crc);
        done += chunk.size();
        tell(chunk.size());
    }
    if (crc == section.crc) return {};
    const auto name = section.type < kSectionTypes
                          ? std::string(section_name(static_cast<SectionType>(section.type)))
                          : fmt::format("section {}", section.type);
    return reader_.corrupt_at(section.offset, fmt::format("its {} fails its checksum", name));
}

Status SegmentVerifier::check_pages(SectionType type) {
    KLOG_TRY_ASSIGN(const auto table, reader_.table(type));
    for (std::uint32_t i = 0; i < table->pages.size(); ++i) {
        KLOG_TRY_ASSIGN(const auto page, reader_.page(type, i, Cached::no));
        static_cast<void>(page);  // checked on the way
    }
    return {};
}

Status SegmentVerifier::check_partitions() {
    KLOG_TRY_ASSIGN(const std::string bytes, reader_.read_section(SectionType::partitions));
    if (bytes != encode_partitions(root_.blocks)) {
        return differs(SectionType::partitions, "they leave something out");
    }
    return {};
}

Status SegmentVerifier::compare_statistics() {
    if (root_.plain != gatherer_.topics.plain()) {
        return differs(SectionType::index_pages, "the records outside of $ are others");
    }
    return {};
}

Status SegmentVerifier::compare_topics() {
    if (root_.section(SectionType::topic_pages).entries != gatherer_.topics.size()) {
        return differs(SectionType::topic_pages, "their number differs");
    }
    TopicWalk walk(reader_, 0, Cached::no);
    Status status;
    gatherer_.topics.each([&](std::string_view topic, const TopicCount& count,
                              std::span<const std::uint32_t> blocks) {
        if (!status.ok()) return;
        auto more = walk.next();
        if (!more.ok()) {
            status = std::move(more).error();
            return;
        }
        BlockUnion held(root_.blocks);
        if (more.value()) walk.cursor().add_blocks(held);
        const std::vector<std::uint32_t> listed = held.take();
        if (!more.value() || walk.cursor().topic() != topic || walk.cursor().count() != count ||
            !std::equal(listed.begin(), listed.end(), blocks.begin(), blocks.end())) {
            status = differs(SectionType::topic_pages, fmt::format("topic {}", topic));
        }
    });
    return status;
}

Status SegmentVerifier::check_filter(std::uint64_t fingerprint) {
    const SectionRef& pages = root_.section(SectionType::filter_pages);
    const auto blocks =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(pages.entries, UINT32_MAX));
    if (blocks == 0) return differs(SectionType::filter_pages, "it is empty");
    const std::uint32_t block = filter_block_of(fingerprint, blocks);
    const std::uint32_t number = block / kFilterPageBlocks;
    if (number != filter_page_number_) {
        KLOG_TRY_ASSIGN(const auto table, reader_.table(SectionType::filter_pages));
        if (number >= table->pages.size()) {
            return differs(SectionType::filter_pages, "it is too short");
        }
        KLOG_TRY_ASSIGN(filter_page_, reader_.page(SectionType::filter_pages, number, Cached::no));
        filter_page_number_ = number;
    }
    const std::size_t at = (block % kFilterPageBlocks) * kFilterBlockBytes;
    if (filter_page_->payload().size() < at + kFilterBlockBytes ||
        !filter_may_hold(filter_page_->payload().data() + at, fingerprint)) {
        return differs(SectionType::filter_pages, "one is missing");
    }
    return {};
}

Status SegmentVerifier::compare_fingerprints(SectionType type, FingerprintGatherer& held) {
    if (root_.section(type).entries != held.finish()) {
        return differs(type, "their number differs");
    }
    FingerprintWalk walk(reader_, type, 0, Cached::no);
    Status status;
    held.each([&](std::uint64_t fingerprint, std::span<const std::uint32_t> blocks) {
        if (!status.ok()) return;
        auto more = walk.next();
        if (!more.ok()) {
            status = std::move(more).error();
            return;
        }
        BlockUnion listed(root_.blocks);
        if (more.value()) walk.cursor().add_blocks(listed);
        const std::vector<std::uint32_t> numbers = listed.take();
        if (!more.value() || walk.cursor().fingerprint() != fingerprint ||
            !std::equal(numbers.begin(), numbers.end(), blocks.begin(), blocks.end())) {
            status = differs(type, "one is another");
            return;
        }
        status = check_filter(fingerprint);
    });
    return status;
}

}  // namespace

Status SegmentReaderImpl::verify(bool deep, const std::function<void(std::uint64_t)>& progress) {
    return verify_file(deep, progress, {});
}

Status SegmentReaderImpl::verify_records(const std::function<void(std::uint64_t)>& progress,
                                         const VisitRecord& visit) {
    return verify_file(true, progress, visit);
}

Status SegmentReaderImpl::verify_file(bool deep, const std::function<void(std::uint64_t)>& progress,
                                      const VisitRecord& visit) {
    // What was read before proves nothing about the file of today.
    const std::uint64_t root_at =
        section(SectionType::lineage).offset + section(SectionType::lineage).stored_bytes;
    std::string bytes(static_cast<std::size_t>(file_bytes_ - root_at), '\0');
    KLOG_TRY(read_exact(root_at, bytes));
    if (progress) progress(bytes.size());
    KLOG_TRY_ASSIGN(const SegmentRoot again, decode_root(bytes, file_bytes_, path_));
    static_cast<void>(again);
    SegmentVerifier verifier(*this, deep, progress, visit);
    return verifier.run();
}

}  // namespace klog
