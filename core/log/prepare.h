// What can be found out about a batch before it is judged, outside any lock: are its records well
// formed, which entities and ids do they touch, and what do the runs know about those.
#ifndef KLOG_LOG_PREPARE_H
#define KLOG_LOG_PREPARE_H

#include <cstdint>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "index/memtable.h"
#include "index/runs.h"
#include "klog/log.h"
#include "log/consumers.h"
#include "segment/record_hash.h"

namespace klog {

[[nodiscard]] Hash128 write_digest(const HashKey& key, Kind kind, Encoding encoding,
                                   std::string_view topic, std::string_view value);
[[nodiscard]] Hash128 session_hash(const HashKey& key, const SessionId& session);

inline constexpr std::uint32_t kNoGuard = UINT32_MAX;

struct PreparedRecord {
    Hash128 entity;
    Hash128 id;
    Hash128 digest;
    std::optional<Error> error;     // it can't be written, whatever is there
    std::optional<HeadEntry> head;  // from the runs
    std::optional<IdEntry> known_id;
    std::uint32_t guard = kNoGuard;  // its place in WriteBatch::Looked
};

// A guard of an atomic batch.
struct PreparedGuard {
    bool of_entity = false;  // then `record` counts, for its entity and head; else record.guard
    PreparedRecord record;
};

struct WriteBatch::Prepared {
    std::vector<PreparedRecord> records;
    std::vector<PreparedGuard> guards;  // as many as the atomic part has
    std::optional<Error> error;         // of the atomic part as a whole: a limit
    Hash128 session;
    std::optional<SessionEntry> known_session;
    std::size_t bytes = 0;  // what it takes in memory, about
    // The generation of the runs that were asked.
    std::uint64_t runs_generation = ~0ULL;
    // Memtable::evictions when it was asked which entities memory knows: those were not looked up.
    std::uint64_t evictions = 0;
    // klog's own records: they may stand under $ and have kinds of their own.
    bool internal = false;
    // Of a batch that makes, moves or removes consumers: one for each record, whose topic and value
    // are filled in when it is judged.
    std::vector<ConsumerStep> steps;
    LogId log = LogId::default_log;
};

// Checks and hashes. Does not touch the runs.
void prepare_batch(WriteBatch& batch, const HashKey& key, std::uint64_t value_bytes_max);

// Asks the runs about every entity that memory does not know, and about ids and the session.
// head_in_memory: of the records, then of the guards of the atomic part.
Status look_up(WriteBatch& batch, const RunSet& runs, const std::vector<bool>& head_in_memory);

}  // namespace klog

#endif  // KLOG_LOG_PREPARE_H
