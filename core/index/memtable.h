// What the log knows about entities, ids and sessions beyond its runs: for each hash the latest
// state, which may belong to a group that is not synced yet, and the durable one.
//
// A slot is small, since its size says how many of them fit between two runs.
//
// Threads: none of its own; the pipeline's mutex guards it.
#ifndef KLOG_INDEX_MEMTABLE_H
#define KLOG_INDEX_MEMTABLE_H

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/siphash.h"
#include "index/runs.h"

namespace klog {

// A head as a slot keeps it.
class PackedHead {
public:
    PackedHead() = default;
    // Precondition: version < 2^62. NOLINTNEXTLINE(google-explicit-constructor)
    PackedHead(const HeadEntry& entry)
        : version_and_state_(entry.version.value << kStateBits |
                             static_cast<std::uint64_t>(entry.state)),
          last_seq_(entry.last_seq) {
        KLOG_ASSERT(entry.version.value <= UINT64_MAX >> kStateBits);
    }
    // NOLINTNEXTLINE(google-explicit-constructor)
    operator HeadEntry() const {
        return {static_cast<EntityState>(version_and_state_ & ((1U << kStateBits) - 1)),
                Version{version_and_state_ >> kStateBits}, last_seq_};
    }

private:
    static constexpr unsigned kStateBits = 2;
    std::uint64_t version_and_state_ = 0;
    Seq last_seq_;
};

template <class Entry>
struct Stored {
    using Type = Entry;
};
template <>
struct Stored<HeadEntry> {
    using Type = PackedHead;
};

// The two states of a slot.
template <class Entry>
struct SlotStates {
    typename Stored<Entry>::Type latest;
    typename Stored<Entry>::Type durable;
    SlotStates() = default;
    explicit SlotStates(const Entry& both) : latest(both), durable(both) {}
    void set_durable(const Entry& entry) { durable = entry; }
    void drop_latest() { latest = durable; }
    [[nodiscard]] Entry durable_state() const { return durable; }
};
// An id is written once, and what is below its one state is that nobody knows it.
template <>
struct SlotStates<IdEntry> {
    IdEntry latest;
    SlotStates() = default;
    explicit SlotStates(const IdEntry& both) : latest(both) {}
    void set_durable(const IdEntry& entry) { latest = entry; }
    void drop_latest() { latest = IdEntry{}; }
    // Precondition: no unfinished group wrote it.
    [[nodiscard]] const IdEntry& durable_state() const { return latest; }
};

// Open addressing over slots that never move, so that a group can keep pointers to what it touched.
// A cell holds a fingerprint beside the slot's number, so that a hash that is not there touches no
// slot.
template <class Entry>
class StateTable {
public:
    class Slot : public SlotStates<Entry> {
    public:
        Hash128 hash;

        // The latest state becomes that of an unfinished group. Precondition: 0 < group < 2^62.
        void write(const Entry& entry, std::uint64_t group) {
            this->latest = entry;
            mark_ = group << kGroupShift | (mark_ & kFlags);
        }
        // What that group wrote is durable; what a later one wrote stays the latest.
        void publish(const Entry& entry, std::uint64_t group) {
            this->set_durable(entry);
            mark_ |= kDirty;
            if (mark_ >> kGroupShift == group) mark_ &= kFlags;
        }
        // No unfinished group is going to be written.
        void drop() {
            this->drop_latest();
            mark_ &= kFlags;
        }

    private:
        friend class StateTable;
        static constexpr std::uint64_t kUsed = 1;   // the table's own
        static constexpr std::uint64_t kDirty = 2;  // a durable state that no run holds
        static constexpr std::uint64_t kFlags = kUsed | kDirty;
        static constexpr unsigned kGroupShift = 2;
        [[nodiscard]] bool used() const { return (mark_ & kUsed) != 0; }
        [[nodiscard]] bool dirty() const { return (mark_ & kDirty) != 0; }

        // Flags, and above them the unfinished group that `latest` belongs to; 0: it is durable.
        std::uint64_t mark_ = 0;
    };

    [[nodiscard]] Slot* find(Hash128 hash) const {
        if (cells_.empty()) return nullptr;
        for (std::size_t at = hash.lo & mask_;; at = (at + 1) & mask_) {
            const Cell cell = cells_[at];
            if (cell.slot == kNoSlot) return nullptr;
            if (cell.fingerprint != fingerprint(hash)) continue;
            if (Slot& slot = slot_at(cell.slot); slot.hash == hash) return &slot;
        }
    }
    // That find() of it is about to follow.
    void prefetch(Hash128 hash) const {
        if (!cells_.empty()) __builtin_prefetch(&cells_[hash.lo & mask_]);
    }

    // The slot of that hash, made with `durable` as its state where there was none.
    Slot& obtain(Hash128 hash, const Entry& durable) {
        if (Slot* known = find(hash)) return *known;
        if ((size_ + 1) * kLoadOf > cells_.size() * kLoadPart) grow();
        const std::uint32_t number = take_slot();
        Slot& slot = slot_at(number);
        static_cast<SlotStates<Entry>&>(slot) = SlotStates<Entry>(durable);
        slot.hash = hash;
        slot.mark_ = Slot::kUsed;
        insert(hash, number);
        ++size_;
        return slot;
    }

    // A durable state from the log itself (recovery).
    void restore(Hash128 hash, const Entry& entry) {
        Slot& slot = obtain(hash, entry);
        slot.latest = entry;
        slot.set_durable(entry);
        slot.mark_ |= Slot::kDirty;
    }

    // Copies out what no run holds, and takes it as written from here on.
    void collect_dirty(std::vector<std::pair<Hash128, Entry>>& out) {
        out.reserve(out.size() + size_);
        each_slot([&](std::uint32_t, Slot& slot) {
            if (!slot.dirty()) return;
            out.emplace_back(slot.hash, slot.durable_state());
            slot.mark_ &= ~Slot::kDirty;
        });
    }

    // A run could not be written: what collect_dirty took is dirty again.
    void restore_dirty(const std::vector<std::pair<Hash128, Entry>>& entries) {
        for (const auto& entry : entries) {
            if (Slot* slot = find(entry.first)) slot->mark_ |= Slot::kDirty;
        }
    }

    // Lets go of all that a run holds and no unfinished group uses.
    void evict_clean() {
        std::vector<std::pair<Hash128, std::uint32_t>> kept;
        std::vector<std::uint32_t> freed;
        each_slot([&](std::uint32_t number, Slot& slot) {
            if (slot.mark_ != Slot::kUsed) {
                kept.emplace_back(slot.hash, number);
            } else {
                slot.mark_ = 0;
                freed.push_back(number);
            }
        });
        free_.insert(free_.end(), freed.begin(), freed.end());
        size_ = kept.size();
        if (kept.empty()) {  // give the memory back
            *this = StateTable{};
            return;
        }
        resize(kept.size() * 4);
        for (const auto& [hash, number] : kept) insert(hash, number);
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t bytes() const {
        return size_ * sizeof(Slot) + cells_.size() * sizeof(Cell);
    }
    template <class F>
    void for_each(F&& visit) const {
        each_slot([&](std::uint32_t, const Slot& slot) { visit(slot); });
    }

private:
    struct Cell {
        std::uint32_t fingerprint = 0;
        std::uint32_t slot = UINT32_MAX;
    };
    static constexpr std::uint32_t kNoSlot = UINT32_MAX;
    static constexpr std::size_t kCellsMin = 64;
    static constexpr std::size_t kLoadPart = 2;  // at the most so many of kLoadOf cells are taken
    static constexpr std::size_t kLoadOf = 3;
    static constexpr std::uint32_t kChunkSlots = 128;

    static std::uint32_t fingerprint(Hash128 hash) { return static_cast<std::uint32_t>(hash.hi); }
    [[nodiscard]] Slot& slot_at(std::uint32_t number) const {
        return chunks_[number / kChunkSlots][number % kChunkSlots];
    }
    std::uint32_t take_slot() {
        if (!free_.empty()) {
            const std::uint32_t number = free_.back();
            free_.pop_back();
            return number;
        }
        KLOG_ASSERT(slots_ < kNoSlot);
        if (slots_ % kChunkSlots == 0) chunks_.push_back(std::make_unique<Slot[]>(kChunkSlots));
        return slots_++;
    }
    // In the order of memory, which is much faster than that of the cells.
    template <class F>
    void each_slot(F&& visit) const {
        for (std::uint32_t number = 0; number < slots_; ++number) {
            if (Slot& slot = slot_at(number); slot.used()) visit(number, slot);
        }
    }
    void insert(Hash128 hash, std::uint32_t number) {
        std::size_t at = hash.lo & mask_;
        while (cells_[at].slot != kNoSlot) at = (at + 1) & mask_;
        cells_[at] = Cell{fingerprint(hash), number};
    }
    void resize(std::size_t wanted) {
        std::size_t n = kCellsMin;
        while (n < wanted) n *= 2;
        cells_.assign(n, Cell{});
        mask_ = n - 1;
    }
    void grow() {
        resize(cells_.empty() ? kCellsMin : cells_.size() * 2);
        each_slot([this](std::uint32_t number, Slot& slot) { insert(slot.hash, number); });
    }

    std::vector<std::unique_ptr<Slot[]>> chunks_;
    std::uint32_t slots_ = 0;  // that were ever taken
    std::vector<std::uint32_t> free_;
    std::vector<Cell> cells_;
    std::size_t mask_ = 0;
    std::size_t size_ = 0;
};

using HeadTable = StateTable<HeadEntry>;
using IdTable = StateTable<IdEntry>;
using SessionTable = StateTable<SessionEntry>;

struct Memtable {
    HeadTable heads;
    IdTable ids;
    SessionTable sessions;
    // Counts evict_clean(): who saw a slot here finds it only as long as this stays the same.
    std::uint64_t evictions = 0;
    void evict_clean() {
        heads.evict_clean();
        ids.evict_clean();
        sessions.evict_clean();
        ++evictions;
    }
    // Everything goes. Precondition: no unfinished group points here.
    void forget() {
        heads = {};
        ids = {};
        sessions = {};
        ++evictions;
    }
    // For who never judges a write.
    void forget_ids() {
        ids = {};
        sessions = {};
    }
    [[nodiscard]] std::size_t bytes() const {
        return heads.bytes() + ids.bytes() + sessions.bytes();
    }
};

}  // namespace klog

#endif  // KLOG_INDEX_MEMTABLE_H
