// Which segments make up the sealed part of each log: kept as one file, seg/manifest, that each
// edit replaces atomically. Format: schemas/manifest.md.
//
// A segment counts because the manifest names it, not because its file is there; a WAL file that
// the manifest calls sealed does not count, even if it is still there. So a crash at any step
// leaves the old or the new, never both, never neither.
//
// Threads: state() from any thread; apply() from one at a time.
#ifndef KLOG_SEGMENT_SEGMENT_SET_H
#define KLOG_SEGMENT_SEGMENT_SET_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"
#include "segment/segment_info.h"

namespace klog {

// The newest WAL file of which everything is sealed, and where it ended: the oldest file that is
// left must follow on it. wal_id 0: nothing is sealed.
struct SealedUpto {
    std::uint64_t wal_id = 0;
    std::uint64_t end = 0;
    std::uint32_t chain = 0;  // header_crc of its last frame, or its header's crc
    friend bool operator==(const SealedUpto&, const SealedUpto&) = default;
};

// A file that an edit took out of the set, to be removed.
struct SegmentGarbage {
    LogId log_id = LogId::default_log;
    std::uint64_t segment_id = 0;
    Time not_before;
    friend bool operator==(const SegmentGarbage&, const SegmentGarbage&) = default;
};

struct SegmentSetState {
    std::uint64_t number = 0;  // rises with each edit; 0: nothing was ever sealed
    std::uint64_t epoch = 0;
    StoreUuid store_uuid{};
    HashKey hash_key{};
    SealedUpto sealed;
    std::uint64_t next_segment_id = 1;
    // By LogId, in the order of their seqs; covered ranges follow on each other from seq 1.
    std::array<std::vector<SegmentEntry>, 2> logs;
    std::array<std::uint64_t, 2> settings_checkpoint{};  // seq of the newest one that is sealed
    std::vector<SegmentGarbage> garbage;
    friend bool operator==(const SegmentSetState&, const SegmentSetState&) = default;
};

class SegmentSet {
public:
    virtual ~SegmentSet() = default;

    // dir: the data directory. Without a manifest the set is empty. Reads only, so what it gives is
    // durable only after a sync of dir/seg: a process that was killed may have left it so.
    // Wal::open does that; nothing may be removed on the word of the set before. Errors: corrupt (a
    // broken manifest, ranges with holes), format_unknown (names the writer), io.
    [[nodiscard]] static Result<std::unique_ptr<SegmentSet>> open(Env& env, const std::string& dir,
                                                                  const std::string& writer);

    [[nodiscard]] virtual std::shared_ptr<const SegmentSetState> state() const = 0;

    // Writes the next state: temporary file, sync, rename, sync of the folder. Durable when it
    // returns, and only then is it what state() gives. The caller leaves `number` as it is in
    // state(). After disk_full and io the set is as it was. Errors: disk_full, io, too_many; bug
    // (ranges with holes, an edit that takes something back); outcome_unknown: the rename or its
    // sync failed, so that a crash may leave either. Then state() is the old one, and the files
    // that either of them names have to stay as they are until a later edit is durable.
    virtual Status apply(SegmentSetState next) = 0;
};

inline constexpr const char* kSegmentDirName = "seg";
inline constexpr const char* kManifestName = "manifest";
inline constexpr const char* kManifestTemporaryName = "manifest.tmp";
inline constexpr std::string_view kSegmentSuffix = ".seg";

// dir/seg/<log_id>/<20 digits of segment_id>.seg
[[nodiscard]] std::string segment_path(const std::string& dir, LogId log, std::uint64_t segment_id);
// nullopt: this is no name of a segment.
[[nodiscard]] std::optional<std::uint64_t> segment_id_of(std::string_view name);

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_SET_H
