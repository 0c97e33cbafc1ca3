// Finds one version of an entity without reading what lies before it: an entity's versions rise
// with its seqs, so the places that may hold its records are searched by halves.
//
// Threads: one at a time. Reads the disk.
#ifndef KLOG_LOG_VERSION_SEARCH_H
#define KLOG_LOG_VERSION_SEARCH_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/siphash.h"
#include "klog/log.h"
#include "log/file_catalog.h"
#include "log/segment_catalog.h"
#include "segment/record_codec.h"
#include "segment/wal.h"

namespace klog {

class VersionSearch {
public:
    // Of the entity (space, key), whose texts must outlive this.
    VersionSearch(LogId log, Wal& wal, const FileCatalog& catalog, std::string_view space,
                  std::string_view key);

    // The record with that version, which is durable; nullopt: it is not there. What cannot be read
    // is passed over as long as the version is found elsewhere. Errors: corrupt, io.
    [[nodiscard]] Result<std::optional<OwnedRecord>> find(Version wanted);

private:
    using Record = std::optional<OwnedRecord>;

    [[nodiscard]] Result<Record> find_once(const SegmentCatalog::List& sealed,
                                           const std::vector<FileCatalog::FileStretch>& unsealed,
                                           Version wanted);
    [[nodiscard]] Result<Record> in_segment(SegmentReader& segment, Version wanted);
    [[nodiscard]] Result<Record> in_files(const std::vector<FileCatalog::FileStretch>& stretches,
                                          Version wanted);
    // The entity's first record in a place whose version is not below `wanted`.
    [[nodiscard]] Result<Record> in_block(SegmentReader& segment, std::uint32_t block,
                                          Version wanted);
    [[nodiscard]] Result<Record> in_stretch(const FileCatalog::FileStretch& place, Version wanted);
    [[nodiscard]] Result<Record> in_frame(const std::shared_ptr<const Frame>& frame,
                                          Version wanted) const;
    // What cannot be read holds nothing, and is remembered.
    [[nodiscard]] std::optional<Version> unless_damaged(Result<std::optional<Version>> version);
    template <class Places, class Look>
    [[nodiscard]] std::optional<Version> first_of(const Places& places, Look&& look);
    // The last of `count` places in order that begins with a version <= wanted. first(place) gives
    // the first version there, nullopt where the entity has none.
    template <class First>
    [[nodiscard]] std::optional<std::size_t> last_begun(std::size_t count, Version wanted,
                                                        First&& first);

    const LogId log_;
    Wal& wal_;
    const FileCatalog& catalog_;
    const std::string_view space_;
    const std::string_view key_;
    const Hash128 entity_;
    std::optional<Error> problem_;  // the first place that could not be read
};

}  // namespace klog

#endif  // KLOG_LOG_VERSION_SEARCH_H
