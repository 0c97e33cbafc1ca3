// The bytes of one simulated file: what readers see, and what a crash may leave of it.
//
// A sector (512 bytes) is atomic: after a crash it holds what it held at the last sync or any
// content that it had since, each sector on its own. The size is one of those that the file had
// since the last sync. Cutting a file is ordered with its sizes: where the cut survived, nothing
// from before it shows behind it; where it was lost, nothing that was written after it shows there.
// A sector that never reached the disk inside a size that did holds zeros.
#ifndef KLOG_ENV_SIM_CONTENT_H
#define KLOG_ENV_SIM_CONTENT_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/siphash.h"
#include "env/sim_random.h"

namespace klog {

inline constexpr std::uint64_t kSectorBytes = 512;

// Not thread-safe. Copyable. Cost of each call: the sectors that it touches, or that are unsynced.
class SimContent {
public:
    [[nodiscard]] std::uint64_t size() const { return current_.size(); }
    [[nodiscard]] const std::string& bytes() const { return current_; }
    [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<char> buffer) const;
    void write(std::uint64_t offset, std::string_view data);
    void truncate(std::uint64_t size);

    // Makes durable what is dirty. Sectors whose sync failed before, and which nobody wrote since,
    // look clean and are left as uncertain as they were.
    void sync();
    // A failed sync: everything looks clean from now on, yet any of it may be lost in a crash.
    void fail_sync();
    // What is left is durable.
    void crash(CrashMode mode, SimRandom& random);

    // For tests; durable at once.
    void replace(std::string bytes);
    // For tests: damages what readers see and every state that a crash could leave.
    // Precondition: offset < size().
    void flip(std::uint64_t offset, std::uint8_t mask);

    // Sectors that a crash may take back.
    [[nodiscard]] std::size_t unsynced_sectors() const { return unsynced_.size(); }
    void hash_into(SipHash& hash) const;

private:
    struct Version {
        std::string bytes;  // at most a sector; zeros behind its end
        // The index in sizes_ of the cut that this version came after, or 0.
        std::size_t cut = 0;
    };
    struct Sector {
        std::vector<Version> earlier;  // the first is the durable one
        std::size_t cut = 0;           // of what readers see now
        bool dirty = true;             // a sync will write it
    };

    [[nodiscard]] std::string sector_bytes(std::uint64_t sector) const;
    Sector& remember(std::uint64_t sector);
    static std::string choose(Sector& sector, std::string newest, std::size_t size_index, bool keep,
                              SimRandom* between);

    std::string current_;
    std::map<std::uint64_t, Sector> unsynced_;  // by number of the sector
    std::vector<std::uint64_t> sizes_{0};       // durable, then each since, the newest last
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_CONTENT_H
