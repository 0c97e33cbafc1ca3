// Of each entity the seq that was put last, for entities whose hashes lie in an interval. Where
// there is no memory for another one the interval is halved, and what lies outside is forgotten.
//
// Threads: one.
#ifndef KLOG_LOG_NEWEST_TABLE_H
#define KLOG_LOG_NEWEST_TABLE_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/siphash.h"
#include "klog/types.h"
#include "log/byte_budget.h"

namespace klog {

class NewestTable {
public:
    // It begins with this many slots, and doubles them.
    static constexpr std::size_t kSlotsMin = 1024;
    static constexpr std::uint64_t kSlotBytes = 24;

    // Memory is taken from `share`, which must outlive this.
    explicit NewestTable(ByteShare& share) : share_(share) {}
    ~NewestTable() { release(); }
    NewestTable(const NewestTable&) = delete;
    NewestTable& operator=(const NewestTable&) = delete;

    // Empty, for hashes whose upper half lies in [first, last].
    void begin(std::uint64_t first, std::uint64_t last);
    enum class Put : std::uint8_t { done, outside, full };
    // full: nothing has changed. halve(), or give up.
    [[nodiscard]] Put put(const Hash128& entity, Seq seq);
    // Forgets the upper half of the interval. Precondition: last() > first().
    void halve();
    void release();

    [[nodiscard]] std::uint64_t first() const { return first_; }
    [[nodiscard]] std::uint64_t last() const { return last_; }
    [[nodiscard]] std::uint64_t entities() const { return used_; }
    [[nodiscard]] std::uint64_t bytes() const { return slots_.size() * kSlotBytes; }
    // How many entities it could hold in the memory that it has.
    [[nodiscard]] std::uint64_t room() const { return entities_max(slots_.size()); }

    // The slots are numbered; Seq{}: an empty one.
    [[nodiscard]] std::size_t slots() const { return slots_.size(); }
    [[nodiscard]] Seq seq_in(std::size_t slot) const { return slots_[slot].seq; }

private:
    struct Slot {
        Hash128 entity;
        Seq seq;  // 0: empty
    };
    static_assert(sizeof(Slot) == kSlotBytes);

    [[nodiscard]] static std::size_t entities_max(std::size_t slots) { return slots / 8 * 7; }
    [[nodiscard]] std::size_t home(const Hash128& entity) const;
    [[nodiscard]] std::size_t find(const Hash128& entity) const;
    [[nodiscard]] bool grow();
    void erase(std::size_t slot);

    ByteShare& share_;
    std::vector<Slot> slots_;  // open addressing; a power of two of them
    std::uint64_t used_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t last_ = ~0ULL;
};

}  // namespace klog

#endif  // KLOG_LOG_NEWEST_TABLE_H
