// A log in memory with the interface of the real one, for tests of what stands on it. It judges
// expected versions, ids, sessions and stops; it knows only plain filters ("a/>", "a/*/b", ">").
#ifndef KLOG_TESTS_SUPPORT_FAKE_LOG_H
#define KLOG_TESTS_SUPPORT_FAKE_LOG_H

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "klog/log.h"

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

class FakeLog final : public Log {
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

    void append(std::unique_ptr<WriteBatch> batch) override {
        ++appends_;
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
    // In fake_store.h, with the reader.
    [[nodiscard]] Result<std::unique_ptr<Reader>> read(const ReadOptions& options) override;
    [[nodiscard]] Result<std::unique_ptr<Counter>> counter(const CountOptions& options) override;
    [[nodiscard]] Result<Page<KeyRow>> keys(std::string_view space, std::string_view prefix,
                                            std::string_view after, bool deleted,
                                            std::size_t limit) override {
        std::map<std::string, EntityHead> heads;
        for (const auto& stored : records_) {
            if (stored->view.has_key && same_entity(*stored, space, stored->key)) {
                heads[stored->key] = *entity(space, stored->key);
            }
        }
        Page<KeyRow> page;
        for (const auto& [key, head] : heads) {
            const bool shown = key > after && key.starts_with(prefix) &&
                               (deleted || head.state == EntityState::live);
            if (!shown) continue;
            if (page.rows.size() == limit) page.more = true;
            if (!page.more) page.rows.push_back({key, head});
        }
        return page;
    }
    [[nodiscard]] Result<Page<TopicRow>> topics(std::string_view filter, std::string_view after,
                                                std::size_t limit) override {
        std::map<std::string, TopicRow> rows;
        for (const auto& stored : records_) {
            if (!naive_match(filter, stored->topic) || stored->topic <= after) continue;
            TopicRow& row = rows[stored->topic];
            row = {stored->topic, row.records + 1, stored->view.seq};
        }
        Page<TopicRow> page;
        page.more = rows.size() > limit;
        for (const auto& [topic, row] : rows) {
            if (page.rows.size() < limit) page.rows.push_back(row);
        }
        return page;
    }
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
        WriteStream* const stream = batch->stream.get();
        for (const WriteRecord& record : batch->records) {
            WriteResult result;
            if (stream == nullptr || !stream->stopped) {
                result = judge(record, stream == nullptr ? SessionId{} : stream->session);
            }
            const bool failed = result.outcome == WriteResult::Outcome::refused ||
                                result.outcome == WriteResult::Outcome::unknown;
            if (stream != nullptr && stream->stop_on_error && failed) stream->stopped = true;
            batch->results.push_back(std::move(result));
        }
        const auto done = std::move(batch->done);
        done(std::move(batch));
        for (const auto& wake : std::exchange(wakes_, {})) wake();
    }
    static WriteResult known(const StoredRecord& stored, bool hidden) {
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
        const std::string space(record.topic.substr(0, record.topic.find('/')));
        const bool may_repeat = !session.empty() || !record.id.empty();
        for (std::size_t i = 0; may_repeat && i < records_.size(); ++i) {
            const auto& stored = records_[i];
            if (!session.empty() && stored->view.session == session &&
                stored->view.session_line == record.line) {
                return known(*stored, hide_session_seqs_);
            }
            if (!record.id.empty() && stored->id == record.id) return known(*stored, false);
        }
        const EntityHead head = record.has_key ? *entity(space, record.key) : EntityHead{};
        if (!holds(record.expect, head)) {
            result.outcome = WriteResult::Outcome::refused;
            result.error = Error{Code::version_conflict, "another version is there", {}};
            result.conflict = Conflict{record.expect, head.version, head.state, head.last_seq};
            return result;
        }
        store(record, session, head);
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
