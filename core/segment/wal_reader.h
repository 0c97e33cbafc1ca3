// Reading the frames of one WAL file, each checked.
#ifndef KLOG_SEGMENT_WAL_READER_H
#define KLOG_SEGMENT_WAL_READER_H

#include <cstdint>
#include <memory>
#include <optional>

#include "klog/env.h"
#include "segment/wal.h"

namespace klog {

// What is known about a file beyond what it shows to others.
struct WalFileState {
    WalFileInfo info;
    std::uint32_t header_crc = 0;  // where the chain begins
    std::uint32_t end_chain = 0;   // header_crc of the last frame before info.end
    // Shared by all who may read the file by what they know of it: readers hold a copy of this.
    std::shared_ptr<const int> users = std::make_shared<const int>(0);
};

// Reads [from_offset, state.info.end). from_offset is where a frame begins, or the end.
// Errors of the call: io, not_found, bad_request (from_offset lies outside).
[[nodiscard]] Result<std::unique_ptr<WalFrameReader>> make_wal_frame_reader(
    Env& env, const WalFileState& state, std::uint64_t from_offset);

// Reads exactly `length` bytes at `offset` of a file whose size allows it. nullopt: it does not.
// Nothing is allocated before that is known.
[[nodiscard]] Result<std::optional<std::string>> read_exactly(const File& file,
                                                              std::uint64_t offset,
                                                              std::uint64_t length);

// The error for damage that must not be dropped, because it was acknowledged.
[[nodiscard]] Error wal_damage(const std::string& path, std::uint64_t offset,
                               const std::string& what);

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_READER_H
