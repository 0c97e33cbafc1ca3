#include "segment/segment_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "segment/record_codec.h"
#include "segment/segment_codec.h"
#include "segment/segment_format.h"
#include "segment/segment_gather.h"
#include "segment/segment_pages.h"
#include "segment/segment_sink.h"

namespace klog {
namespace {

constexpr std::size_t kSampleBytesMax = 64U * 1024;

std::string encode_lineage(const SegmentLineage& lineage) {
    std::string out;
    put_varint(out, lineage.wal_first);
    put_varint(out, lineage.wal_last);
    put_varint(out, lineage.purge_seq);
    put_varint(out, lineage.policy_seq);
    put_varint(out, lineage.inputs.size());
    for (const std::uint64_t input : lineage.inputs) put_varint(out, input);
    return out;
}

class SegmentWriterImpl final : public SegmentWriter {
public:
    SegmentWriterImpl(std::unique_ptr<File> file, const SegmentIdentity& identity,
                      const SegmentWriterOptions& options)
        : options_(options),
          sink_(std::move(file)),
          packer_(options.level),
          gatherer_(identity.hash_key),
          training_(options.dictionary_bytes_max > 0) {
        stats_.store_uuid = identity.store_uuid;
        stats_.hash_key = identity.hash_key;
        stats_.log_id = identity.log_id;
        stats_.segment_id = identity.segment_id;
        stats_.generation = identity.generation;
    }

    Status begin() {
        KLOG_TRY(sink_.append(encode_segment_header(stats_)));
        sink_.begin_section(SectionType::blocks);
        return {};
    }

    Status add(const RecordView& record) override;
    [[nodiscard]] std::uint64_t payload_bytes() const override {
        return stats_.payload_bytes + payload_.size();
    }
    [[nodiscard]] Result<SegmentEntry> finish(const SeqRange& covered,
                                              const SegmentLineage& lineage) override;

private:
    struct WaitingBlock {
        BlockInfo info;
        std::string payload;
    };

    // What failed once fails for good: the file means nothing any more.
    template <class T>
    T keep_error(T result) {
        if (!result.ok() && status_.ok()) status_ = result.error();
        return result;
    }
    Status add_checked(const RecordView& record);
    Status close_block();
    Status write_block(BlockInfo info, std::string_view payload);
    Status end_training();
    Status write_footer(const SegmentLineage& lineage);
    Status write_index();
    Status write_topics();
    Status write_fingerprints(SectionType type, const FingerprintGatherer& from);
    Status write_filter(std::uint64_t entries);
    Status write_empty(SectionType pages);
    [[nodiscard]] Result<SegmentEntry> finish_checked(const SegmentLineage& lineage);

    SegmentWriterOptions options_;
    SegmentSink sink_;
    Packer packer_;
    SegmentGatherer gatherer_;
    SegmentStats stats_;
    Status status_;
    bool finished_ = false;

    std::string payload_;  // of the open block
    std::optional<RecordEncoder> encoder_;
    BlockInfo open_;
    std::vector<BlockInfo> blocks_;   // closed
    std::size_t blocks_written_ = 0;  // the ones behind wait for the dictionary
    std::string packed_;

    bool training_;
    std::vector<WaitingBlock> waiting_;
    std::string samples_;
    std::vector<std::size_t> sample_bytes_;
    std::string dictionary_;
};

Status SegmentWriterImpl::add(const RecordView& record) {
    KLOG_TRY(status_);
    return keep_error(add_checked(record));
}

Status SegmentWriterImpl::add_checked(const RecordView& record) {
    KLOG_ASSERT(!finished_ && record.seq.value > 0);
    KLOG_ASSERT(stats_.records == 0 ||
                (record.seq > stats_.held.last && record.time >= stats_.last_time));
    const std::size_t bytes_max = encoded_bytes_max(record);
    if (bytes_max > kFrameBytesMax) {
        return Error{Code::value_too_large,
                     fmt::format("the record {} is too large for a block", record.seq.value), ""};
    }
    // A large record makes a block of its own, so that its neighbours can be read without it.
    if (!payload_.empty() && bytes_max > options_.block_bytes) KLOG_TRY(close_block());
    if (payload_.empty()) {
        if (blocks_.size() >= kSegmentBlocksMax) {
            return Error{Code::too_many, "a segment would have more blocks than a reader takes in",
                         "seal or merge less into one segment"};
        }
        encoder_.emplace(payload_, record.seq, record.time);
        open_ = {};
        open_.held.first = record.seq;
        open_.first_time = record.time;
    }
    const std::size_t begin = payload_.size();
    encoder_->add(record);
    if (training_ && samples_.size() < options_.training_bytes) {
        const std::size_t sample = std::min(payload_.size() - begin, kSampleBytesMax);
        samples_ += std::string_view(payload_).substr(begin, sample);
        sample_bytes_.push_back(sample);
    }
    gatherer_.add(record, static_cast<std::uint32_t>(blocks_.size()));
    open_.flags = static_cast<std::uint8_t>(open_.flags | block_flags(record));
    open_.held.last = record.seq;
    open_.last_time = record.time;
    ++open_.count;
    if (stats_.records == 0) {
        stats_.held.first = record.seq;
        stats_.first_time = record.time;
    }
    stats_.held.last = record.seq;
    stats_.last_time = record.time;
    ++stats_.records;
    if (payload_.size() >= options_.block_bytes) KLOG_TRY(close_block());
    return {};
}

Status SegmentWriterImpl::close_block() {
    if (payload_.empty()) return {};
    open_.payload_bytes = static_cast<std::uint32_t>(payload_.size());
    stats_.payload_bytes += payload_.size();
    gatherer_.end_block();
    blocks_.push_back(open_);
    encoder_.reset();
    if (training_) {
        waiting_.push_back({open_, std::move(payload_)});
        payload_ = {};
        if (stats_.payload_bytes >= options_.training_bytes) return end_training();
        return {};
    }
    Status written = write_block(open_, payload_);
    payload_.clear();
    return written;
}

Status SegmentWriterImpl::write_block(BlockInfo info, std::string_view payload) {
    KLOG_TRY_ASSIGN(const SegmentCodec codec, packer_.pack(payload, packed_, true));
    const std::string_view stored = codec == SegmentCodec::plain ? payload : packed_;
    info.offset = sink_.offset();
    info.stored_bytes = static_cast<std::uint32_t>(stored.size());
    info.crc = crc32c(stored);
    info.codec = static_cast<std::uint8_t>(codec);
    blocks_[blocks_written_] = info;
    ++blocks_written_;
    return sink_.append(stored);
}

Status SegmentWriterImpl::end_training() {
    training_ = false;
    dictionary_ =
        train_dictionary(samples_, sample_bytes_, options_.dictionary_bytes_max, options_.level);
    if (!dictionary_.empty()) packer_.set_dictionary(dictionary_);
    samples_ = {};
    sample_bytes_ = {};
    for (WaitingBlock& block : waiting_) {
        KLOG_TRY(write_block(block.info, block.payload));
        block.payload = {};
    }
    waiting_ = {};
    return {};
}

Status SegmentWriterImpl::write_index() {
    PagedSection section(sink_, packer_, SectionType::index_pages);
    std::span<const BlockInfo> left = blocks_;
    while (!left.empty()) {
        const auto part = left.first(std::min<std::size_t>(left.size(), kSegmentIndexPageBlocks));
        section.set_key(index_key(part.front()));
        section.page() = encode_index_page(part);
        section.add(static_cast<std::uint32_t>(part.size()));
        KLOG_TRY(section.close_page());
        left = left.subspan(part.size());
    }
    return section.finish();
}

Status SegmentWriterImpl::write_topics() {
    PagedSection section(sink_, packer_, SectionType::topic_pages);
    std::string previous;
    Status status;
    gatherer_.topics.each([&](std::string_view topic, const TopicCount& count,
                              std::span<const std::uint32_t> blocks) {
        if (!status.ok()) return;
        if (section.page().size() >= kTopicPageBytes) status = section.close_page();
        if (section.empty()) section.set_key(topic_separator(previous, topic));
        put_topic(section.page(), section.empty() ? std::string_view() : previous, topic, count,
                  stats_.held.first, blocks);
        section.add(1);
        previous = topic;
    });
    KLOG_TRY(status);
    return section.finish();
}

Status SegmentWriterImpl::write_fingerprints(SectionType type, const FingerprintGatherer& from) {
    PagedSection section(sink_, packer_, type);
    std::uint64_t previous = 0;
    Status status;
    from.each([&](std::uint64_t fingerprint, std::span<const std::uint32_t> blocks) {
        if (!status.ok()) return;
        if (section.page().size() >= kFingerprintPageBytes) status = section.close_page();
        if (section.empty()) section.set_key(big_endian(fingerprint));
        put_fingerprint(section.page(), section.empty() ? fingerprint : previous, fingerprint,
                        blocks);
        section.add(1);
        previous = fingerprint;
    });
    KLOG_TRY(status);
    return section.finish();
}

Status SegmentWriterImpl::write_filter(std::uint64_t entries) {
    const std::uint32_t blocks = filter_blocks(entries);
    std::string filter(blocks * kFilterBlockBytes, '\0');
    const auto add = [&](std::uint64_t fingerprint, std::span<const std::uint32_t>) {
        filter_add(filter.data() + filter_block_of(fingerprint, blocks) * kFilterBlockBytes,
                   fingerprint);
    };
    gatherer_.keys.each(add);
    gatherer_.ids.each(add);
    PagedSection section(sink_, packer_, SectionType::filter_pages);
    for (std::uint32_t at = 0; at < blocks; at += kFilterPageBlocks) {
        const std::uint32_t part = std::min(kFilterPageBlocks, blocks - at);
        section.page() = filter.substr(at * kFilterBlockBytes, part * kFilterBlockBytes);
        section.add(part);
        KLOG_TRY(section.close_page());
    }
    return section.finish();
}

Status SegmentWriterImpl::write_empty(SectionType pages) {
    return PagedSection(sink_, packer_, pages).finish();
}

Status SegmentWriterImpl::write_footer(const SegmentLineage& lineage) {
    KLOG_TRY(close_block());
    if (training_) KLOG_TRY(end_training());
    sink_.end_section(SegmentCodec::plain, stats_.payload_bytes, blocks_.size());
    const auto blocks = static_cast<std::uint32_t>(blocks_.size());
    KLOG_TRY(sink_.add_section(SectionType::dictionary, dictionary_, dictionary_.empty() ? 0 : 1,
                               packer_));
    KLOG_TRY(sink_.add_section(SectionType::partitions, encode_partitions(blocks), 1, packer_));
    KLOG_TRY(write_index());
    KLOG_TRY(write_topics());
    const std::uint64_t keys = gatherer_.keys.finish();
    const std::uint64_t ids = gatherer_.ids.finish();
    KLOG_TRY(write_fingerprints(SectionType::key_pages, gatherer_.keys));
    KLOG_TRY(write_filter(keys + ids));
    KLOG_TRY(write_fingerprints(SectionType::id_pages, gatherer_.ids));
    KLOG_TRY(write_empty(SectionType::residue_head_pages));
    KLOG_TRY(write_empty(SectionType::residue_id_pages));
    return sink_.add_section(SectionType::lineage, encode_lineage(lineage), 1, packer_);
}

Result<SegmentEntry> SegmentWriterImpl::finish(const SeqRange& covered,
                                               const SegmentLineage& lineage) {
    KLOG_ASSERT(!finished_ && !covered.empty());
    KLOG_ASSERT(stats_.records == 0 ||
                (covered.contains(stats_.held.first) && covered.contains(stats_.held.last)));
    KLOG_TRY(status_);
    stats_.covered = covered;
    finished_ = true;
    return keep_error(finish_checked(lineage));
}

Result<SegmentEntry> SegmentWriterImpl::finish_checked(const SegmentLineage& lineage) {
    KLOG_TRY(write_footer(lineage));
    SegmentRoot root;
    root.stats = stats_;
    root.plain = gatherer_.topics.plain();
    root.blocks = static_cast<std::uint32_t>(blocks_.size());
    root.sections = sink_.sections();
    const std::string bytes = encode_root(root, sink_.offset());
    KLOG_TRY(sink_.append(bytes));
    KLOG_TRY(sink_.finish());

    SegmentEntry entry;
    entry.segment_id = stats_.segment_id;
    entry.log_id = stats_.log_id;
    entry.generation = stats_.generation;
    entry.covered = stats_.covered;
    entry.held = stats_.held;
    entry.records = stats_.records;
    entry.payload_bytes = stats_.payload_bytes;
    entry.first_time = stats_.first_time;
    entry.last_time = stats_.last_time;
    entry.file_bytes = sink_.offset();
    entry.root_bytes = static_cast<std::uint32_t>(bytes.size());
    entry.root_hash = segment_root_hash(stats_.hash_key, bytes);
    return entry;
}

}  // namespace

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::create(Env& env, const std::string& path,
                                                             const SegmentIdentity& identity,
                                                             const SegmentWriterOptions& options) {
    KLOG_TRY_ASSIGN(const bool there, env.exists(path));
    if (there) KLOG_TRY(env.remove(path));
    KLOG_TRY_ASSIGN(auto file, env.open(path, OpenMode::create_new));
    auto writer = std::make_unique<SegmentWriterImpl>(std::move(file), identity, options);
    KLOG_TRY(writer->begin());
    return std::unique_ptr<SegmentWriter>(std::move(writer));
}

}  // namespace klog
