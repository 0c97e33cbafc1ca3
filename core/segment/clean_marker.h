// wal/clean: written by an orderly stop. It stands outside the log, so that a log that lost its
// end shows. Stale by itself once a newer incarnation exists. Specified in schemas/wal.md.
#ifndef KLOG_SEGMENT_CLEAN_MARKER_H
#define KLOG_SEGMENT_CLEAN_MARKER_H

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "klog/result.h"
#include "segment/wal_format.h"

namespace klog {

struct CleanMarker {
    StoreUuid store_uuid{};
    std::uint64_t incarnation = 0;
    std::uint64_t wal_id = 0;
    std::uint64_t end = 0;
    std::uint32_t chain = 0;  // header_crc of the last frame
    std::array<std::uint64_t, 2> next_seqs{};
    std::uint64_t manifest_number = 0;  // 0: nothing was ever sealed
    // The newest checkpoint of each log; the file's header may name an older one. 0: none.
    std::array<std::uint64_t, 2> settings_checkpoint{};
};

inline constexpr std::size_t kCleanMarkerBytes = 128;

[[nodiscard]] std::string encode_clean_marker(const CleanMarker& marker);
// Errors: corrupt (length, magic, checksum), format_unknown. `path` is for messages.
[[nodiscard]] Result<CleanMarker> decode_clean_marker(std::string_view bytes,
                                                      const std::string& path);

}  // namespace klog

#endif  // KLOG_SEGMENT_CLEAN_MARKER_H
