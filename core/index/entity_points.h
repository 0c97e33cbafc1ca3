// Which stretches of a WAL file may hold records of an entity, so that nobody has to read the rest
// of a file that is not sealed yet. In memory for the file that is being written, in the index of
// one that is closed (schemas/run.md, "Entities"). 32 bits of the entity's hash are compared: a
// stretch may turn out to hold none, but one that holds some is never left out.
#ifndef KLOG_INDEX_ENTITY_POINTS_H
#define KLOG_INDEX_ENTITY_POINTS_H

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "klog/types.h"

namespace klog {

[[nodiscard]] constexpr std::uint32_t entity_fingerprint(const Hash128& entity) {
    return static_cast<std::uint32_t>(entity.hi >> 32U);
}

// From a point of the file's index to the next one. Records of one log.
struct WalStretch {
    std::uint64_t offset = 0;  // of its first frame
    Seq first_seq;
    Seq last_seq;
};

// Of one log in the file that grows. Memory: 4 bytes a record with a key, 24 a point, and 1.1 KiB
// for each 8,192 records.
//
// Threads: one. A copy takes as long as copying 32 KiB, and can be searched by another thread.
class EntityPoints {
public:
    // Of a piece: what is in it is grouped, and not touched any more. A frame may exceed it.
    static constexpr std::size_t kPieceEntries = 8192;
    static constexpr std::size_t kPiecePoints = 256;

    // A frame was added to the file's index, which began a new point for it or not. fingerprints:
    // of its records that have a key, in any order.
    void add_frame(Seq first_seq, Seq last_seq, std::uint64_t offset, bool new_point,
                   std::span<const std::uint32_t> fingerprints);

    // Appends, in order and each once, the stretches with a seq >= from that may hold one of the
    // fingerprints.
    void find(std::span<const std::uint32_t> fingerprints, Seq from,
              std::vector<WalStretch>& found) const;

    // What an index on disk is made of: a fingerprint and the number of a point in the file, in one
    // integer; sorted, each once.
    [[nodiscard]] std::vector<std::uint64_t> sorted_entries() const;

    [[nodiscard]] std::uint64_t bytes() const;

private:
    // Entries hold three bytes of a fingerprint and, in the lowest byte, the number of a point in
    // the piece.
    struct Piece {
        std::uint32_t points_before = 0;
        std::vector<WalStretch> points;
        std::vector<std::uint32_t> entries;       // grouped by the fingerprint's first byte
        std::array<std::uint32_t, 257> begins{};  // of the groups
    };
    using PointBits = std::array<std::uint64_t, kPiecePoints / 64>;

    void close_piece();

    std::vector<std::shared_ptr<const Piece>> pieces_;
    // The open piece: not grouped yet.
    std::uint32_t points_before_ = 0;
    std::vector<WalStretch> points_;
    std::vector<std::uint32_t> fingerprints_;
    std::vector<std::uint8_t> point_numbers_;
};

// --- Entities in the index of a closed file. ---

inline constexpr std::size_t kEntityEntryBytes = 8;
inline constexpr std::size_t kEntityPageEntries = 512;
inline constexpr std::size_t kEntityPageBytes = kEntityPageEntries * kEntityEntryBytes;

// Of one log: what has to be known to read one page. Memory: 8 bytes for 512 entries.
struct EntityTable {
    struct Page {
        std::uint32_t first = 0;  // its first fingerprint
        std::uint32_t crc = 0;
    };
    std::uint64_t offset = 0;  // of the first page in the file
    std::uint64_t entries = 0;
    std::vector<Page> pages;

    [[nodiscard]] std::uint64_t bytes() const { return entries * kEntityEntryBytes; }
    // The first page that may hold the fingerprint. pages.size(): none does.
    [[nodiscard]] std::size_t page_of(std::uint32_t fingerprint) const;
    [[nodiscard]] std::size_t page_bytes(std::size_t page) const;
};

// entries: as sorted_entries() gives them. Appends the pages to `out`.
[[nodiscard]] EntityTable encode_entities(std::span<const std::uint64_t> entries, std::string& out);

// Appends the numbers of the fingerprint's points. `more`: the next page may hold some, too. False:
// the page is not what its table says.
[[nodiscard]] bool find_in_entity_page(std::string_view page, const EntityTable::Page& known,
                                       std::uint32_t fingerprint,
                                       std::vector<std::uint32_t>& points, bool& more);

}  // namespace klog

#endif  // KLOG_INDEX_ENTITY_POINTS_H
