#include "env/sim_content.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace klog {
namespace {

// Of a sector that is written over and over without a sync, so many states are kept; the durable
// one and the newest always.
constexpr std::size_t kVersionsMax = 6;

std::uint64_t sectors_of(std::uint64_t bytes) { return (bytes + kSectorBytes - 1) / kSectorBytes; }

}  // namespace

std::size_t SimContent::read(std::uint64_t offset, std::span<char> buffer) const {
    if (offset >= current_.size()) return 0;
    const std::size_t n = std::min<std::size_t>(buffer.size(), current_.size() - offset);
    std::copy_n(current_.data() + offset, n, buffer.data());
    return n;
}

std::string SimContent::sector_bytes(std::uint64_t sector) const {
    const std::uint64_t begin = sector * kSectorBytes;
    if (begin >= current_.size()) return {};
    return current_.substr(begin, kSectorBytes);
}

// Called before a sector changes.
SimContent::Sector& SimContent::remember(std::uint64_t number) {
    Sector& sector = unsynced_[number];
    std::vector<Version>& earlier = sector.earlier;
    earlier.push_back({sector_bytes(number), sector.cut});
    // The only version behind a cut stays: without it bytes from before the cut would come back.
    if (earlier.size() > kVersionsMax &&
        (earlier[1].cut == earlier[0].cut || earlier[1].cut == earlier[2].cut)) {
        earlier.erase(earlier.begin() + 1);
    }
    sector.dirty = true;
    return sector;
}

void SimContent::write(std::uint64_t offset, std::string_view data) {
    if (data.empty()) return;
    const std::uint64_t end = offset + data.size();
    for (std::uint64_t s = offset / kSectorBytes; s < sectors_of(end); ++s) remember(s);
    if (end > current_.size()) {
        current_.resize(end);
        sizes_.push_back(end);
    }
    current_.replace(offset, data.size(), data);
}

void SimContent::truncate(std::uint64_t size) {
    if (size == current_.size()) return;
    const std::size_t cut = sizes_.size();
    for (std::uint64_t s = size / kSectorBytes; s < sectors_of(current_.size()); ++s) {
        remember(s).cut = cut;
    }
    current_.resize(size);
    sizes_.push_back(size);
}

void SimContent::sync() {
    for (auto at = unsynced_.begin(); at != unsynced_.end();) {
        Sector& sector = at->second;
        if (sector.dirty) {
            at = unsynced_.erase(at);
            continue;
        }
        // The sizes are durable now, and with them the cuts.
        std::erase_if(sector.earlier, [&](const Version& v) { return v.cut < sector.cut; });
        for (Version& version : sector.earlier) version.cut = 0;
        sector.cut = 0;
        at = sector.earlier.empty() ? unsynced_.erase(at) : std::next(at);
    }
    sizes_.assign(1, current_.size());
}

void SimContent::fail_sync() {
    for (auto& [number, sector] : unsynced_) sector.dirty = false;
}

// `between`: where given, a version between the durable and the newest may come out.
std::string SimContent::choose(Sector& sector, std::string newest, std::size_t size_index,
                               bool keep, SimRandom* between) {
    std::vector<Version>& versions = sector.earlier;
    versions.push_back({std::move(newest), sector.cut});
    std::size_t last_cut = 0;
    for (const Version& version : versions) {
        if (version.cut <= size_index) last_cut = std::max(last_cut, version.cut);
    }
    std::erase_if(versions, [&](const Version& v) { return v.cut != last_cut; });
    KLOG_ASSERT(!versions.empty());
    std::size_t index = keep ? versions.size() - 1 : 0;
    if (between != nullptr && versions.size() > 2 && between->chance(1, 4)) {
        index = static_cast<std::size_t>(between->below(versions.size()));
    }
    return std::move(versions[index].bytes);
}

void SimContent::crash(CrashMode mode, SimRandom& random) {
    SimRandom* const between = mode == CrashMode::random ? &random : nullptr;
    CrashChoice choice(mode, unsynced_.size(), random);
    CrashChoice size_choice(mode, 1, random);
    std::size_t size_index = size_choice.keep() ? sizes_.size() - 1 : 0;
    if (between != nullptr && sizes_.size() > 2 && random.chance(1, 4)) {
        size_index = static_cast<std::size_t>(random.below(sizes_.size()));
    }
    const std::uint64_t size = sizes_[size_index];
    std::map<std::uint64_t, std::string> chosen;
    for (auto& [number, sector] : unsynced_) {
        chosen[number] = choose(sector, sector_bytes(number), size_index, choice.keep(), between);
    }
    current_.resize(size);
    for (auto& [number, bytes] : chosen) {
        const std::uint64_t begin = number * kSectorBytes;
        if (begin >= size) break;
        bytes.resize(std::min(kSectorBytes, size - begin));
        current_.replace(begin, bytes.size(), bytes);
    }
    unsynced_.clear();
    sizes_.assign(1, size);
}

void SimContent::replace(std::string bytes) {
    current_ = std::move(bytes);
    unsynced_.clear();
    sizes_.assign(1, current_.size());
}

void SimContent::flip(std::uint64_t offset, std::uint8_t mask) {
    KLOG_ASSERT(offset < current_.size());
    const auto damage = [mask](char& c) {
        c = static_cast<char>(static_cast<unsigned char>(c) ^ mask);
    };
    damage(current_[offset]);
    const auto found = unsynced_.find(offset / kSectorBytes);
    if (found == unsynced_.end()) return;
    const std::size_t within = offset % kSectorBytes;
    for (Version& version : found->second.earlier) {
        if (within < version.bytes.size()) damage(version.bytes[within]);
    }
}

void SimContent::hash_into(SipHash& hash) const {
    hash.update_u64(current_.size());
    hash.update(current_);
    hash.update_u64(unsynced_.size());
    for (const auto& [number, sector] : unsynced_) {
        hash.update_u64(number);
        hash.update_u64(sector.dirty ? 1 : 0);
        hash.update_u64(sector.earlier.size());
        for (const Version& version : sector.earlier) {
            hash.update_u64(version.cut);
            hash.update_u64(version.bytes.size());
            hash.update(version.bytes);
        }
    }
    hash.update_u64(sizes_.size());
    for (const std::uint64_t size : sizes_) hash.update_u64(size);
}

}  // namespace klog
