// The bytes of the set of segments, as specified in schemas/manifest.md. Pure: bytes in, fields
// out.
#ifndef KLOG_SEGMENT_MANIFEST_FORMAT_H
#define KLOG_SEGMENT_MANIFEST_FORMAT_H

#include <cstdint>
#include <string>
#include <string_view>

#include "klog/result.h"
#include "segment/segment_set.h"

namespace klog {

inline constexpr std::uint32_t kManifestFormat = 1;
inline constexpr std::size_t kManifestHeaderBytes = 512;
// Entries of one page, so that those of unchanged pages can be told by a checksum.
inline constexpr std::size_t kManifestPageEntries = 128;
// Room for half a million segments.
inline constexpr std::uint64_t kManifestBytesMax = 64ULL << 20U;

// `writer`: such as "klog 0.1.0"; at most 63 bytes of it are kept.
[[nodiscard]] std::string encode_manifest(const SegmentSetState& state, const std::string& writer);

// How long a manifest says that it is, so that a reader need not allocate before it knows.
// Needs its first kManifestHeaderBytes. Errors: as decode_manifest.
[[nodiscard]] Result<std::uint64_t> manifest_bytes(std::string_view header,
                                                   const std::string& path);

// `bytes` is the whole file. Errors: corrupt (names the offset or the segment), format_unknown
// (names the writer). `path` is for messages. What it gives is sound: see check_segment_set.
[[nodiscard]] Result<SegmentSetState> decode_manifest(std::string_view bytes,
                                                      const std::string& path);

// What no set may have: holes and overlaps, ranges and ids that contradict each other. The error's
// code is `code`, its message begins with `place`.
[[nodiscard]] Status check_segment_set(const SegmentSetState& state, Code code,
                                       const std::string& place);

}  // namespace klog

#endif  // KLOG_SEGMENT_MANIFEST_FORMAT_H
