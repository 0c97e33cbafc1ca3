#include "log/newest_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace klog {

void NewestTable::begin(std::uint64_t first, std::uint64_t last) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    used_ = 0;
    first_ = first;
    last_ = last;
}

// The lower half of a hash is as good as random, and the interval does not narrow it.
std::size_t NewestTable::home(const Hash128& entity) const {
    return static_cast<std::size_t>(entity.lo) & (slots_.size() - 1);
}

// The entity's slot, or the empty one where it belongs.
std::size_t NewestTable::find(const Hash128& entity) const {
    std::size_t slot = home(entity);
    while (slots_[slot].seq != Seq{} && slots_[slot].entity != entity) {
        slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
}

NewestTable::Put NewestTable::put(const Hash128& entity, Seq seq) {
    if (entity.hi < first_ || entity.hi > last_) return Put::outside;
    if (slots_.empty() && !grow()) return Put::full;
    std::size_t slot = find(entity);
    if (slots_[slot].seq == Seq{}) {
        if (used_ >= entities_max(slots_.size())) {
            if (!grow()) return Put::full;
            slot = find(entity);
        }
        ++used_;
        slots_[slot].entity = entity;
    }
    slots_[slot].seq = seq;
    return Put::done;
}

// While it grows the old slots are there too; both are counted.
bool NewestTable::grow() {
    const std::size_t size = std::max(kSlotsMin, slots_.size() * 2);
    if (!share_.take(size * kSlotBytes)) return false;
    const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(size));
    for (const Slot& slot : before) {
        if (slot.seq != Seq{}) slots_[find(slot.entity)] = slot;
    }
    share_.give_back(before.size() * kSlotBytes);
    return true;
}

void NewestTable::halve() {
    KLOG_ASSERT(last_ > first_);
    last_ = first_ + (last_ - first_) / 2;
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
        while (slots_[slot].seq != Seq{} && slots_[slot].entity.hi > last_) erase(slot);
    }
}

// Moves up what would no longer be found from its home.
void NewestTable::erase(std::size_t slot) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t hole = slot;
    for (std::size_t at = (hole + 1) & mask; slots_[at].seq != Seq{}; at = (at + 1) & mask) {
        const std::size_t away = (at - home(slots_[at].entity)) & mask;
        if (away < ((at - hole) & mask)) continue;
        slots_[hole] = slots_[at];
        hole = at;
    }
    slots_[hole] = Slot{};
    --used_;
}

void NewestTable::release() {
    share_.give_back(bytes());
    slots_ = {};
    used_ = 0;
}

}  // namespace klog
