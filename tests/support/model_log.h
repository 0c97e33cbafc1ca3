// What a log must be, in the plainest words: a list of records, and what every answer to a write
// has to say about it. Tests hold the real log against it.
//
// Answers are given in the order in which the log judged; the model judges each batch when its
// answer comes. What was answered as unknown waits in `unknown` until a start shows which of it
// was written: each record zero or one times, in order.
#ifndef KLOG_TESTS_SUPPORT_MODEL_LOG_H
#define KLOG_TESTS_SUPPORT_MODEL_LOG_H

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/model_record.h"

namespace klog::test {

class ModelLog {
public:
    using Entity = std::pair<std::string, std::string>;  // space and key
    struct Head {
        std::uint64_t version = 0;
        std::uint64_t last_seq = 0;
        bool deleted = false;
    };
    struct Line {
        std::uint64_t line = 0;
        std::uint64_t seq = 0;
        std::uint64_t version = 0;
        std::int64_t time = 0;
    };
    struct Topic {
        std::uint64_t records = 0;
        std::uint64_t last_seq = 0;
    };

    std::size_t value_bytes_max = Limits::kValueBytesDefault;
    std::vector<ModelRecord> unknown;

    [[nodiscard]] const std::vector<ModelRecord>& records() const { return records_; }
    [[nodiscard]] std::uint64_t head() const { return records_.size(); }
    [[nodiscard]] const std::map<Entity, Head>& heads() const { return heads_; }
    [[nodiscard]] const std::map<std::string, Topic>& topics() const { return topics_; }
    [[nodiscard]] const std::map<std::string, std::string>& settings() const { return settings_; }
    [[nodiscard]] std::uint64_t highest_line(const SessionId& session) const {
        const auto at = lines_.find(session.bytes);
        return at == lines_.end() ? 0 : at->second.line;
    }
    [[nodiscard]] std::uint64_t session_seq(const SessionId& session) const {
        const auto at = lines_.find(session.bytes);
        return at == lines_.end() ? 0 : at->second.seq;
    }

    // Judges a batch by its answer. What is wrong with the answer, or nothing.
    [[nodiscard]] std::string answered(const SentBatch& sent, const GivenAnswer& answer) {
        const std::vector<WriteResult>& results = answer.results;
        if (results.size() != sent.puts.size()) return "as many results as records are due";
        if (sent.atomic) return answered_atomic(sent, answer);
        if (group_failed(sent, results)) return batch_failed(sent, results);
        for (std::size_t i = 0; i < results.size(); ++i) {
            std::string wrong = judge(sent, i, results[i]);
            if (!wrong.empty()) {
                return "record " + std::to_string(i) + " of the batch (" + describe(sent.puts[i]) +
                       "): " + wrong;
            }
        }
        return {};
    }

    // A record that the log itself wrote, or that a start found to have been written.
    void adopt(ModelRecord record) {
        const Put& put = record.put;
        if (!put.key.empty()) {
            heads_[{space_of_topic(put.topic), put.key}] =
                Head{record.version, record.seq, put.kind == Kind::tombstone};
        }
        if (!put.id.empty()) ids_.emplace(id_of(put), records_.size());
        if (put.line != 0) {
            lines_[record.session.bytes] = Line{put.line, record.seq, record.version, record.time};
        }
        Topic& topic = topics_[put.topic];
        ++topic.records;
        topic.last_seq = record.seq;
        if (put.topic.starts_with(kModelSettings) && !written_by_itself(put.topic)) {
            settings_[put.topic.substr(kModelSettings.size())] = put.value;
        }
        records_.push_back(std::move(record));
    }

    // What may stand behind the newest record after a start: unknown ones, and what klog keeps of
    // its own.
    [[nodiscard]] std::string adopt_found(const RecordView& view) {
        ModelRecord found = from_view(view);
        if (written_by_itself(found.put.topic)) {
            adopt(std::move(found));
            return {};
        }
        const Head head = head_of(found.put);
        const auto at = std::find_if(unknown.begin(), unknown.end(), [&](const ModelRecord& sent) {
            if (!same_write(sent, found)) return false;
            // What a batch expects was judged before its first record.
            if (sent.batch_index > 0) return sent.batch == half_batch_;
            return holds(sent.put.expect, head) &&
                   (!sent.put.guard || against(*sent.put.guard) == 0);
        });
        if (half_left_ > 0 && at != unknown.begin()) return "half a batch was written";
        if (at == unknown.end()) {
            return "seq " + std::to_string(found.seq) + " (" + describe(found.put) +
                   ") was never sent, was refused, had another expectation, or stands there twice";
        }
        if (at->batch != 0) {
            half_left_ = at->batch_records - at->batch_index - 1;
            half_batch_ = half_left_ > 0 ? at->batch : 0;
        }
        unknown.erase(unknown.begin(), at + 1);
        if (!found.put.id.empty() && ids_.count(id_of(found.put)) != 0) {
            return "an id was written twice";
        }
        if (found.put.line != 0 && found.put.line <= highest_line(found.session)) {
            return "a session's line was written twice";
        }
        const std::uint64_t version = found.put.key.empty() ? 0 : head.version + 1;
        if (found.version != version) return "the versions of an entity have a gap";
        adopt(std::move(found));
        return {};
    }

    // Everything that was found is here.
    [[nodiscard]] std::string found_all() {
        unknown.clear();
        return half_left_ > 0 ? "half a batch was written" : "";
    }

    [[nodiscard]] static ModelRecord from_view(const RecordView& view) {
        ModelRecord record;
        record.seq = view.seq.value;
        record.version = view.version.value;
        record.time = view.time.micros;
        record.session = view.session;
        Put& put = record.put;
        put.topic = view.topic;
        if (view.has_key) put.key = view.key;
        put.value = view.value;
        put.id = view.id;
        put.kind = view.kind;
        put.headers = view.headers;
        put.line = view.session_line;
        return record;
    }

    // Byte for byte what the model has at this seq.
    [[nodiscard]] bool is_record(const RecordView& view) const {
        if (view.seq.value == 0 || view.seq.value > records_.size()) return false;
        const ModelRecord& known = records_[view.seq.value - 1];
        return known.version == view.version.value && known.time == view.time.micros &&
               same_write(known, from_view(view));
    }

    [[nodiscard]] Head head_of(const Put& put) const {
        if (put.key.empty()) return {};
        const auto at = heads_.find({space_of_topic(put.topic), put.key});
        return at == heads_.end() ? Head{} : at->second;
    }

    [[nodiscard]] static std::string describe(const Put& put) {
        return put.topic + " key=" + put.key + " id=" + put.id +
               " bytes=" + std::to_string(put.value.size()) +
               (put.line == 0 ? "" : " line=" + std::to_string(put.line)) +
               (put.kind == Kind::tombstone ? " tombstone" : "");
    }

    // Defined in model_batch.h, as what else concerns guards and atomic batches.
    // The newest seq that stands against a guard, found by looking at every record; 0: none.
    [[nodiscard]] std::uint64_t against(const FilterGuard& guard) const;
    // What is wrong with a conflict that is said to stand against a guard, or nothing.
    [[nodiscard]] std::string check_guard(const FilterGuard& guard,
                                          const std::optional<GuardConflict>& said) const;

private:
    using Id = std::tuple<std::string, bool, std::string, std::string>;

    static Id id_of(const Put& put) {
        const bool keyed = !put.key.empty();
        return {keyed ? space_of_topic(put.topic) : put.topic, keyed, put.key, put.id};
    }

    static bool same_write(const ModelRecord& a, const ModelRecord& b) {
        return a.put.topic == b.put.topic && a.put.key == b.put.key && a.put.value == b.put.value &&
               a.put.id == b.put.id && a.put.kind == b.put.kind && a.put.headers == b.put.headers &&
               a.put.line == b.put.line && a.session == b.session;
    }

    static bool holds(const Expect& expect, const Head& head) {
        const bool live = head.version != 0 && !head.deleted;
        switch (expect.form) {
            case Expect::Form::any:
                return true;
            case Expect::Form::version:
                return head.version == expect.version;
            case Expect::Form::absent:
                return !live;
            case Expect::Form::exists:
                return live;
        }
        return false;
    }

    // What is wrong with a record whatever stands in the log.
    [[nodiscard]] std::optional<Code> flaw(const Put& put) const {
        if (put.topic.find("//") != std::string::npos) return Code::bad_topic;
        if (put.topic.starts_with('$')) return Code::reserved_topic;
        if (put.value.size() > value_bytes_max) return Code::value_too_large;
        if (put.key.empty() && put.expect.form != Expect::Form::any) return Code::bad_record;
        if (put.key.empty() && put.kind == Kind::tombstone) return Code::bad_record;
        return std::nullopt;
    }

    // The log could not be looked at: then this record is refused, and no other.
    static bool guard_unseen(const Put& put, const WriteResult& result) {
        return put.guard && result.error && environment_code(result.error->code);
    }
    [[nodiscard]] bool group_failed(const SentBatch& sent,
                                    const std::vector<WriteResult>& results) const;
    std::string batch_failed(const SentBatch& sent, const std::vector<WriteResult>& results);

    std::string refused(const SentBatch& sent, const WriteResult& result, Code code) {
        if (sent.stream && sent.stream->stream->stop_on_error) sent.stream->stopped = true;
        if (result.outcome != WriteResult::Outcome::refused || !result.error) {
            return "it had to be refused as " + std::string(code_name(code)) + ", the outcome is " +
                   std::to_string(static_cast<int>(result.outcome));
        }
        if (result.error->code != code) {
            return "it had to be refused as " + std::string(code_name(code)) + ", not as " +
                   std::string(code_name(result.error->code)) + ": " + result.error->message;
        }
        return {};
    }

    static std::string duplicate(const WriteResult& result, std::uint64_t seq,
                                 std::uint64_t version, std::int64_t time);

    [[nodiscard]] std::string guarded(const Put& put, const WriteResult& result) const;

    // tests/support/model_batch.h
    std::string answered_atomic(const SentBatch& sent, const GivenAnswer& answer);
    std::string atomic_failed(const SentBatch& sent, const AtomicPart& atomic);
    [[nodiscard]] std::map<std::uint64_t, std::vector<Code>> atomic_flaws(
        const SentBatch& sent) const;
    [[nodiscard]] std::vector<std::size_t> atomic_known(
        const SentBatch& sent, std::map<std::uint64_t, std::vector<Code>>& codes) const;
    [[nodiscard]] std::map<std::uint64_t, std::vector<Code>> atomic_conflicts(
        const SentBatch& sent) const;
    std::string check_violations(const SentBatch& sent, const AtomicPart& atomic,
                                 const std::map<std::uint64_t, std::vector<Code>>& codes) const;

    std::string judge(const SentBatch& sent, std::size_t index, const WriteResult& result) {
        const Put& put = sent.puts[index];
        if (sent.stream && sent.stream->stopped) {
            return result.outcome == WriteResult::Outcome::skipped ? "" : "its stream has stopped";
        }
        if (const auto code = flaw(put)) return refused(sent, result, *code);
        ModelRecord record;
        record.put = put;
        if (sent.stream) record.session = sent.stream->stream->session;
        if (record.session.empty()) record.put.line = 0;
        if (record.put.line != 0) {
            const Line& line = lines_[record.session.bytes];
            if (put.line == line.line) return duplicate(result, line.seq, line.version, line.time);
            if (put.line < line.line) return duplicate(result, 0, 0, 0);
        }
        if (!put.id.empty()) {
            if (const auto at = ids_.find(id_of(put)); at != ids_.end()) {
                const ModelRecord& first = records_[at->second];
                if (first.put.topic != put.topic || first.put.kind != put.kind ||
                    first.put.value != put.value) {
                    return refused(sent, result, Code::id_reused);
                }
                return duplicate(result, first.seq, first.version, first.time);
            }
        }
        const Head head = head_of(put);
        if (guard_unseen(put, result)) return refused(sent, result, result.error->code);
        std::string wrong = guarded(put, result);
        if (!wrong.empty()) return wrong;
        if (!holds(put.expect, head)) return conflict(sent, result, head);
        if (put.guard && put.guard->after.value > records_.size()) {
            return refused(sent, result, Code::guard_unknown);
        }
        if (put.guard && against(*put.guard) != 0) {
            return refused(sent, result, Code::guard_conflict);
        }
        return written(std::move(record), head, result);
    }

    std::string conflict(const SentBatch& sent, const WriteResult& result, const Head& head) {
        std::string wrong = refused(sent, result, Code::version_conflict);
        if (!wrong.empty()) return wrong;
        const EntityState state = head.version == 0 ? EntityState::absent
                                  : head.deleted    ? EntityState::deleted
                                                    : EntityState::live;
        if (!result.conflict || result.conflict->actual.value != head.version ||
            result.conflict->state != state || result.conflict->last_seq.value != head.last_seq) {
            return "the conflict does not tell the entity's state";
        }
        return {};
    }

    std::string written(ModelRecord record, const Head& head, const WriteResult& result) {
        if (result.outcome != WriteResult::Outcome::written) {
            return "it had to be written, the outcome is " +
                   std::to_string(static_cast<int>(result.outcome)) +
                   (result.error ? ": " + result.error->message : std::string());
        }
        record.seq = records_.size() + 1;
        record.version = record.put.key.empty() ? 0 : head.version + 1;
        record.time = result.time.micros;
        if (result.seq.value != record.seq) {
            return "its seq is " + std::to_string(result.seq.value) + ", not " +
                   std::to_string(record.seq);
        }
        if (result.version.value != record.version) {
            return "its version is " + std::to_string(result.version.value) + ", not " +
                   std::to_string(record.version);
        }
        if (!records_.empty() && record.time < records_.back().time) return "time went back";
        adopt(std::move(record));
        return {};
    }

    std::vector<ModelRecord> records_;  // by seq
    std::map<Entity, Head> heads_;
    std::map<Id, std::size_t> ids_;
    std::map<std::array<std::uint8_t, 16>, Line> lines_;
    std::map<std::string, Topic> topics_;
    std::map<std::string, std::string> settings_;
    std::uint64_t unknown_batches_ = 0;
    // Of a batch that a start is finding: how many records must follow.
    std::uint64_t half_batch_ = 0;
    std::size_t half_left_ = 0;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_MODEL_LOG_H
