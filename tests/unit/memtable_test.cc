#include "index/memtable.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace klog {
namespace {

constexpr Hash128 kHash{1, 2};

HeadEntry head(std::uint64_t version) {
    return HeadEntry{EntityState::live, Version{version}, Seq{version * 10}};
}
IdEntry id(std::uint64_t seq) { return IdEntry{Hash128{7, 8}, Seq{seq}, Version{3}, Time{4}}; }

}  // namespace

TEST_CASE("memtable: a head comes back as it was put in") {
    for (const EntityState state :
         {EntityState::absent, EntityState::live, EntityState::deleted, EntityState::closed}) {
        for (const std::uint64_t version : {0ULL, 1ULL, (1ULL << 62U) - 1}) {
            const HeadEntry entry{state, Version{version}, Seq{UINT64_MAX}};
            CHECK(HeadEntry(PackedHead(entry)) == entry);
        }
    }
}

TEST_CASE("memtable: what a group publishes lies below what a later one wrote") {
    HeadTable table;
    HeadTable::Slot& slot = table.obtain(kHash, head(1));
    slot.write(head(2), 5);
    CHECK(HeadEntry(slot.latest) == head(2));
    CHECK(HeadEntry(slot.durable) == head(1));
    slot.write(head(3), 6);
    slot.publish(head(2), 5);
    CHECK(HeadEntry(slot.latest) == head(3));
    CHECK(HeadEntry(slot.durable) == head(2));

    SUBCASE("the later one fails") {
        slot.drop();
        CHECK(HeadEntry(slot.latest) == head(2));
    }
    SUBCASE("the later one is published") {
        slot.publish(head(3), 6);
        CHECK(HeadEntry(slot.durable) == head(3));
    }
    std::vector<std::pair<Hash128, HeadEntry>> dirty;
    table.collect_dirty(dirty);
    REQUIRE(dirty.size() == 1);
    CHECK(dirty[0] == std::pair(kHash, HeadEntry(slot.durable)));
    table.evict_clean();
    CHECK(table.size() == 0);
}

TEST_CASE("memtable: a slot stays while an unfinished group uses it, or no run holds it") {
    IdTable table;
    IdTable::Slot& slot = table.obtain(kHash, IdEntry{});
    slot.write(id(9), 5);
    std::vector<std::pair<Hash128, IdEntry>> dirty;
    table.collect_dirty(dirty);
    CHECK(dirty.empty());  // it is not durable yet
    table.evict_clean();
    CHECK(table.find(kHash) == &slot);

    slot.publish(id(9), 5);
    table.evict_clean();
    CHECK(table.find(kHash) == &slot);
    table.collect_dirty(dirty);
    REQUIRE(dirty.size() == 1);
    CHECK(dirty[0].second == id(9));
    table.restore_dirty(dirty);
    table.evict_clean();
    CHECK(table.find(kHash) == &slot);
    dirty.clear();
    table.collect_dirty(dirty);
    CHECK(dirty.size() == 1);
    table.evict_clean();
    CHECK(table.find(kHash) == nullptr);
}

TEST_CASE("memtable: an id of a group that failed is not known") {
    IdTable table;
    IdTable::Slot& slot = table.obtain(kHash, IdEntry{});
    slot.write(id(9), 5);
    CHECK(slot.latest == id(9));
    slot.drop();
    CHECK(slot.latest == IdEntry{});
    std::vector<std::pair<Hash128, IdEntry>> dirty;
    table.collect_dirty(dirty);
    CHECK(dirty.empty());
}

// How many fit into memtable_bytes_max decides how often a run is written, and how many are asked.
TEST_CASE("memtable: slots are small") {
    CHECK(sizeof(HeadTable::Slot) == 56);
    CHECK(sizeof(IdTable::Slot) == 64);
}

}  // namespace klog
