#include "log/prepare_atomic.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "log/guards.h"
#include "log/prepare.h"
#include "topic/topic.h"

namespace klog {
namespace {

struct HashOfHash {
    std::size_t operator()(const Hash128& hash) const { return hash.lo; }
};
// Hash to the line that had it first.
using Lines = std::unordered_map<Hash128, std::uint64_t, HashOfHash>;

Error too_large(std::string_view what, std::size_t there, std::size_t limit) {
    return Error{Code::batch_too_large,
                 "the batch holds " + std::to_string(there) + " " + std::string(what) +
                     ", the limit is " + std::to_string(limit),
                 "split it, if its parts need not be atomic together"};
}

std::optional<Error> past_limit(const WriteBatch& batch, std::uint64_t value_bytes_max) {
    const AtomicPart& atomic = *batch.atomic;
    const std::size_t items = batch.records.size() + atomic.guards.size() + atomic.acks.size();
    if (items > Limits::kBatchItemsMax) {
        return too_large("records, guards and acks", items, Limits::kBatchItemsMax);
    }
    std::uint64_t bytes = 0;
    for (const WriteRecord& record : batch.records) {
        bytes += record.topic.size() + record.key.size() + record.id.size() +
                 record.headers.size() + record.value.size();
    }
    // One value of the largest size has room, with all that may stand beside it.
    constexpr std::uint64_t kBesideValueMax = Limits::kTopicBytesMax + Limits::kKeyBytesMax +
                                              Limits::kIdBytesMax + 2 * Limits::kHeadersBytesMax;
    const std::uint64_t bytes_max =
        std::max<std::uint64_t>(Limits::kBatchBytesMax, value_bytes_max + kBesideValueMax);
    if (bytes > bytes_max) return too_large("bytes", bytes, bytes_max);
    std::size_t filters = 0;
    if (batch.looked) {
        for (const GuardLook& look : batch.looked->guards) {
            filters += look.guard->none.size() + look.guard->not_filters.size();
        }
    }
    if (filters > Limits::kBatchGuardFiltersMax) {
        return too_large("filters in guards", filters, Limits::kBatchGuardFiltersMax);
    }
    return std::nullopt;
}

Error twice(std::string_view what, std::uint64_t line) {
    return Error{Code::bad_record,
                 "an atomic batch has at most one " + std::string(what) + ", and line " +
                     std::to_string(line) + " has one already",
                 {}};
}

std::optional<Error> bad_guard(const BatchGuard& guard) {
    if (Status status = check_space(guard.space); !status) return std::move(status).error();
    if (Status status = check_key(guard.key); !status) return std::move(status).error();
    if (guard.expect.form == Expect::Form::any) {
        return Error{Code::bad_record, "a guard of an entity expects something of it",
                     "\"expect\": a version, \"absent\" or \"exists\""};
    }
    return std::nullopt;
}

void check_once(Lines& lines, const Hash128& hash, std::uint64_t line, std::string_view what,
                std::optional<Error>& error) {
    const auto [known, first] = lines.emplace(hash, line);
    if (!first) error = twice(what, known->second);
}

}  // namespace

void prepare_atomic(WriteBatch& batch, const HashKey& key, std::uint64_t value_bytes_max) {
    WriteBatch::Prepared& prepared = *batch.prepared;
    AtomicPart& atomic = *batch.atomic;
    prepared.error = past_limit(batch, value_bytes_max);
    prepared.guards.assign(atomic.guards.size(), PreparedGuard{});
    if (prepared.error) return;
    constexpr std::string_view kVersionOf = "expected version of an entity";
    Lines expected;
    Lines ids;
    std::uint32_t next_guard = 0;
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        const WriteRecord& record = batch.records[i];
        PreparedRecord& out = prepared.records[i];
        if (out.guard != kNoGuard) ++next_guard;
        if (out.error) continue;
        if (record.expect.form != Expect::Form::any) {
            check_once(expected, out.entity, record.line, kVersionOf, out.error);
        }
        if (!record.id.empty()) {
            check_once(ids, out.id, record.line, "record with the same id", out.error);
        }
    }
    for (std::size_t i = 0; i < atomic.guards.size(); ++i) {
        const BatchGuard& guard = atomic.guards[i];
        PreparedGuard& out = prepared.guards[i];
        out.of_entity = guard.filters == nullptr;
        if (!out.of_entity) {
            out.record.guard = next_guard++;
            continue;
        }
        out.record.error = bad_guard(guard);
        if (out.record.error) continue;
        out.record.entity = entity_hash(key, guard.space, guard.key);
        check_once(expected, out.record.entity, guard.line, kVersionOf, out.record.error);
    }
}

}  // namespace klog
