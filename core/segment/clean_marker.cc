#include "segment/clean_marker.h"

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

namespace {
constexpr std::string_view kMagic = "KLOGCLN\n";
constexpr std::size_t kCrcAt = kCleanMarkerBytes - 4;
}  // namespace

std::string encode_clean_marker(const CleanMarker& marker) {
    std::string out(kMagic);
    put_fixed(out, kWalFormat);
    put_fixed(out, kWalFormat);  // min_reader
    out.append(marker.store_uuid.begin(), marker.store_uuid.end());
    put_fixed(out, marker.incarnation);
    put_fixed(out, marker.wal_id);
    put_fixed(out, marker.end);
    put_fixed(out, marker.chain);
    put_fixed(out, std::uint32_t{0});
    for (const std::uint64_t seq : marker.next_seqs) put_fixed(out, seq);
    put_fixed(out, marker.manifest_number);
    for (const std::uint64_t seq : marker.settings_checkpoint) put_fixed(out, seq);
    out.resize(kCrcAt);
    put_fixed(out, crc32c(out));
    return out;
}

Result<CleanMarker> decode_clean_marker(std::string_view bytes, const std::string& path) {
    const bool sound =
        bytes.size() == kCleanMarkerBytes && bytes.substr(0, 8) == kMagic &&
        crc32c(bytes.substr(0, kCrcAt)) == load_fixed<std::uint32_t>(bytes.data() + kCrcAt);
    if (!sound) return Error{Code::corrupt, path + ": the clean marker is damaged", ""};
    ByteReader in(bytes.substr(kMagic.size()));
    in.fixed<std::uint32_t>();
    if (in.fixed<std::uint32_t>() > kWalFormat) {
        return Error{Code::format_unknown, path + " was written by a later version of klog",
                     "open the directory with the version that wrote it, or a later one"};
    }
    CleanMarker marker;
    const std::string_view uuid = in.raw(marker.store_uuid.size());
    std::copy(uuid.begin(), uuid.end(), marker.store_uuid.begin());
    marker.incarnation = in.fixed<std::uint64_t>();
    marker.wal_id = in.fixed<std::uint64_t>();
    marker.end = in.fixed<std::uint64_t>();
    marker.chain = in.fixed<std::uint32_t>();
    in.fixed<std::uint32_t>();
    for (std::uint64_t& seq : marker.next_seqs) seq = in.fixed<std::uint64_t>();
    marker.manifest_number = in.fixed<std::uint64_t>();
    for (std::uint64_t& seq : marker.settings_checkpoint) seq = in.fixed<std::uint64_t>();
    return marker;
}

}  // namespace klog
