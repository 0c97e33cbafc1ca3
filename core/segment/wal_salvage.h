// What is sound of a WAL that a start would refuse. Reads only.
#ifndef KLOG_SEGMENT_WAL_SALVAGE_H
#define KLOG_SEGMENT_WAL_SALVAGE_H

#include <optional>
#include <string>
#include <vector>

#include "klog/env.h"
#include "klog/log.h"
#include "segment/clean_marker.h"
#include "segment/segment_set.h"
#include "segment/wal.h"
#include "segment/wal_reader.h"

namespace klog {

struct WalSalvage {
    // Oldest first; there may be none, and numbers may be missing. Each ends where its last sound
    // frame does, at the latest where it was synced to.
    std::vector<WalFileState> files;
    std::vector<WalDamage> damages;  // what is not among them, oldest first
    bool end_lost = false;           // the newest of it all is among the damages
    std::optional<CleanMarker> marker;
    std::vector<std::string> notices;
};

// Errors: `refused`, which is why a start would stop, where the set of segments does not fit the
// files: nobody knows then what is missing between them. format_unknown, io (of the folder).
[[nodiscard]] Result<WalSalvage> salvage_wal(Env& env, const std::string& wal_dir,
                                             const SegmentSetState& set, const Error& refused);

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_SALVAGE_H
