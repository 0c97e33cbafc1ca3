#include "log/segment_merge.h"

#include <algorithm>

#include "segment/record_codec.h"

namespace klog {
namespace {

// Holds the dictionary of an input, ready to use, and a page of its index.
constexpr std::uint64_t kCacheBytes = 2U << 20U;

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

std::optional<SegmentMerge::Run> SegmentMerge::choose(std::span<const Size> sizes,
                                                      std::uint64_t merged_bytes_max,
                                                      std::uint64_t topics_max) {
    for (std::size_t from = 0; from < sizes.size(); ++from) {
        const std::size_t wanted = size_class(sizes[from].payload_bytes);
        Size sum;
        std::size_t of_class = 0;
        std::size_t upto = from;
        bool topics_full = false;
        for (; upto < sizes.size() && upto - from < kFanIn; ++upto) {
            const Size& next = sizes[upto];
            const std::size_t its = size_class(next.payload_bytes);
            // Smaller ones between larger ones go along, or they would stay for good.
            if (its > wanted || sum.payload_bytes + next.payload_bytes > merged_bytes_max) break;
            topics_full = sum.topics + next.topics > topics_max;
            if (topics_full) break;
            sum.payload_bytes += next.payload_bytes;
            sum.topics += next.topics;
            of_class += its == wanted ? 1 : 0;
        }
        // Where it is topics that there are too many of, two are better than none.
        if (upto - from == kFanIn || (topics_full && of_class > 1)) return Run(from, upto);
    }
    return std::nullopt;
}

std::optional<SegmentMerge::Run> SegmentMerge::choose(const SegmentCatalog::List& segments,
                                                      std::uint64_t merged_bytes_max) {
    std::vector<Size> sizes;
    sizes.reserve(segments.size());
    for (const SegmentCatalog::Segment& segment : segments) {
        sizes.push_back({segment.entry.payload_bytes, segment.reader->topics()});
    }
    return choose(sizes, merged_bytes_max, kTopicsMax);
}

SegmentMerge::SegmentMerge(Env& env, std::vector<SegmentCatalog::Segment> inputs, std::string path,
                           const SegmentIdentity& identity)
    : env_(env), inputs_(std::move(inputs)), path_(std::move(path)), identity_(identity) {}

Status SegmentMerge::copy_block() {
    KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, reader_->block(block_, 0));
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
        KLOG_TRY_ASSIGN(writer_, SegmentWriter::create(env_, path_, identity_, kMergeOptions));
    }
    const std::uint64_t upto = writer_->payload_bytes() + kStepBytes;
    while (input_ < inputs_.size()) {
        if (!reader_) {
            // With a cache of its own: what a merge passes through is not what readers want.
            KLOG_TRY_ASSIGN(
                reader_, SegmentReader::open(env_, inputs_[input_].reader->path(),
                                             &inputs_[input_].entry, PageCache::make(kCacheBytes)));
        }
        if (block_ == reader_->blocks()) {
            ++input_;
            block_ = 0;
            reader_.reset();
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
