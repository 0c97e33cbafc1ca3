// The golden manifest: what it holds, and a set of segments as text.
#ifndef KLOG_TESTS_SUPPORT_MANIFEST_GOLDEN_H
#define KLOG_TESTS_SUPPORT_MANIFEST_GOLDEN_H

#include <fmt/format.h>

#include <string>

#include "segment/manifest_format.h"

namespace klog::testing {

// A segment that holds all the seqs that it covers.
inline SegmentEntry full_entry(LogId log, std::uint64_t id, std::uint64_t first,
                               std::uint64_t last) {
    SegmentEntry entry;
    entry.segment_id = id;
    entry.log_id = log;
    entry.covered = {{first}, {last}};
    entry.held = entry.covered;
    entry.records = last - first + 1;
    entry.payload_bytes = entry.records * 100;
    entry.first_time = {1'700'000'000'000'000 + static_cast<std::int64_t>(first)};
    entry.last_time = {1'700'000'000'000'000 + static_cast<std::int64_t>(last)};
    entry.file_bytes = entry.records * 20 + 1000;
    entry.root_bytes = 600;
    entry.root_hash = {0x0123456789abcdefULL ^ id, 0xfedcba9876543210ULL + id};
    return entry;
}

// A sound set, without a number yet: `segments` segments of ten seqs in the default log.
inline SegmentSetState numbered_set(std::uint64_t segments) {
    SegmentSetState state;
    for (std::uint8_t i = 0; i < 16; ++i) {
        state.store_uuid[i] = static_cast<std::uint8_t>(0xa0 + i);
        state.hash_key[i] = static_cast<std::uint8_t>(0x10 + i);
    }
    state.sealed = {segments + 1, 70'000, 0x12345678};
    for (std::uint64_t i = 0; i < segments; ++i) {
        state.logs[1].push_back(
            full_entry(LogId::default_log, state.next_segment_id++, i * 10 + 1, i * 10 + 10));
    }
    return state;
}

// Every shape that this version writes: two pages of one log, one segment of the other, one that
// holds nothing any more, garbage.
inline SegmentSetState golden_set() {
    SegmentSetState state = numbered_set(kManifestPageEntries + 1);
    state.number = 77;
    state.epoch = 3;
    state.logs[0].push_back(full_entry(LogId::system, state.next_segment_id++, 1, 7));
    SegmentEntry& merged = state.logs[1][1];
    merged.generation = 2;
    merged.held = {{12}, {19}};
    merged.records = 3;
    SegmentEntry& emptied = state.logs[1][2];
    emptied.held = {};
    emptied.records = 0;
    emptied.payload_bytes = 0;
    emptied.first_time = {};
    emptied.last_time = {};
    state.settings_checkpoint = {5, 11};
    state.garbage = {{LogId::default_log, state.next_segment_id++, {1'800'000'000'000'000}},
                     {LogId::system, state.next_segment_id++, {0}}};
    return state;
}

inline std::string dump_set(const SegmentSetState& s) {
    const auto range = [](const SeqRange& r) {
        return fmt::format("{}..{}", r.first.value, r.last.value);
    };
    std::string out = fmt::format(
        "number {} epoch {} uuid {:02x} hash_key {:02x} sealed {}@{} chain {:08x} next_segment {} "
        "checkpoints {} {}\n",
        s.number, s.epoch, fmt::join(s.store_uuid, ""), fmt::join(s.hash_key, ""), s.sealed.wal_id,
        s.sealed.end, s.sealed.chain, s.next_segment_id, s.settings_checkpoint[0],
        s.settings_checkpoint[1]);
    for (const auto& log : s.logs) {
        for (const SegmentEntry& e : log) {
            out += fmt::format(
                "log {} segment {} generation {} covered {} held {} records {} payload {} times "
                "{}..{} file {} root {} hash {:016x}{:016x} key_id {}\n",
                static_cast<std::uint32_t>(e.log_id), e.segment_id, e.generation, range(e.covered),
                range(e.held), e.records, e.payload_bytes, e.first_time.micros, e.last_time.micros,
                e.file_bytes, e.root_bytes, e.root_hash.hi, e.root_hash.lo, e.key_id);
        }
    }
    for (const SegmentGarbage& g : s.garbage) {
        out += fmt::format("garbage log {} segment {} not_before {}\n",
                           static_cast<std::uint32_t>(g.log_id), g.segment_id, g.not_before.micros);
    }
    return out;
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_MANIFEST_GOLDEN_H
