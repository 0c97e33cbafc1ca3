#include "log/version_search.h"

#include <utility>

#include "segment/record_hash.h"
#include "topic/topic.h"

namespace klog {
namespace {

// Files that are sealed while they are searched are found as segments at the next try.
constexpr int kTriesMax = 4;

constexpr Version kAny{0};

std::optional<Version> begin_of(const std::optional<OwnedRecord>& record) {
    if (!record) return std::nullopt;
    return record->view.version;
}

}  // namespace

VersionSearch::VersionSearch(LogId log, Wal& wal, const FileCatalog& catalog,
                             std::string_view space, std::string_view key)
    : log_(log),
      wal_(wal),
      catalog_(catalog),
      space_(space),
      key_(key),
      entity_(entity_hash(wal.hash_key(), space, key)) {}

Result<std::optional<OwnedRecord>> VersionSearch::find(Version wanted) {
    for (int tries = 1;; ++tries) {
        problem_.reset();
        const auto sealed = catalog_.segments().list(log_);
        const Seq behind{sealed->empty() ? 1 : sealed->back().entry.covered.last.value + 1};
        std::vector<FileCatalog::FileStretch> unsealed;
        if (auto places = catalog_.find(log_, behind, std::span(&entity_, 1))) {
            unsealed = std::move(places->stretches);
        }
        Result<Record> found = find_once(*sealed, unsealed, wanted);
        if (found.ok() && *found) return found;
        const bool moved = catalog_.segments().list(log_) != sealed;
        if (moved && tries < kTriesMax) continue;
        if (found.ok() && problem_) return *problem_;
        return found;
    }
}

std::optional<Version> VersionSearch::unless_damaged(Result<std::optional<Version>> version) {
    if (version.ok()) return *version;
    if (!problem_) problem_ = version.error();
    return std::nullopt;
}

// Of places that belong together.
template <class Places, class Look>
std::optional<Version> VersionSearch::first_of(const Places& places, Look&& look) {
    for (const auto& place : places) {
        Result<Record> record = look(place);
        const std::optional<Version> version = unless_damaged(
            record.ok() ? Result<std::optional<Version>>(begin_of(*record)) : record.error());
        if (version) return version;
    }
    return std::nullopt;
}

template <class First>
std::optional<std::size_t> VersionSearch::last_begun(std::size_t count, Version wanted,
                                                     First&& first) {
    std::optional<std::size_t> best;
    std::size_t from = 0;
    std::size_t to = count;
    while (from < to) {
        const std::size_t middle = from + (to - from) / 2;
        std::optional<Version> begins;
        std::size_t at = middle;
        for (; at < to; ++at) {
            begins = unless_damaged(first(at));
            if (begins) break;
        }
        if (!begins || *begins > wanted) {
            to = middle;
        } else {
            best = at;
            from = at + 1;
        }
    }
    return best;
}

// What is not sealed is one more place behind the segments.
Result<VersionSearch::Record> VersionSearch::find_once(
    const SegmentCatalog::List& sealed, const std::vector<FileCatalog::FileStretch>& unsealed,
    Version wanted) {
    const auto first = [&](std::size_t place) -> Result<std::optional<Version>> {
        if (place == sealed.size()) {
            return first_of(unsealed, [&](const FileCatalog::FileStretch& stretch) {
                return in_stretch(stretch, kAny);
            });
        }
        SegmentReader& segment = *sealed[place].reader;
        KLOG_TRY_ASSIGN(const std::vector<std::uint32_t> blocks, segment.blocks_of_entity(entity_));
        return first_of(blocks,
                        [&](std::uint32_t block) { return in_block(segment, block, kAny); });
    };
    const auto place = last_begun(sealed.size() + 1, wanted, first);
    if (!place) return Record();
    KLOG_TRY_ASSIGN(Record found, *place == sealed.size()
                                      ? in_files(unsealed, wanted)
                                      : in_segment(*sealed[*place].reader, wanted));
    if (found && found->view.version != wanted) found.reset();
    return found;
}

Result<VersionSearch::Record> VersionSearch::in_segment(SegmentReader& segment, Version wanted) {
    KLOG_TRY_ASSIGN(const std::vector<std::uint32_t> blocks, segment.blocks_of_entity(entity_));
    const auto first = [&](std::size_t at) -> Result<std::optional<Version>> {
        KLOG_TRY_ASSIGN(const Record record, in_block(segment, blocks[at], kAny));
        return begin_of(record);
    };
    const auto at = last_begun(blocks.size(), wanted, first);
    if (!at) return Record();
    return in_block(segment, blocks[*at], wanted);
}

Result<VersionSearch::Record> VersionSearch::in_files(
    const std::vector<FileCatalog::FileStretch>& stretches, Version wanted) {
    const auto first = [&](std::size_t at) -> Result<std::optional<Version>> {
        KLOG_TRY_ASSIGN(const Record record, in_stretch(stretches[at], kAny));
        return begin_of(record);
    };
    const auto at = last_begun(stretches.size(), wanted, first);
    if (!at) return Record();
    return in_stretch(stretches[*at], wanted);
}

Result<VersionSearch::Record> VersionSearch::in_block(SegmentReader& segment, std::uint32_t block,
                                                      Version wanted) {
    KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, segment.block(block, 0));
    return in_frame(frame, wanted);
}

Result<VersionSearch::Record> VersionSearch::in_stretch(const FileCatalog::FileStretch& place,
                                                        Version wanted) {
    KLOG_TRY_ASSIGN(const std::unique_ptr<WalFrameReader> file,
                    wal_.open_file(place.wal_id, place.stretch.offset));
    for (;;) {
        KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, file->next());
        if (!frame) return Record();
        const FrameHeader& header = frame->header;
        if (header.log_id != log_ || header.count == 0) continue;
        if (header.first_seq > place.stretch.last_seq) return Record();
        KLOG_TRY_ASSIGN(Record found, in_frame(frame, wanted));
        if (found) return found;
    }
}

Result<VersionSearch::Record> VersionSearch::in_frame(const std::shared_ptr<const Frame>& frame,
                                                      Version wanted) const {
    const FrameHeader& header = frame->header;
    RecordDecoder decoder(frame->payload(), header.first_seq, header.base_time, header.count);
    OwnedRecord found;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next_of_key(found.view, key_));
        if (!more) return Record();
        if (found.view.version < wanted || space_of(found.view.topic) != space_) continue;
        found.pin = frame;
        return Record(std::move(found));
    }
}

}  // namespace klog
