#include "segment/wal_spares.h"

#include <algorithm>
#include <charconv>

#include "base/assert.h"
#include "segment/wal_recovery.h"

namespace klog {

namespace {

constexpr std::uint64_t kChunkBytes = 256 * 1024;
// A flush in the background delays the commits beside it: it never carries more than this.
constexpr std::uint64_t kSyncBytes = 1U << 20U;

const std::string& zeros() {
    static const std::string kChunk(kChunkBytes, '\0');
    return kChunk;
}

Status fill(File& file, std::uint64_t bytes, bool sync) {
    std::uint64_t synced = 0;
    for (std::uint64_t at = 0; at < bytes;) {
        const std::uint64_t length = std::min(kChunkBytes, bytes - at);
        KLOG_TRY(file.write_at(at, std::string_view(zeros()).substr(0, length)));
        at += length;
        if (sync && (at - synced >= kSyncBytes || at == bytes)) {
            KLOG_TRY(file.sync_data());
            synced = at;
        }
    }
    return {};
}

Status take_room(File& file, std::uint64_t from, std::uint64_t to) {
    KLOG_TRY(file.reserve(from, to));
    return file.sync_data();
}

}  // namespace

std::string SparePool::path(const Spare& spare) const {
    return dir_ + "/" + kSparePrefix + std::to_string(spare.number);
}

Status SparePool::load(const std::vector<std::string>& names) {
    const std::size_t prefix = std::char_traits<char>::length(kSparePrefix);
    for (const std::string& name : names) {
        Spare spare;
        const char* end = name.data() + name.size();
        const auto [stop, error] = std::from_chars(name.data() + prefix, end, spare.number);
        if (error != std::errc() || stop != end || path(spare) != dir_ + "/" + name) continue;
        KLOG_TRY_ASSIGN(const auto file, env_.open(path(spare), OpenMode::read));
        KLOG_TRY_ASSIGN(spare.size, file->size());
        give_back(spare);
        const MutexLock lock(mutex_);
        next_number_ = std::max(next_number_, spare.number + 1);
    }
    return {};
}

Status SparePool::create_with(std::uint64_t bytes, const MakeRoom& make_room) {
    Spare spare{0, bytes};
    {
        const MutexLock lock(mutex_);
        spare.number = next_number_++;
    }
    KLOG_TRY_ASSIGN(const auto file, env_.open(path(spare), OpenMode::create_new));
    auto made = make_room(*file);
    if (!made.ok()) {
        // The room that it took must not stay taken. Should this fail too, the next open finds
        // the file and makes a spare of it.
        if (const auto removed = env_.remove(path(spare)); !removed.ok()) {
            made.error().message += "; " + removed.error().message;
        }
        return made;
    }
    give_back(spare);
    return {};
}

Status SparePool::create_unnamed(std::uint64_t bytes, bool sync) {
    return create_with(bytes, [&](File& file) { return fill(file, bytes, sync); });
}

Status SparePool::create(std::uint64_t bytes, Room room) {
    KLOG_TRY(create_with(bytes, [&](File& file) {
        return room == Room::zeros ? fill(file, bytes, true) : take_room(file, 0, bytes);
    }));
    return env_.sync_dir(dir_);
}

Status SparePool::ensure(std::size_t count, std::uint64_t bytes, std::uint64_t bytes_wanted) {
    while (this->count(bytes) < count) {
        // Enough of them, but too small: the largest that is. It is out of the pool meanwhile, so
        // that nobody waits for the disk to hear how many there are.
        std::optional<Spare> small;
        if (this->count() >= count) small = take_below(bytes);
        if (!small) {
            KLOG_TRY(create(std::max(bytes, bytes_wanted), Room::taken));
            continue;
        }
        auto grown = grow(*small, bytes);
        give_back(*small);
        KLOG_TRY(std::move(grown));
    }
    return {};
}

std::optional<Spare> SparePool::take_below(std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    const auto big = std::partition_point(spares_.begin(), spares_.end(),
                                          [&](const Spare& s) { return s.size < bytes; });
    if (big == spares_.begin()) return std::nullopt;
    const Spare small = *std::prev(big);
    spares_.erase(std::prev(big));
    return small;
}

Status SparePool::prepare(std::size_t count, std::uint64_t bytes, Room room) {
    while (this->count(bytes) < count) KLOG_TRY(create(bytes, room));
    return remove_surplus(count, bytes);
}

Status SparePool::remove_surplus(std::size_t count, std::uint64_t bytes) {
    while (true) {
        Spare small;
        {
            const MutexLock lock(mutex_);
            if (spares_.size() <= count || spares_.front().size >= bytes) return {};
            small = spares_.front();
            spares_.erase(spares_.begin());
        }
        KLOG_TRY(env_.remove(path(small)));
    }
}

Status SparePool::adopt(const std::string& file_path, std::uint64_t bytes,
                        std::uint64_t bytes_wanted) {
    Spare spare{0, bytes};
    {
        const MutexLock lock(mutex_);
        spare.number = next_number_++;
    }
    KLOG_TRY(env_.rename(file_path, path(spare)));
    // One that stays as long as it is will do, too.
    static_cast<void>(grow(spare, bytes_wanted));
    give_back(spare);
    return {};
}

Spare SparePool::take() {
    const MutexLock lock(mutex_);
    KLOG_ASSERT(!spares_.empty());
    const Spare spare = spares_.back();
    spares_.pop_back();
    return spare;
}

void SparePool::give_back(const Spare& spare) {
    const MutexLock lock(mutex_);
    const auto at = std::partition_point(spares_.begin(), spares_.end(),
                                         [&](const Spare& s) { return s.size <= spare.size; });
    spares_.insert(at, spare);
}

Status SparePool::grow(Spare& spare, std::uint64_t bytes) {
    if (spare.size >= bytes) return {};
    KLOG_TRY_ASSIGN(const auto file, env_.open(path(spare), OpenMode::read_write));
    auto taken = take_room(*file, spare.size, bytes);
    if (!taken.ok()) {
        // A spare that stays longer than it is known to be does no harm but the room it takes.
        if (const auto cut = file->truncate(spare.size); !cut.ok()) {
            taken.error().message += "; " + cut.error().message;
        }
        return taken;
    }
    spare.size = bytes;
    return {};
}

std::size_t SparePool::count(std::uint64_t bytes_min) const {
    const MutexLock lock(mutex_);
    const auto big = std::partition_point(spares_.begin(), spares_.end(),
                                          [&](const Spare& s) { return s.size < bytes_min; });
    return static_cast<std::size_t>(spares_.end() - big);
}

std::uint64_t SparePool::largest() const {
    const MutexLock lock(mutex_);
    return spares_.empty() ? 0 : spares_.back().size;
}

std::uint64_t SparePool::bytes() const {
    const MutexLock lock(mutex_);
    std::uint64_t sum = 0;
    for (const Spare& spare : spares_) sum += spare.size;
    return sum;
}

}  // namespace klog
