#include "log/segment_merge.h"

#include <algorithm>

#include "segment/record_codec.h"

namespace klog {
namespace {

// Segments up to this size are of the lowest class; each further class is kFanIn times as large.
constexpr std::uint64_t kSmallestClassBytes = 256 * 1024;

std::size_t size_class(std::uint64_t bytes) {
    std::size_t number = 0;
    for (std::uint64_t limit = kSmallestClassBytes; bytes > limit; limit *= SegmentMerge::kFanIn) {
        ++number;
    }
    return number;
}

}  // namespace

std::optional<std::pair<std::size_t, std::size_t>> SegmentMerge::choose(
    const SegmentCatalog::List& segments, std::uint64_t merged_bytes_max) {
    std::size_t from = 0;
    while (from < segments.size()) {
        const std::size_t wanted = size_class(segments[from].entry.payload_bytes);
        std::uint64_t bytes = 0;
        std::size_t upto = from;
        while (upto < segments.size() && upto - from < kFanIn &&
               // Smaller ones between larger ones go along, or they would stay for good.
               size_class(segments[upto].entry.payload_bytes) <= wanted &&
               bytes + segments[upto].entry.payload_bytes <= merged_bytes_max) {
            bytes += segments[upto].entry.payload_bytes;
            ++upto;
        }
        if (upto - from == kFanIn) return std::pair(from, upto);
        ++from;
    }
    return std::nullopt;
}

SegmentMerge::SegmentMerge(Env& env, std::vector<SegmentCatalog::Segment> inputs, std::string path,
                           const SegmentIdentity& identity)
    : env_(env), inputs_(std::move(inputs)), path_(std::move(path)), identity_(identity) {}

Status SegmentMerge::copy_block() {
    SegmentReader& reader = *inputs_[input_].reader;
    KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, reader.block(block_, 0));
    const FrameHeader& header = frame->header;
    RecordDecoder decoder(frame->payload(), header.first_seq, header.base_time, header.count);
    RecordView record;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
        if (!more) return {};
        KLOG_TRY(writer_->add(record));
    }
}

Result<bool> SegmentMerge::step() {
    if (!writer_) {
        SegmentWriterOptions options;
        options.level = kMergeLevel;
        KLOG_TRY_ASSIGN(writer_, SegmentWriter::create(env_, path_, identity_, options));
    }
    const std::uint64_t upto = writer_->payload_bytes() + kStepBytes;
    while (input_ < inputs_.size()) {
        if (block_ == inputs_[input_].reader->blocks()) {
            ++input_;
            block_ = 0;
            continue;
        }
        if (writer_->payload_bytes() >= upto) return false;
        KLOG_TRY(copy_block());
        ++block_;
    }
    SegmentLineage lineage;
    for (const SegmentCatalog::Segment& input : inputs_) {
        lineage.inputs.push_back(input.entry.segment_id);
    }
    KLOG_TRY_ASSIGN(output_, writer_->finish(SeqRange{inputs_.front().entry.covered.first,
                                                      inputs_.back().entry.covered.last},
                                             lineage));
    return true;
}

}  // namespace klog
