// What the log knows about entities, ids and sessions beyond its runs: for each hash the latest
// state, which may belong to a group that is not synced yet, and the durable one.
//
// Threads: none of its own; the pipeline's mutex guards it.
#ifndef KLOG_INDEX_MEMTABLE_H
#define KLOG_INDEX_MEMTABLE_H

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/siphash.h"
#include "index/runs.h"

namespace klog {

// Open addressing over slots that never move, so that a group can keep pointers to what it touched.
template <class Entry>
class StateTable {
public:
    struct Slot {
        Hash128 hash;
        Entry latest;
        Entry durable;
        std::uint64_t group =
            0;               // the unfinished group that `latest` belongs to; 0: latest is durable
        bool dirty = false;  // durable state that no run holds
    };

    [[nodiscard]] Slot* find(Hash128 hash) {
        if (table_.empty()) return nullptr;
        for (std::size_t at = hash.lo & mask_;; at = (at + 1) & mask_) {
            Slot* slot = table_[at];
            if (slot == nullptr || slot->hash == hash) return slot;
        }
    }

    // The slot of that hash, made with `durable` as its state where there was none.
    Slot& obtain(Hash128 hash, const Entry& durable) {
        if (Slot* known = find(hash)) return *known;
        if ((size_ + 1) * 2 > table_.size()) grow();
        Slot* slot = free_.empty() ? &pool_.emplace_back() : free_.back();
        if (!free_.empty()) free_.pop_back();
        *slot = Slot{hash, durable, durable, 0, false};
        insert(slot);
        ++size_;
        return *slot;
    }

    // A durable state from the log itself (recovery).
    void restore(Hash128 hash, const Entry& entry) {
        Slot& slot = obtain(hash, entry);
        slot.latest = entry;
        slot.durable = entry;
        slot.dirty = true;
    }

    // Copies out what no run holds, and takes it as written from here on.
    void collect_dirty(std::vector<std::pair<Hash128, Entry>>& out) {
        for (Slot* slot : table_) {
            if (slot == nullptr || !slot->dirty) continue;
            out.emplace_back(slot->hash, slot->durable);
            slot->dirty = false;
        }
    }

    // A run could not be written: what collect_dirty took is dirty again.
    void restore_dirty(const std::vector<std::pair<Hash128, Entry>>& entries) {
        for (const auto& entry : entries) {
            if (Slot* slot = find(entry.first)) slot->dirty = true;
        }
    }

    // Lets go of all that a run holds and no unfinished group uses.
    void evict_clean() {
        std::vector<Slot*> old;
        old.swap(table_);
        size_ = 0;
        std::vector<Slot*> kept;
        for (Slot* slot : old) {
            if (slot == nullptr) continue;
            if (slot->dirty || slot->group != 0) {
                kept.push_back(slot);
            } else {
                free_.push_back(slot);
            }
        }
        if (kept.empty()) {  // give the memory back
            pool_.clear();
            free_.clear();
            free_.shrink_to_fit();
            mask_ = 0;
            return;
        }
        resize(kept.size() * 4);
        for (Slot* slot : kept) insert(slot);
        size_ = kept.size();
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t bytes() const {
        return size_ * sizeof(Slot) + table_.size() * sizeof(void*);
    }
    template <class F>
    void for_each(F&& visit) const {
        for (const Slot* slot : table_) {
            if (slot != nullptr) visit(*slot);
        }
    }

private:
    static constexpr std::size_t kSlotsMin = 64;

    void insert(Slot* slot) {
        std::size_t at = slot->hash.lo & mask_;
        while (table_[at] != nullptr) at = (at + 1) & mask_;
        table_[at] = slot;
    }
    void resize(std::size_t wanted) {
        std::size_t n = kSlotsMin;
        while (n < wanted) n *= 2;
        table_.assign(n, nullptr);
        mask_ = n - 1;
    }
    void grow() {
        std::vector<Slot*> old;
        old.swap(table_);
        resize(old.empty() ? kSlotsMin : old.size() * 2);
        for (Slot* slot : old) {
            if (slot != nullptr) insert(slot);
        }
    }

    std::deque<Slot> pool_;
    std::vector<Slot*> free_;
    std::vector<Slot*> table_;
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
