// What no set of segments may have, whether it was read or is about to be written.
#include <optional>
#include <string>
#include <unordered_set>

#include "segment/manifest_format.h"

namespace klog {

namespace {

std::string range_text(const SeqRange& range) {
    return std::to_string(range.first.value) + " to " + std::to_string(range.last.value);
}

std::string segment_text(const SegmentEntry& entry) {
    return "segment " + std::to_string(entry.segment_id) + " of log " +
           std::to_string(static_cast<std::uint32_t>(entry.log_id));
}

using Fault = std::optional<std::string>;

// What the entry says of itself.
Fault fault_in(const SegmentEntry& entry, std::uint64_t next_segment_id) {
    if (entry.segment_id == 0 || entry.segment_id >= next_segment_id) {
        return "its number is not below " + std::to_string(next_segment_id) + ", the next one";
    }
    if (entry.covered.empty() || entry.covered.first > entry.covered.last) {
        return "it covers no seq: " + range_text(entry.covered);
    }
    if (entry.held.empty() != (entry.records == 0)) {
        return "it holds " + std::to_string(entry.records) + " records, seqs " +
               range_text(entry.held);
    }
    if (entry.root_bytes > entry.file_bytes) return "its root is longer than its file";
    if (entry.held.empty()) return std::nullopt;
    if (entry.held.first > entry.held.last || !entry.covered.contains(entry.held.first) ||
        !entry.covered.contains(entry.held.last) ||
        entry.records - 1 > entry.held.last.value - entry.held.first.value) {
        return "it holds " + std::to_string(entry.records) + " records, seqs " +
               range_text(entry.held) + ", and covers " + range_text(entry.covered);
    }
    if (entry.first_time > entry.last_time) return "its times run backwards";
    return std::nullopt;
}

// Its ranges follow on each other from seq 1.
Fault fault_in_log(const SegmentSetState& state, LogId log,
                   std::unordered_set<std::uint64_t>& ids) {
    Seq upto{0};
    std::optional<Time> time;
    for (const SegmentEntry& entry : state.logs.at(static_cast<std::size_t>(log))) {
        const std::string name = segment_text(entry);
        if (entry.log_id != log) return name + " stands among those of another log";
        if (const Fault fault = fault_in(entry, state.next_segment_id)) return name + ": " + *fault;
        if (!ids.insert(entry.segment_id).second) return name + " is named twice";
        if (entry.covered.first.value != upto.value + 1) {
            const char* const what = entry.covered.first.value > upto.value ? "hole" : "overlap";
            return name + " covers seqs " + range_text(entry.covered) +
                   ", but what stands before it ends at " + std::to_string(upto.value) + ": " +
                   (entry.covered.first.value > upto.value ? "a " : "an ") + what;
        }
        upto = entry.covered.last;
        if (entry.held.empty()) continue;
        if (time && entry.first_time < *time) return name + " begins before the one in front of it";
        time = entry.last_time;
    }
    const std::uint64_t checkpoint = state.settings_checkpoint.at(static_cast<std::size_t>(log));
    if (checkpoint > upto.value) {
        return "the settings checkpoint of log " + std::to_string(static_cast<std::uint32_t>(log)) +
               " is seq " + std::to_string(checkpoint) + ", but its segments end at " +
               std::to_string(upto.value);
    }
    return std::nullopt;
}

Fault fault_in_set(const SegmentSetState& state) {
    if (state.number == 0) return "it has no number";
    if (state.sealed.wal_id != 0 && state.sealed.end < kWalFileHeaderBytes) {
        return "WAL file " + std::to_string(state.sealed.wal_id) + " is sealed up to offset " +
               std::to_string(state.sealed.end) + ", where none can end";
    }
    std::unordered_set<std::uint64_t> ids;
    for (const LogId log : {LogId::system, LogId::default_log}) {
        if (Fault fault = fault_in_log(state, log, ids)) return fault;
    }
    if (state.sealed.wal_id == 0 && !ids.empty()) return "it has segments, but no sealed WAL file";
    for (const SegmentGarbage& garbage : state.garbage) {
        const std::string name = "segment " + std::to_string(garbage.segment_id);
        if (static_cast<std::size_t>(garbage.log_id) >= state.logs.size()) {
            return name + ", which is to be removed, is of an unknown log";
        }
        if (garbage.segment_id == 0 || garbage.segment_id >= state.next_segment_id) {
            return name + ", which is to be removed, was never made";
        }
        if (!ids.insert(garbage.segment_id).second) {
            return name + " is to be removed, and counts or is named twice";
        }
    }
    return std::nullopt;
}

}  // namespace

Status check_segment_set(const SegmentSetState& state, Code code, const std::string& place) {
    const Fault fault = fault_in_set(state);
    if (!fault) return {};
    return Error{code, place + ": the set of segments contradicts itself: " + *fault,
                 code == Code::corrupt ? "nothing is deleted; restore the directory from a copy"
                                       : "keep a copy of the directory and report this"};
}

}  // namespace klog
