// Atomic batches: everything is judged against the state before the batch, then all of it is
// written, or nothing.
#include <algorithm>
#include <unordered_map>

#include "log/expectation.h"
#include "log/sequencer_call.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::size_t kPrefetchRecords = 8;

using Outcome = WriteResult::Outcome;

void answer_all(WriteBatch& batch, Outcome outcome) {
    batch.atomic->outcome = outcome;
    for (WriteResult& result : batch.results) result.outcome = outcome;
}

void refuse(WriteBatch& batch, const Error& error) {
    answer_all(batch, Outcome::refused);
    batch.atomic->error = error;
    for (WriteResult& result : batch.results) {
        result = WriteResult{};
        result.outcome = Outcome::refused;
        result.error = error;
    }
}

void refuse(WriteBatch& batch, std::vector<Violation> violations) {
    std::stable_sort(violations.begin(), violations.end(),
                     [](const Violation& a, const Violation& b) { return a.line < b.line; });
    AtomicPart& atomic = *batch.atomic;
    if (violations.size() > Limits::kViolationsMax) {
        atomic.violations_left_out = violations.size() - Limits::kViolationsMax;
        violations.resize(Limits::kViolationsMax);
    }
    refuse(batch, violations.front().error);
    atomic.violations = std::move(violations);
}

std::optional<Error> bad_ack(const BatchAck& ack) {
    if (Status status = check_consumer_name(ack.consumer); !status) {
        return Error{Code::bad_record, status.error().message, status.error().hint};
    }
    if (ack.result.size() <= Limits::kAckResultBytesMax) return std::nullopt;
    return Error{Code::bad_record,
                 "a result has at most " + std::to_string(Limits::kAckResultBytesMax) +
                     " bytes, this one has " + std::to_string(ack.result.size()),
                 "write what is longer as a record"};
}

void check_acks(const std::vector<BatchAck>& acks, std::vector<Violation>& violations) {
    std::unordered_map<std::string_view, std::uint64_t> consumers;
    for (const BatchAck& ack : acks) {
        std::optional<Error> error = bad_ack(ack);
        const auto [known, first] = consumers.emplace(ack.consumer, ack.line);
        if (!error && !first) {
            error = Error{Code::bad_record,
                          "an atomic batch has at most one ack of a consumer, and line " +
                              std::to_string(known->second) + " has one already",
                          {}};
        }
        if (error) violations.push_back(Violation{ack.line, *std::move(error), {}, {}});
    }
}

// What was wrong before anything was judged.
std::vector<Violation> malformed(const WriteBatch& batch) {
    std::vector<Violation> violations = batch.atomic->malformed;
    const auto add = [&](std::uint64_t line, const PreparedRecord& prepared) {
        const std::optional<Error>* error = &prepared.error;
        if (!*error && prepared.guard != kNoGuard) {
            error = &batch.looked->guards[prepared.guard].error;
        }
        if (*error) violations.push_back(Violation{line, **error, {}, {}});
    };
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        add(batch.records[i].line, batch.prepared->records[i]);
    }
    for (std::size_t i = 0; i < batch.atomic->guards.size(); ++i) {
        add(batch.atomic->guards[i].line, batch.prepared->guards[i].record);
    }
    check_acks(batch.atomic->acks, violations);
    return violations;
}

Violation conflict(std::uint64_t line, std::string_view space, std::string_view key,
                   const Expect& expect, const HeadEntry& head) {
    return Violation{line,
                     conflict_error(expect, head),
                     Violation::Entity{std::string(space), std::string(key), expect, head.version,
                                       head.state, head.last_seq},
                     {}};
}

Error part_is_known(const WriteRecord& record, const WriteResult& result) {
    return Error{Code::partial_duplicate,
                 "the id \"" + std::string(record.id) + "\" was written at seq " +
                     std::to_string(result.seq.value) + ", and other lines of the batch were not",
                 "send what is new as a batch of its own"};
}

bool is_stale(const WriteBatch& batch, std::uint64_t settings_seq) {
    return std::any_of(batch.records.begin(), batch.records.end(), [&](const WriteRecord& record) {
        return record.settings_seq < settings_seq;
    });
}

}  // namespace

// Gives how many records are known by their ids; their results say where they were written.
std::size_t Sequencer::judge_ids(Call& call, std::vector<Violation>& violations) {
    WriteBatch& batch = call.batch;
    std::size_t known = 0;
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        const WriteRecord& record = batch.records[i];
        WriteResult& result = batch.results[i];
        if (!known_id(record, batch.prepared->records[i], result)) continue;
        if (result.error) {
            violations.push_back(Violation{record.line, *result.error, {}, {}});
        } else {
            ++known;
        }
    }
    if (known == 0 || known == batch.records.size() || !violations.empty()) return known;
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        const WriteRecord& record = batch.records[i];
        if (batch.results[i].outcome != Outcome::duplicate) continue;
        violations.push_back(
            Violation{record.line, part_is_known(record, batch.results[i]), {}, {}});
    }
    return known;
}

void Sequencer::judge_expectations(Call& call, std::vector<Violation>& violations) {
    WriteBatch& batch = call.batch;
    const auto check_guard = [&](std::uint64_t line, const PreparedRecord& prepared) {
        if (prepared.guard == kNoGuard) return;
        std::optional<Violation> violation =
            judge_guard(call, batch.looked->guards[prepared.guard]);
        if (!violation) return;
        violation->line = line;
        violations.push_back(*std::move(violation));
    };
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        if (i + kPrefetchRecords < batch.records.size()) {
            memtable_.heads.prefetch(batch.prepared->records[i + kPrefetchRecords].entity);
        }
        const WriteRecord& record = batch.records[i];
        const PreparedRecord& prepared = batch.prepared->records[i];
        if (record.has_key) {
            const HeadEntry head = entity_of(prepared).latest;
            if (head.state == EntityState::closed) {
                violations.push_back(Violation{record.line, closed_error(), {}, {}});
            } else if (!holds(record.expect, head)) {
                violations.push_back(
                    conflict(record.line, space_of(record.topic), record.key, record.expect, head));
            }
        }
        check_guard(record.line, prepared);
    }
    for (std::size_t i = 0; i < batch.atomic->guards.size(); ++i) {
        const BatchGuard& guard = batch.atomic->guards[i];
        const PreparedGuard& prepared = batch.prepared->guards[i];
        check_guard(guard.line, prepared.record);
        if (!prepared.of_entity) continue;
        const HeadEntry head = entity_of(prepared.record).latest;
        if (holds(guard.expect, head)) continue;
        violations.push_back(conflict(guard.line, guard.space, guard.key, guard.expect, head));
    }
    for (const BatchAck& ack : batch.atomic->acks) {
        auto error = consumers_.check_ack(ack.consumer, ack.seq, ack.lease, latest_.last_seq);
        if (error) violations.push_back(Violation{ack.line, *std::move(error), {}, {}});
    }
}

// One record for all acks, behind the batch's own and in the same frames.
void Sequencer::write_acks(Call& call) {
    const std::vector<BatchAck>& acks = call.batch.atomic->acks;
    if (acks.empty()) return;
    const std::string value = consumers_.judge_acks(acks, call.now, call.part.consumers);
    WriteRecord record;
    record.topic = kPositionsTopic;
    record.value = value;
    record.kind = Kind::positions;
    record.encoding = Encoding::bytes;
    WriteResult result;
    write(call, record, PreparedRecord{}, nullptr, result);
}

void Sequencer::write_all(Call& call) {
    for (std::size_t i = 0; i < call.batch.records.size(); ++i) {
        const WriteRecord& record = call.batch.records[i];
        const PreparedRecord& prepared = call.batch.prepared->records[i];
        HeadTable::Slot* entity = record.has_key ? &entity_of(prepared) : nullptr;
        write(call, record, prepared, entity, call.batch.results[i]);
    }
    write_acks(call);
    call.batch.atomic->outcome = Outcome::written;
}

void Sequencer::judge_atomic(Call& call) {
    WriteBatch& batch = call.batch;
    const std::size_t counted = std::max<std::size_t>(batch.records.size(), 1);
    if (batch.prepared->error) {
        counters_.refused += counted;
        return refuse(batch, *batch.prepared->error);
    }
    std::vector<Violation> violations = malformed(batch);
    if (violations.empty()) {
        const std::size_t known = judge_ids(call, violations);
        if (violations.empty() && known > 0) {
            counters_.duplicates += counted;
            return answer_all(batch, Outcome::duplicate);
        }
    }
    if (violations.empty()) {
        if (is_stale(batch, latest_.settings_seq))
            return answer_all(batch, Outcome::stale_settings);
        judge_expectations(call, violations);
    }
    if (!violations.empty()) {
        counters_.refused += counted;
        return refuse(batch, std::move(violations));
    }
    write_all(call);
}

}  // namespace klog
