// What a stop or a crash left of the WAL: which files there are, where each ends, and what of the
// last one is proven. Reads only; wal_open.cc acts on it.
#ifndef KLOG_SEGMENT_WAL_RECOVERY_H
#define KLOG_SEGMENT_WAL_RECOVERY_H

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "klog/env.h"
#include "klog/log.h"
#include "segment/clean_marker.h"
#include "segment/segment_set.h"
#include "segment/wal_reader.h"

namespace klog {

struct WalJudgement {
    // Of files of which all is sealed: they do not count, and nobody looked at them.
    std::vector<std::string> void_paths;
    // Oldest first. The end of the last one is the watermark W: all below it was synced.
    std::vector<WalFileState> files;
    // Of the last file, [W, carry_end) are sound frames of whole transactions that nobody may rely
    // on before they were copied and synced. Equal to W: there are none.
    std::uint64_t carry_end = 0;
    std::uint32_t carry_end_chain = 0;
    std::optional<CleanMarker> marker;  // only if it counts
    std::vector<std::string> spares;    // names of spare files
    // Paths of files with void bytes behind their end, and where to cut them.
    std::vector<std::pair<std::string, std::uint64_t>> uncut;
    RecoveryReport report;

    // By LogId: where the newest checkpoint of each log stands that is known without reading the
    // log. An orderly stop writes one behind the last header, so the marker knows it. 0: none.
    [[nodiscard]] std::array<std::uint64_t, 2> settings_checkpoint() const;
};

inline constexpr const char* kCleanMarkerName = "clean";
inline constexpr const char* kCleanMarkerTemporaryName = "clean.tmp";
inline constexpr const char* kSparePrefix = "spare-";

[[nodiscard]] std::string wal_file_name(std::uint64_t wal_id);
// nullopt: this is no name of a WAL file.
[[nodiscard]] std::optional<std::uint64_t> wal_id_of(const std::string& name);

// Reads and checks the header of one file; its end is not known yet. Errors: corrupt,
// format_unknown, not_found, io.
[[nodiscard]] Result<WalFileState> read_wal_header(Env& env, const std::string& path,
                                                   std::uint64_t wal_id);

// What is known of a file that no newer one follows.
struct WalTail {
    std::uint64_t watermark = 0;  // W: all below it was synced
    std::uint64_t used = 0;  // behind the last frame, whole or torn, that shows this file's salt
};
// Looks at every offset of the file's first `size` bytes at which a frame may begin.
[[nodiscard]] Result<WalTail> scan_wal_tail(const File& file, const WalFileState& state,
                                            std::uint64_t size);

// The oldest file that counts follows on what `set` calls sealed. Errors: corrupt (names file,
// offset and what to do), format_unknown, io.
[[nodiscard]] Result<WalJudgement> judge_wal(Env& env, const std::string& wal_dir,
                                             const SegmentSetState& set);

// Whether the set is as new as the marker says. The numbers of the set only rise, so this also
// holds of a marker that is stale by now.
[[nodiscard]] Status check_set_of_marker(const CleanMarker& marker, const SegmentSetState& set,
                                         const std::string& path);

// Whether the oldest file follows on what is sealed, and is of the same store.
[[nodiscard]] Status check_follows_sealed(const WalFileState& oldest, const SegmentSetState& set);

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_RECOVERY_H
