#include "log/sequencer.h"

#include <algorithm>

#include "index/entity_points.h"
#include "log/expectation.h"
#include "log/sequencer_call.h"
#include "topic/topic.h"

namespace klog {

namespace {

constexpr std::size_t kPrefetchRecords = 8;

EntityState state_after(Kind kind) {
    return kind == Kind::tombstone ? EntityState::deleted : EntityState::live;
}

}  // namespace

FrameBuild::FrameBuild(LogId log, Seq first_seq, Time base_time)
    : frame(std::make_shared<Frame>()),
      encoder((frame->bytes.resize(kFrameHeaderBytes), frame->bytes), first_seq, base_time),
      last_time(base_time) {
    frame->header.log_id = log;
    frame->header.first_seq = first_seq;
    frame->header.base_time = base_time;
}

Sequencer::Sequencer(LogId log, std::uint64_t session_seconds, PendingIndex& pending)
    : log_(log),
      session_micros_(static_cast<std::int64_t>(session_seconds) * 1'000'000),
      pending_(pending) {}

void Sequencer::judge(WriteBatch& batch, Group& group, Time now) {
    Call call{batch,
              group,
              group.parts[static_cast<std::size_t>(log_)],
              std::max(now, latest_.last_time),
              batch.stream.get(),
              nullptr};
    stop_watching(call);
    if (batch.atomic) return judge_atomic(call);
    // A batch that is refused may have been looked up in vain: what it found of its session is no
    // state to go on from.
    if (call.stream != nullptr && !call.stream->session.empty() && !batch.prepared->error) {
        const auto& known = batch.prepared->known_session;
        call.session =
            &memtable_.sessions.obtain(batch.prepared->session, known ? *known : SessionEntry{});
        if (call.session->latest.time.micros + session_micros_ < call.now.micros) {
            call.session->latest.highest_line = 0;  // forgotten after its time
        }
    }
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        if (i + kPrefetchRecords < batch.records.size()) {
            const PreparedRecord& soon = batch.prepared->records[i + kPrefetchRecords];
            memtable_.heads.prefetch(soon.entity);
            memtable_.ids.prefetch(soon.id);
        }
        WriteResult& result = batch.results[i];
        if (call.stream != nullptr && call.stream->stopped) {
            result.outcome = WriteResult::Outcome::skipped;
            continue;
        }
        judge_record(call, i);
        if (result.outcome == WriteResult::Outcome::refused) {
            ++counters_.refused;
            if (call.stream != nullptr && call.stream->stop_on_error) call.stream->stopped = true;
        } else if (result.outcome == WriteResult::Outcome::duplicate) {
            ++counters_.duplicates;
        }
    }
}

namespace {

void refuse(WriteResult& result, Error error) {
    result.outcome = WriteResult::Outcome::refused;
    result.error = std::move(error);
}

}  // namespace

HeadTable::Slot& Sequencer::entity_of(const PreparedRecord& prepared) {
    return memtable_.heads.obtain(prepared.entity, prepared.head.value_or(HeadEntry{}));
}

bool Sequencer::known_line(Call& call, const WriteRecord& record, WriteResult& result) {
    if (call.session == nullptr || record.line == 0) return false;
    const SessionEntry& entry = call.session->latest;
    if (record.line > entry.highest_line) return false;
    result.outcome = WriteResult::Outcome::duplicate;
    if (record.line == entry.highest_line) {  // earlier ones: Log::session_lines finds them
        result.seq = entry.seq;
        result.version = entry.version;
        result.time = entry.time;
    }
    return true;
}

bool Sequencer::known_id(const WriteRecord& record, const PreparedRecord& prepared,
                         WriteResult& result) {
    if (record.id.empty()) return false;
    IdEntry known;
    if (const IdTable::Slot* slot = memtable_.ids.find(prepared.id)) {
        known = slot->latest;
    } else if (prepared.known_id) {
        known = *prepared.known_id;
    }
    if (known.seq == Seq{}) return false;
    if (known.digest == prepared.digest) {
        result.outcome = WriteResult::Outcome::duplicate;
        result.seq = known.seq;
        result.version = known.version;
        result.time = known.time;
        return true;
    }
    refuse(result, Error{Code::id_reused,
                         "the id \"" + std::string(record.id) +
                             "\" was used with another topic, kind or value at seq " +
                             std::to_string(known.seq.value),
                         "use a new id for a new record"});
    return true;
}

// A step of a consumer: its record says what was judged.
void Sequencer::judge_step(Call& call, std::size_t index) {
    const PreparedRecord& prepared = call.batch.prepared->records[index];
    WriteRecord& record = call.batch.records[index];
    WriteResult& result = call.batch.results[index];
    if (prepared.error) return refuse(result, *prepared.error);
    ConsumerStep& step = call.batch.prepared->steps[index];
    const Seq head = latest_.last_seq;
    const Result<bool> judged =
        consumers_.judge(step, Seq{head.value + 1}, head, call.now, call.part.consumers);
    if (!judged) return refuse(result, judged.error());
    if (!*judged) return;  // it holds already: `skipped`
    record.value = step.value;
    write(call, record, prepared, nullptr, result);
}

void Sequencer::judge_record(Call& call, std::size_t index) {
    if (!call.batch.prepared->steps.empty()) return judge_step(call, index);
    const WriteRecord& record = call.batch.records[index];
    const PreparedRecord& prepared = call.batch.prepared->records[index];
    WriteResult& result = call.batch.results[index];
    if (prepared.error) {
        refuse(result, *prepared.error);
        return;
    }
    if (known_line(call, record, result) || known_id(record, prepared, result)) return;
    if (record.settings_seq < latest_.settings_seq) {
        result.outcome = WriteResult::Outcome::stale_settings;
        return;
    }
    HeadTable::Slot* entity = nullptr;
    if (record.has_key) {
        entity = &entity_of(prepared);
        const HeadEntry head = entity->latest;
        if (head.state == EntityState::closed) {
            refuse(result, closed_error());
            return;
        }
        if (!holds(record.expect, head)) {
            refuse(result, conflict_error(record.expect, head));
            result.conflict = Conflict{record.expect, head.version, head.state, head.last_seq};
        }
    }
    if (prepared.guard != kNoGuard) {
        std::optional<Violation> violation =
            judge_guard(call, call.batch.looked->guards[prepared.guard]);
        if (violation) {
            result.guard_conflict = std::move(violation->guard);
            if (!result.error) refuse(result, std::move(violation->error));
        }
    }
    if (result.error) return;
    write(call, record, prepared, entity, result);
}

void Sequencer::write(Call& call, const WriteRecord& record, const PreparedRecord& prepared,
                      HeadTable::Slot* entity, WriteResult& result) {
    GroupPart& part = call.part;
    RecordView view;
    view.seq = Seq{latest_.last_seq.value + 1};
    view.time = call.now;
    view.kind = record.kind;
    view.encoding = record.encoding;
    view.has_key = record.has_key;
    view.has_event_time = record.has_event_time;
    view.event_time = record.event_time;
    view.topic = record.topic;
    view.key = record.key;
    view.id = record.id;
    view.headers = record.headers;
    view.value = record.value;
    if (call.session != nullptr && record.line != 0) {
        view.session = call.stream->session;
        view.session_line = record.line;
    }
    if (entity != nullptr) {
        const std::uint64_t before = HeadEntry(entity->latest).version.value;
        view.version = Version{before + 1};
        entity->write({state_after(record.kind), view.version, view.seq}, call.group.number);
        part.heads.emplace_back(entity, entity->latest);
        if (before == 0) part.new_keys.emplace_back(space_of(record.topic), record.key);
    }
    if (!record.id.empty()) {
        IdTable::Slot& slot = memtable_.ids.obtain(prepared.id, IdEntry{});
        slot.write(IdEntry{prepared.digest, view.seq, view.version, view.time}, call.group.number);
        part.ids.emplace_back(&slot, slot.latest);
    }
    if (view.session_line != 0) {
        call.session->write(SessionEntry{record.line, view.seq, view.version, view.time},
                            call.group.number);
        if (!part.sessions.empty() && part.sessions.back().first == call.session) {
            part.sessions.back().second = call.session->latest;
        } else {
            part.sessions.emplace_back(call.session, call.session->latest);
        }
    }
    if (is_own(view)) write_own(part, call.group, view);

    const std::size_t bytes = encoded_bytes_max(view);
    if (part.frames.empty() || part.frames.back().frame->bytes.size() + bytes > kFrameBytesWanted) {
        // Where one was filled, the next one is likely to be: it need not be copied as it grows.
        const bool room = !part.frames.empty();
        if (call.in_batch) part.frames.back().joined = true;
        part.frames.emplace_back(log_, view.seq, view.time);
        if (room) part.frames.back().frame->bytes.reserve(kFrameBytesWanted);
    }
    FrameBuild& frame = part.frames.back();
    frame.encoder.add(view);
    call.in_batch = call.batch.atomic != nullptr;
    frame.last_time = view.time;
    if (entity != nullptr) frame.entities.push_back(entity_fingerprint(prepared.entity));
    call.group.bytes += bytes;

    if (part.last_count == nullptr || part.last_topic != record.topic) {
        part.last_topic = record.topic;
        part.last_count = &part.topics[record.topic];
    }
    if (part.last_count->records++ == 0) part.last_count->first_seq = view.seq;
    part.last_count->last_seq = view.seq;
    if (recent_ && !is_reserved_topic(record.topic)) recent_->add(record.topic, view.seq);
    part.last_seq = view.seq;
    part.last_time = view.time;
    ++part.records;
    latest_.last_seq = view.seq;
    latest_.last_time = view.time;

    result.outcome = WriteResult::Outcome::written;
    result.seq = view.seq;
    result.version = view.version;
    result.time = view.time;
}

namespace {

template <class Touched>
void publish_slots(const Touched& touched, std::uint64_t group) {
    for (const auto& [slot, entry] : touched) slot->publish(entry, group);
}

template <class Touched>
void drop_slots(const Touched& touched) {
    for (const auto& [slot, entry] : touched) slot->drop();
}

}  // namespace

void Sequencer::publish(Group& group) {
    GroupPart& part = group.parts[static_cast<std::size_t>(log_)];
    if (part.records == 0) return;
    publish_slots(part.heads, group.number);
    publish_slots(part.ids, group.number);
    publish_slots(part.sessions, group.number);
    for (const auto& [space, key] : part.new_keys) pending_.add_key(space, key);
    for (const auto& [topic, count] : part.topics) pending_.add_topic(topic, count);
    for (const auto& [topic, value] : part.settings) apply_setting(topic, value);
    consumers_.publish(part.consumers);
    own_.add(part.own);
    counters_.positions += part.own.positions;
    durable_.last_seq = part.last_seq;
    durable_.last_time = part.last_time;
    if (part.settings_seq != 0) durable_.settings_seq = part.settings_seq;
    counters_.written += part.records;
}

void Sequencer::drop(Group& group) {
    GroupPart& part = group.parts[static_cast<std::size_t>(log_)];
    drop_slots(part.heads);
    drop_slots(part.ids);
    drop_slots(part.sessions);
    consumers_.drop(part.consumers);
}

void Sequencer::reset_to_durable() {
    latest_ = durable_;
    consumers_.dropped();
    recent_.reset();
    ++drops_;
}

void Sequencer::restore_position(const Position& position) {
    durable_ = position;
    latest_ = position;
}

void Sequencer::forget_heads() {
    recent_.reset();
    memtable_.forget();
    durable_.last_seq = Seq{};
    durable_.last_time = Time{};
    latest_ = durable_;
}

Status Sequencer::replay(const RecordView& record, const HashKey& key, bool settings_known,
                         bool listed) {
    durable_.last_seq = std::max(durable_.last_seq, record.seq);
    durable_.last_time = std::max(durable_.last_time, record.time);
    if (!settings_known && is_own(record)) KLOG_TRY(replay_own(record));
    latest_ = durable_;
    if (!listed) {
        if (record.has_key && record.version.value == 1) {
            pending_.add_key(space_of(record.topic), record.key);
        }
        pending_.add_topic(record.topic, TopicCount{1, record.seq, record.seq});
    }
    if (record.has_key) {
        memtable_.heads.restore(entity_hash(key, space_of(record.topic), record.key),
                                HeadEntry{state_after(record.kind), record.version, record.seq});
    }
    if (!record.id.empty()) {
        const Hash128 id = id_hash(key, record.topic, record.has_key, record.key, record.id);
        const Hash128 digest =
            write_digest(key, record.kind, record.encoding, record.topic, record.value);
        memtable_.ids.restore(id, IdEntry{digest, record.seq, record.version, record.time});
    }
    if (record.session_line != 0) {
        memtable_.sessions.restore(
            session_hash(key, record.session),
            SessionEntry{record.session_line, record.seq, record.version, record.time});
    }
    return {};
}

}  // namespace klog
