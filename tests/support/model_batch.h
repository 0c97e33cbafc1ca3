// What the model of a log says of guards, atomic batches and batches that failed.
#ifndef KLOG_TESTS_SUPPORT_MODEL_BATCH_H
#define KLOG_TESTS_SUPPORT_MODEL_BATCH_H

#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/model_log.h"
#include "support/naive_matcher.h"

namespace klog::test {

// Not because of a guard that could not be looked at, of which others do not know.
// A record that is wrong whatever the log says is refused for that.
inline bool ModelLog::group_failed(const SentBatch& sent,
                                   const std::vector<WriteResult>& results) const {
    bool all = true;
    for (std::size_t i = 0; i < results.size(); ++i) {
        const WriteResult& result = results[i];
        if (result.outcome == WriteResult::Outcome::unknown) return true;
        const bool environment = result.error && environment_code(result.error->code);
        if (environment && !sent.puts[i].guard) return true;
        if (!environment && flaw(sent.puts[i])) continue;
        all = all && (environment || result.outcome == WriteResult::Outcome::skipped);
    }
    return all;
}

inline std::string ModelLog::batch_failed(const SentBatch& sent,
                                          const std::vector<WriteResult>& results) {
    for (std::size_t i = 0; i < results.size(); ++i) {
        const WriteResult::Outcome outcome = results[i].outcome;
        if (outcome == WriteResult::Outcome::written ||
            outcome == WriteResult::Outcome::duplicate) {
            return "a batch that failed says that a record was written";
        }
        if (outcome != WriteResult::Outcome::unknown) continue;
        ModelRecord record;
        record.put = sent.puts[i];
        if (sent.stream) {
            record.session = sent.stream->stream->session;
        }
        if (record.session.empty()) record.put.line = 0;
        unknown.push_back(std::move(record));
    }
    if (sent.stream && sent.stream->stream->stop_on_error) sent.stream->stopped = true;
    return {};
}

inline std::string ModelLog::duplicate(const WriteResult& result, std::uint64_t seq,
                                       std::uint64_t version, std::int64_t time) {
    if (result.outcome != WriteResult::Outcome::duplicate) return "it is a duplicate";
    if (result.seq.value != seq || result.version.value != version || result.time.micros != time) {
        return "a duplicate answers with its first write";
    }
    return {};
}

inline std::uint64_t ModelLog::against(const FilterGuard& guard) const {
    for (std::uint64_t seq = records_.size(); seq > guard.after.value; --seq) {
        const std::string& topic = records_[seq - 1].put.topic;
        if (naive::set_matches(guard.none, guard.not_filters, topic)) return seq;
    }
    return 0;
}

inline std::string ModelLog::check_guard(const FilterGuard& guard,
                                         const std::optional<GuardConflict>& said) const {
    if (guard.after.value > records_.size()) {
        return said ? "a guard ahead of the head names a record" : "";
    }
    const std::uint64_t seq = against(guard);
    if (seq == 0) return said ? "nothing stands against the guard" : "";
    if (!said) return "seq " + std::to_string(seq) + " stands against the guard";
    std::size_t first = 0;
    while (!naive::matches(guard.none[first], records_[seq - 1].put.topic)) ++first;
    if (said->seq.value != seq || said->after != guard.after ||
        said->topic != records_[seq - 1].put.topic || said->filter != guard.none[first]) {
        return "seq " + std::to_string(seq) + " stands against the guard, not " +
               std::to_string(said->seq.value) + " by " + said->filter;
    }
    return {};
}

inline std::string ModelLog::guarded(const Put& put, const WriteResult& result) const {
    // With another conflict told, the guard may be one that could not be looked at.
    const bool other = result.error && result.error->code == Code::version_conflict;
    if (put.guard && other && !result.guard_conflict) return {};
    if (put.guard) return check_guard(*put.guard, result.guard_conflict);
    return result.guard_conflict ? "a guard that was not sent" : "";
}

// By line: what must be said about it, in any order.
using LineCodes = std::map<std::uint64_t, std::vector<Code>>;

inline LineCodes ModelLog::atomic_flaws(const SentBatch& sent) const {
    LineCodes codes;
    std::set<Entity> expected;
    std::set<Id> ids;
    std::uint64_t line = 0;
    for (const Put& put : sent.puts) {
        ++line;
        if (const auto code = flaw(put)) {
            codes[line].push_back(*code);
            continue;
        }
        bool twice = put.expect.form != Expect::Form::any &&
                     !expected.insert({space_of_topic(put.topic), put.key}).second;
        twice = (!put.id.empty() && !ids.insert(id_of(put)).second) || twice;
        if (twice) codes[line].push_back(Code::bad_record);
    }
    for (const SentGuard& guard : sent.guards) {
        ++line;
        if (guard.filters || expected.insert({guard.space, guard.key}).second) continue;
        codes[line].push_back(Code::bad_record);
    }
    return codes;
}

// Where each record was written first; 0: it is not known. `codes`: ids of other writes.
inline std::vector<std::size_t> ModelLog::atomic_known(const SentBatch& sent,
                                                       LineCodes& codes) const {
    std::vector<std::size_t> known;
    for (const Put& put : sent.puts) {
        known.push_back(0);
        if (put.id.empty()) continue;
        const auto at = ids_.find(id_of(put));
        if (at == ids_.end()) continue;
        const ModelRecord& first = records_[at->second];
        if (first.put.topic != put.topic || first.put.kind != put.kind ||
            first.put.value != put.value) {
            codes[known.size()].push_back(Code::id_reused);
        } else {
            known.back() = first.seq;
        }
    }
    return known;
}

inline LineCodes ModelLog::atomic_conflicts(const SentBatch& sent) const {
    LineCodes codes;
    std::uint64_t line = 0;
    const auto check = [&](const std::optional<FilterGuard>& guard) {
        if (!guard) return;
        if (guard->after.value > records_.size()) {
            codes[line].push_back(Code::guard_unknown);
        } else if (against(*guard) != 0) {
            codes[line].push_back(Code::guard_conflict);
        }
    };
    for (const Put& put : sent.puts) {
        ++line;
        if (!holds(put.expect, head_of(put))) codes[line].push_back(Code::version_conflict);
        check(put.guard);
    }
    for (const SentGuard& guard : sent.guards) {
        ++line;
        check(guard.filters);
        Put of;
        of.topic = guard.space;
        of.key = guard.key;
        if (guard.filters || holds(guard.expect, head_of(of))) continue;
        codes[line].push_back(Code::version_conflict);
    }
    return codes;
}

inline std::string ModelLog::check_violations(const SentBatch& sent, const AtomicPart& atomic,
                                              const LineCodes& codes) const {
    if (atomic.outcome != WriteResult::Outcome::refused) return "the batch had to be refused";
    auto said = atomic.violations.begin();
    for (const auto& [line, of_line] : codes) {
        for (const Code code : of_line) {
            if (said == atomic.violations.end() || said->line != line || said->error.code != code) {
                return "line " + std::to_string(line) + " is due as " +
                       std::string(code_name(code)) +
                       (said == atomic.violations.end()
                            ? ""
                            : ", not line " + std::to_string(said->line) + " as " +
                                  std::string(code_name(said->error.code)));
            }
            if (code == Code::guard_conflict) {
                const FilterGuard& guard = line <= sent.puts.size()
                                               ? *sent.puts[line - 1].guard
                                               : *sent.guards[line - 1 - sent.puts.size()].filters;
                std::string wrong = check_guard(guard, said->guard);
                if (!wrong.empty()) return wrong;
            }
            if (code == Code::version_conflict) {
                Put of;
                of.topic = said->entity->space;
                of.key = said->entity->key;
                if (said->entity->actual.value != head_of(of).version) return "another version";
            }
            ++said;
        }
    }
    return said == atomic.violations.end() ? "" : "more violations than there are";
}

inline std::string ModelLog::atomic_failed(const SentBatch& sent, const AtomicPart& atomic) {
    if (atomic.outcome != WriteResult::Outcome::unknown) return {};
    ++unknown_batches_;
    for (std::size_t i = 0; i < sent.puts.size(); ++i) {
        ModelRecord record;
        record.put = sent.puts[i];
        record.put.line = 0;
        record.batch = unknown_batches_;
        record.batch_index = i;
        record.batch_records = sent.puts.size();
        unknown.push_back(std::move(record));
    }
    return {};
}

inline std::string ModelLog::answered_atomic(const SentBatch& sent, const GivenAnswer& answer) {
    if (!answer.atomic) return "an atomic batch has an answer of its own";
    const AtomicPart& atomic = *answer.atomic;
    for (const WriteResult& result : answer.results) {
        if (result.outcome != atomic.outcome)
            return "a record of a batch has an outcome of its own";
    }
    const bool unseen = std::any_of(
        atomic.violations.begin(), atomic.violations.end(),
        [](const Violation& violation) { return environment_code(violation.error.code); });
    if (atomic.outcome == WriteResult::Outcome::unknown || unseen ||
        (atomic.error && environment_code(atomic.error->code))) {
        return atomic_failed(sent, atomic);
    }
    LineCodes codes = atomic_flaws(sent);
    if (!codes.empty()) return check_violations(sent, atomic, codes);
    const std::vector<std::size_t> known = atomic_known(sent, codes);
    if (!codes.empty()) return check_violations(sent, atomic, codes);
    const auto count = static_cast<std::size_t>(
        std::count_if(known.begin(), known.end(), [](std::size_t seq) { return seq != 0; }));
    for (std::size_t i = 0; count > 0 && i < known.size(); ++i) {
        if (known[i] == 0) continue;
        if (count < known.size()) {
            codes[i + 1].push_back(Code::partial_duplicate);
            continue;
        }
        const ModelRecord& first = records_[known[i] - 1];
        std::string wrong = duplicate(answer.results[i], first.seq, first.version, first.time);
        if (!wrong.empty()) return wrong;
    }
    if (!codes.empty()) return check_violations(sent, atomic, codes);
    if (count > 0) return {};
    codes = atomic_conflicts(sent);
    if (!codes.empty()) return check_violations(sent, atomic, codes);
    if (atomic.outcome != WriteResult::Outcome::written) {
        return "the batch had to be written, its outcome is " +
               std::to_string(static_cast<int>(atomic.outcome));
    }
    for (std::size_t i = 0; i < sent.puts.size(); ++i) {
        ModelRecord record;
        record.put = sent.puts[i];
        record.put.line = 0;
        std::string wrong = written(std::move(record), head_of(sent.puts[i]), answer.results[i]);
        if (!wrong.empty()) return wrong;
    }
    return {};
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_MODEL_BATCH_H
