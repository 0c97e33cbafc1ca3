#include "index/entity_points.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr unsigned kGroupShift = 24;  // a group is the first byte of a fingerprint
constexpr unsigned kPointBits = 8;
constexpr unsigned kFingerprintShift = 32;  // in an entry of the index

void set_point(auto& bits, std::uint32_t point) { bits[point / 64] |= 1ULL << (point % 64); }

// Entries by their upper half; those of one fingerprint come in the order of their points already.
void sort_by_fingerprint(std::vector<std::uint64_t>& entries) {
    constexpr unsigned kDigitBits = 11;
    constexpr std::size_t kDigits = 1U << kDigitBits;
    std::vector<std::uint64_t> sorted(entries.size());
    for (unsigned shift = kFingerprintShift; shift < 64; shift += kDigitBits) {
        std::array<std::size_t, kDigits> at{};
        for (const std::uint64_t entry : entries) ++at[(entry >> shift) % kDigits];
        std::size_t begin = 0;
        for (std::size_t& place : at) begin += std::exchange(place, begin);
        for (const std::uint64_t entry : entries) sorted[at[(entry >> shift) % kDigits]++] = entry;
        entries.swap(sorted);
    }
}

}  // namespace

void EntityPoints::add_frame(Seq first_seq, Seq last_seq, std::uint64_t offset, bool new_point,
                             std::span<const std::uint32_t> fingerprints) {
    if (new_point) {
        if (fingerprints_.size() >= kPieceEntries || points_.size() == kPiecePoints) close_piece();
        points_.push_back({offset, first_seq, last_seq});
    }
    KLOG_ASSERT(!points_.empty());
    points_.back().last_seq = last_seq;
    fingerprints_.insert(fingerprints_.end(), fingerprints.begin(), fingerprints.end());
    point_numbers_.resize(fingerprints_.size(), static_cast<std::uint8_t>(points_.size() - 1));
}

void EntityPoints::close_piece() {
    auto piece = std::make_shared<Piece>();
    piece->points_before = points_before_;
    for (const std::uint32_t fingerprint : fingerprints_) {
        ++piece->begins[(fingerprint >> kGroupShift) + 1];
    }
    for (std::size_t i = 1; i < piece->begins.size(); ++i) piece->begins[i] += piece->begins[i - 1];
    std::array<std::uint32_t, 257> next = piece->begins;
    piece->entries.resize(fingerprints_.size());
    for (std::size_t i = 0; i < fingerprints_.size(); ++i) {
        const std::uint32_t fingerprint = fingerprints_[i];
        piece->entries[next[fingerprint >> kGroupShift]++] =
            fingerprint << kPointBits | point_numbers_[i];
    }
    points_before_ += static_cast<std::uint32_t>(points_.size());
    piece->points.assign(points_.begin(), points_.end());
    points_.clear();
    fingerprints_.clear();
    point_numbers_.clear();
    pieces_.push_back(std::move(piece));
}

void EntityPoints::find(std::span<const std::uint32_t> fingerprints, Seq from,
                        std::vector<WalStretch>& found) const {
    const auto collect = [&](const std::vector<WalStretch>& points, const PointBits& bits) {
        for (std::size_t word = 0; word < bits.size(); ++word) {
            for (std::uint64_t left = bits[word]; left != 0; left &= left - 1) {
                const WalStretch& point =
                    points[word * 64 + static_cast<std::size_t>(std::countr_zero(left))];
                if (point.last_seq >= from) found.push_back(point);
            }
        }
    };
    for (const auto& piece : pieces_) {
        if (piece->points.back().last_seq < from) continue;
        PointBits bits{};
        for (const std::uint32_t fingerprint : fingerprints) {
            const std::uint32_t group = fingerprint >> kGroupShift;
            const std::uint32_t wanted = fingerprint << kPointBits;
            for (std::uint32_t i = piece->begins[group]; i < piece->begins[group + 1]; ++i) {
                const std::uint32_t entry = piece->entries[i];
                if (((entry ^ wanted) >> kPointBits) == 0) set_point(bits, entry & 0xffU);
            }
        }
        collect(piece->points, bits);
    }
    PointBits bits{};
    for (std::size_t i = 0; i < fingerprints_.size(); ++i) {
        for (const std::uint32_t fingerprint : fingerprints) {
            if (fingerprints_[i] == fingerprint) set_point(bits, point_numbers_[i]);
        }
    }
    collect(points_, bits);
}

std::vector<std::uint64_t> EntityPoints::sorted_entries() const {
    std::vector<std::uint64_t> entries;
    std::size_t count = fingerprints_.size();
    for (const auto& piece : pieces_) count += piece->entries.size();
    entries.reserve(count);
    for (const auto& piece : pieces_) {
        for (std::uint32_t group = 0; group < 256; ++group) {
            for (std::uint32_t i = piece->begins[group]; i < piece->begins[group + 1]; ++i) {
                const std::uint32_t entry = piece->entries[i];
                const std::uint64_t fingerprint = group << kGroupShift | entry >> kPointBits;
                entries.push_back(fingerprint << kFingerprintShift |
                                  (piece->points_before + (entry & 0xffU)));
            }
        }
    }
    for (std::size_t i = 0; i < fingerprints_.size(); ++i) {
        entries.push_back(std::uint64_t{fingerprints_[i]} << kFingerprintShift |
                          (points_before_ + point_numbers_[i]));
    }
    sort_by_fingerprint(entries);
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    return entries;
}

std::uint64_t EntityPoints::bytes() const {
    std::uint64_t bytes = fingerprints_.capacity() * sizeof(std::uint32_t) +
                          point_numbers_.capacity() + points_.capacity() * sizeof(WalStretch);
    for (const auto& piece : pieces_) {
        bytes += sizeof(Piece) + piece->points.capacity() * sizeof(WalStretch) +
                 piece->entries.capacity() * sizeof(std::uint32_t);
    }
    return bytes;
}

std::size_t EntityTable::page_of(std::uint32_t fingerprint) const {
    // A fingerprint may begin on the page before the first one that begins with it.
    const auto at = std::lower_bound(
        pages.begin(), pages.end(), fingerprint,
        [](const Page& page, std::uint32_t wanted) { return page.first < wanted; });
    if (at == pages.begin()) {
        return !pages.empty() && at->first == fingerprint ? 0 : pages.size();
    }
    return static_cast<std::size_t>(at - pages.begin()) - 1;
}

std::size_t EntityTable::page_bytes(std::size_t page) const {
    const std::uint64_t before = std::uint64_t{page} * kEntityPageEntries;
    return static_cast<std::size_t>(std::min<std::uint64_t>(kEntityPageEntries, entries - before)) *
           kEntityEntryBytes;
}

EntityTable encode_entities(std::span<const std::uint64_t> entries, std::string& out) {
    EntityTable table;
    table.entries = entries.size();
    for (std::size_t at = 0; at < entries.size(); at += kEntityPageEntries) {
        const std::size_t begin = out.size();
        const std::size_t end = std::min(at + kEntityPageEntries, entries.size());
        for (std::size_t i = at; i < end; ++i) put_fixed(out, entries[i]);
        table.pages.push_back({static_cast<std::uint32_t>(entries[at] >> kFingerprintShift),
                               crc32c(std::string_view(out).substr(begin))});
    }
    return table;
}

bool find_in_entity_page(std::string_view page, const EntityTable::Page& known,
                         std::uint32_t fingerprint, std::vector<std::uint32_t>& points,
                         bool& more) {
    more = false;
    if (page.size() < kEntityEntryBytes || crc32c(page) != known.crc) return false;
    const auto entry = [&](std::size_t i) {
        return load_fixed<std::uint64_t>(page.data() + i * kEntityEntryBytes);
    };
    if (entry(0) >> kFingerprintShift != known.first) return false;
    const std::size_t count = page.size() / kEntityEntryBytes;
    std::size_t low = 0;
    std::size_t high = count;
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (entry(middle) >> kFingerprintShift < fingerprint) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < count; ++low) {
        if (entry(low) >> kFingerprintShift != fingerprint) return true;
        points.push_back(static_cast<std::uint32_t>(entry(low)));
    }
    more = true;
    return true;
}

}  // namespace klog
