// For a deep look at a data directory: whether the versions of each entity follow on each other
// without a gap over the whole log, and what the newest one is.
//
// Memory: 24 bytes for each place of a table that is at most three quarters full, so up to 400 MB
// for kEntitiesMax entities (and half as much again while it grows). Entities that come later than
// that are not looked at.
// Threads: one at a time.
#ifndef KLOG_LOG_VERIFY_VERSIONS_H
#define KLOG_LOG_VERIFY_VERSIONS_H

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

class VersionVerifier {
public:
    static constexpr std::size_t kEntitiesMax = 10'000'000;

    struct Newest {
        Version version;
        Seq seq;
    };

    explicit VersionVerifier(std::size_t entities_max = kEntitiesMax)
        : entities_max_(entities_max) {}

    // The next record of a log; those up to the newest seq that was seen are passed over, so that
    // what was merged or sealed meanwhile may be read twice. Errors: corrupt (a gap; says no
    // place).
    Status add(LogId log, const HashKey& key, const RecordView& record);
    // A part of the log cannot be read, so what follows on it says nothing any more.
    void give_up(LogId log) { whole_[static_cast<std::size_t>(log)] = false; }

    // False: records are missing, so that nothing can be said of this log.
    [[nodiscard]] bool whole(LogId log) const { return whole_[static_cast<std::size_t>(log)]; }
    // True: there were more entities than it may hold.
    [[nodiscard]] bool overflowed() const { return overflowed_; }
    [[nodiscard]] std::size_t entities_max() const { return entities_max_; }
    [[nodiscard]] Seq last_seq(LogId log) const {
        return last_seqs_[static_cast<std::size_t>(log)];
    }
    // nullopt: it has no record, or is one too many.
    [[nodiscard]] std::optional<Newest> find(LogId log, const Hash128& entity) const;
    // How many entities have their newest record behind `after` and up to `upto`.
    [[nodiscard]] std::uint64_t count(LogId log, Seq after, Seq upto) const;

private:
    struct Slot {
        std::uint64_t fingerprint = 0;  // 0: free; the lowest bit is the log
        std::uint64_t version = 0;
        std::uint64_t seq = 0;
    };
    [[nodiscard]] static std::uint64_t fingerprint_of(LogId log, const Hash128& entity);
    // The slot of it, or the free one where it belongs. Precondition: there is a free one.
    [[nodiscard]] std::size_t place_of(std::uint64_t fingerprint) const;
    void grow();

    const std::size_t entities_max_;
    std::vector<Slot> slots_;  // their number is a power of two, or 0
    std::size_t used_ = 0;
    bool overflowed_ = false;
    std::array<bool, 2> whole_{true, true};
    std::array<Seq, 2> last_seqs_{};
};

}  // namespace klog

#endif  // KLOG_LOG_VERIFY_VERSIONS_H
