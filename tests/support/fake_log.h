// A log in memory with the interface of the real one, for tests of what stands on it. It judges all
// that the real one does, and knows only plain filters ("a/>", "a/*/b", ">").
#ifndef KLOG_TESTS_SUPPORT_FAKE_LOG_H
#define KLOG_TESTS_SUPPORT_FAKE_LOG_H

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_atomic.h"
#include "support/fake_positions.h"

namespace klog::test {

inline bool naive_match(std::string_view filter, std::string_view topic) {
    for (;;) {
        if (filter == ">") return !topic.empty();
        const std::string_view want = filter.substr(0, filter.find('/'));
        const std::string_view have = topic.substr(0, topic.find('/'));
        if (have.empty() || (want != "*" && want != have)) return false;
        const bool filter_ends = want.size() == filter.size();
        const bool topic_ends = have.size() == topic.size();
        if (filter_ends || topic_ends) return filter_ends && topic_ends;
        filter.remove_prefix(want.size() + 1);
        topic.remove_prefix(have.size() + 1);
    }
}
struct StoredRecord {
    std::string topic, key, id, headers, value;
    RecordView view;
};

class FakeLog final : public LogOfPositions {
public:
    static constexpr std::int64_t kFirstMicros = 1'795'354'740'000'000;

    // While true, batches wait for release(), judged already or not.
    bool hold_ = false;
    bool disk_reads_ = false;  // readers say that they are not in memory
    std::optional<WriteResult> answer_all_with_;
    std::optional<Error> read_error_;
    bool hide_session_seqs_ = false;  // duplicates of session lines come with seq 0
    std::uint64_t settings_ = 0;
    std::size_t appends_ = 0;
    std::size_t scan_step_ = 1000;  // seqs looked at in one read
    std::deque<std::unique_ptr<StoredRecord>> records_;
    std::deque<std::unique_ptr<WriteBatch>> held_;
    std::vector<std::function<void()>> wakes_;
    std::size_t readers_ = 0;
    FakeConsumers consumers_;
    std::size_t looks_ = 0;            // at guards
    std::optional<Error> look_error_;  // what batches are refused with that were looked at
    std::set<const WriteBatch*> unseen_;

    void append(std::unique_ptr<WriteBatch> batch) override {
        ++appends_;
        if (unseen_.erase(batch.get()) != 0) return refuse_all(std::move(batch), *look_error_);
        if (hold_) {
            held_.push_back(std::move(batch));
        } else {
            complete(std::move(batch));
        }
    }
    void release() {
        while (!held_.empty()) {
            auto batch = std::move(held_.front());
            held_.pop_front();
            complete(std::move(batch));
        }
    }
    Seq add(const std::string& topic, const std::string& key, const std::string& value) {
        WriteRecord record;
        record.topic = topic;
        record.key = key;
        record.has_key = !key.empty();
        record.value = value;
        return judge(record, {}).seq;
    }

    [[nodiscard]] bool guards_in_memory(WriteBatch& /*batch*/) override { return !disk_reads_; }
    void look_at_guards(WriteBatch& batch) override {
        ++looks_;
        if (look_error_) unseen_.insert(&batch);
    }
    [[nodiscard]] Result<OwnedRecord> record(Seq seq) override {
        if (seq == Seq{} || seq > head()) return Error{Code::not_found, "no such seq", {}};
        return OwnedRecord{records_[seq.value - 1]->view, nullptr};
    }
    [[nodiscard]] Seq head() const override { return Seq{records_.size()}; }
    [[nodiscard]] Result<Seq> head(std::string_view filter) override {
        if (filter.empty()) return Error{Code::bad_filter, "empty filter (column 1)", {}};
        Seq seq;
        for (const auto& stored : records_) {
            if (naive_match(filter, stored->topic)) seq = stored->view.seq;
        }
        return seq;
    }
    [[nodiscard]] Result<EntityHead> entity(std::string_view space, std::string_view key) override {
        if (space.find('*') != std::string_view::npos) {
            return Error{Code::bad_topic, "'*' cannot stand in a space (column 1)", {}};
        }
        EntityHead head;
        for (const auto& stored : records_) {
            if (!same_entity(*stored, space, key)) continue;
            head.state =
                stored->view.kind == Kind::tombstone ? EntityState::deleted : EntityState::live;
            head.version = stored->view.version;
            head.last_seq = stored->view.seq;
        }
        return head;
    }
    [[nodiscard]] Result<OwnedRecord> get(std::string_view space, std::string_view key,
                                          std::optional<Version> version) override {
        const StoredRecord* found = nullptr;
        for (const auto& stored : records_) {
            const bool wanted = !version || stored->view.version == *version;
            if (same_entity(*stored, space, key) && wanted) found = stored.get();
        }
        if (found == nullptr) return Error{Code::not_found, "no such version", {}};
        return OwnedRecord{found->view, nullptr};
    }
    // In fake_store.h, with the reader and the listings.
    [[nodiscard]] Result<std::unique_ptr<Reader>> read(const ReadOptions& options) override;
    [[nodiscard]] Result<std::unique_ptr<Reader>> history(const HistoryOptions& options) override;
    [[nodiscard]] Result<std::unique_ptr<Counter>> counter(const CountOptions& options) override;
    [[nodiscard]] Result<Page<KeyRow>> keys(std::string_view space, std::string_view prefix,
                                            std::string_view after, bool deleted,
                                            std::size_t limit) override;
    [[nodiscard]] Result<Page<TopicRow>> topics(std::string_view filter, std::string_view after,
                                                std::size_t limit) override;
    [[nodiscard]] Result<std::vector<SessionLine>> session_lines(const SessionId& session,
                                                                 std::uint64_t first_line,
                                                                 std::uint64_t last_line,
                                                                 Seq after) override {
        std::vector<SessionLine> lines;
        for (const auto& stored : records_) {
            const RecordView& view = stored->view;
            if (view.session == session && view.session_line >= first_line &&
                view.session_line <= last_line && view.seq > after) {
                lines.push_back({view.session_line, view.seq, view.version});
            }
        }
        return lines;
    }
    Result<Seq> put_setting(std::string_view, std::string_view) override {
        return Seq{++settings_};
    }
    [[nodiscard]] std::optional<std::string> setting(std::string_view) const override { return {}; }
    [[nodiscard]] std::uint64_t settings_seq() const override { return settings_; }
    [[nodiscard]] LogStats stats() const override {
        LogStats stats;
        stats.head = head();
        stats.records_written = records_.size();
        return stats;
    }

private:
    static bool same_entity(const StoredRecord& stored, std::string_view space,
                            std::string_view key) {
        return stored.view.has_key && stored.key == key &&
               std::string_view(stored.topic).substr(0, stored.topic.find('/')) == space;
    }
    void complete(std::unique_ptr<WriteBatch> batch) {
        if (batch->atomic == nullptr) {
            judge_all(*batch);
        } else {
            judge_atomic(*batch);
        }
        const auto done = std::move(batch->done);
        done(std::move(batch));
        for (const auto& wake : std::exchange(wakes_, {})) wake();
    }
    void judge_atomic(WriteBatch& batch) {
        AtomicPart& atomic = *batch.atomic;
        WriteResult whole;
        if (answer_all_with_) whole = *answer_all_with_;
        std::size_t known_ids = 0;
        for (const WriteRecord& record : batch.records) {
            if (record.settings_seq < settings_ && settings_seq_counts_) {
                whole.outcome = WriteResult::Outcome::stale_settings;
            }
            if (find_id(record.id) != nullptr) ++known_ids;
        }
        atomic.outcome = whole.outcome;
        atomic.error = whole.error;
        batch.results.assign(batch.records.size(), whole);
        if (whole.outcome != WriteResult::Outcome::skipped) return;
        const bool known = known_ids > 0 && known_ids == batch.records.size();
        if (!known && violations_of(batch, known_ids > 0).refuse(atomic)) return;
        atomic.outcome = known ? WriteResult::Outcome::duplicate : WriteResult::Outcome::written;
        for (std::size_t i = 0; i < batch.records.size(); ++i) {
            const WriteRecord& record = batch.records[i];
            batch.results[i] = known ? fake_duplicate(*find_id(record.id), false) : put(record, {});
        }
        if (known) return;
        for (const BatchAck& a : atomic.acks) consumers_[std::string(a.consumer)].seq = a.seq;
    }
    FakeViolations violations_of(const WriteBatch& batch, bool partly_known) {
        FakeViolations found;
        const auto look = [&](std::uint64_t line, std::string_view space, std::string_view key,
                              const Expect& expect) {
            const EntityHead head = *entity(space, key);
            if (holds(expect, head)) return;
            found.add(line, Violation::Entity{std::string(space), std::string(key), expect,
                                              head.version, head.state, head.last_seq});
        };
        for (const WriteRecord& record : batch.records) {
            if (partly_known && find_id(record.id) != nullptr) {
                found.add(record.line, Error{Code::partial_duplicate, "this id is known", {}});
            }
            if (record.has_key) look(record.line, space_of(record), record.key, record.expect);
            if (record.guard) found.add(record.line, against(*record.guard));
        }
        for (const BatchGuard& guard : batch.atomic->guards) {
            if (guard.filters == nullptr) look(guard.line, guard.space, guard.key, guard.expect);
            if (guard.filters != nullptr) found.add(guard.line, against(*guard.filters));
        }
        for (const BatchAck& ack : batch.atomic->acks) {
            if (auto error = ack_error(consumers_, ack, head())) found.add(ack.line, *error);
        }
        return found;
    }
    [[nodiscard]] std::optional<GuardConflict> against(const FilterGuard& guard) const {
        return guard_conflict(records_, guard, naive_match);
    }
    static std::string_view space_of(const WriteRecord& record) {
        return record.topic.substr(0, record.topic.find('/'));
    }
    [[nodiscard]] const StoredRecord* find_id(std::string_view id) const {
        for (const auto& stored : records_) {
            if (!id.empty() && stored->id == id) return stored.get();
        }
        return nullptr;
    }
    void judge_all(WriteBatch& batch) {
        WriteStream* const stream = batch.stream.get();
        for (const WriteRecord& record : batch.records) {
            WriteResult result;
            if (stream == nullptr || !stream->stopped) {
                result = judge(record, stream == nullptr ? SessionId{} : stream->session);
            }
            const bool failed = result.outcome == WriteResult::Outcome::refused ||
                                result.outcome == WriteResult::Outcome::unknown;
            if (stream != nullptr && stream->stop_on_error && failed) stream->stopped = true;
            batch.results.push_back(std::move(result));
        }
    }
    static WriteResult fake_duplicate(const StoredRecord& stored, bool hidden) {
        WriteResult result;
        result.outcome = WriteResult::Outcome::duplicate;
        if (!hidden) result.seq = stored.view.seq;
        if (!hidden) result.version = stored.view.version;
        result.time = stored.view.time;
        return result;
    }
    WriteResult judge(const WriteRecord& record, const SessionId& session) {
        WriteResult result;
        if (answer_all_with_) return *answer_all_with_;
        if (record.settings_seq < settings_ && settings_seq_counts_) {
            result.outcome = WriteResult::Outcome::stale_settings;
            return result;
        }
        const bool may_repeat = !session.empty() || !record.id.empty();
        for (std::size_t i = 0; may_repeat && i < records_.size(); ++i) {
            const auto& stored = records_[i];
            if (!session.empty() && stored->view.session == session &&
                stored->view.session_line == record.line) {
                return fake_duplicate(*stored, hide_session_seqs_);
            }
            if (!record.id.empty() && stored->id == record.id) {
                return fake_duplicate(*stored, false);
            }
        }
        if (record.guard != nullptr) result.guard_conflict = against(*record.guard);
        if (result.guard_conflict) {
            result.outcome = WriteResult::Outcome::refused;
            result.error = Error{Code::guard_conflict, "a record stands against the guard", {}};
            return result;
        }
        const EntityHead head =
            record.has_key ? *entity(space_of(record), record.key) : EntityHead{};
        if (!holds(record.expect, head)) {
            result.outcome = WriteResult::Outcome::refused;
            result.error = Error{Code::version_conflict, "another version is there", {}};
            result.conflict = Conflict{record.expect, head.version, head.state, head.last_seq};
            return result;
        }
        return put(record, session);
    }
    WriteResult put(const WriteRecord& record, const SessionId& session) {
        store(record, session,
              record.has_key ? *entity(space_of(record), record.key) : EntityHead{});
        WriteResult result;
        result.outcome = WriteResult::Outcome::written;
        result.seq = records_.back()->view.seq;
        result.version = records_.back()->view.version;
        result.time = records_.back()->view.time;
        return result;
    }
    static bool holds(const Expect& expect, const EntityHead& head) {
        switch (expect.form) {
            case Expect::Form::any:
                return true;
            case Expect::Form::version:
                return head.version.value == expect.version;
            case Expect::Form::absent:
                return head.state != EntityState::live;
            case Expect::Form::exists:
                return head.state == EntityState::live;
        }
        return false;
    }
    void store(const WriteRecord& record, const SessionId& session, const EntityHead& head) {
        auto stored = std::make_unique<StoredRecord>();
        stored->topic = record.topic;
        stored->key = record.key;
        stored->id = record.id;
        stored->headers = record.headers;
        stored->value = record.value;
        RecordView& view = stored->view;
        view.seq = Seq{records_.size() + 1};
        if (record.has_key) view.version = Version{head.version.value + 1};
        view.time = Time{kFirstMicros + static_cast<std::int64_t>(view.seq.value)};
        view.kind = record.kind;
        view.encoding = record.encoding;
        view.has_key = record.has_key;
        view.has_event_time = record.has_event_time;
        view.event_time = record.event_time;
        view.topic = stored->topic;
        view.key = stored->key;
        view.id = stored->id;
        view.headers = stored->headers;
        view.value = stored->value;
        view.session = session;
        view.session_line = session.empty() ? 0 : record.line;
        records_.push_back(std::move(stored));
    }

public:
    bool settings_seq_counts_ = false;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_FAKE_LOG_H
