#include "log/log_impl.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>

#include "log/holes.h"
#include "log/prepare.h"
#include "log/scan.h"
#include "topic/topic.h"

namespace klog {
namespace {

EntityHead entity_head(const HeadEntry& entry) {
    return EntityHead{entry.state, entry.version, entry.last_seq};
}

Error read_only_refusal() {
    return Error{Code::not_allowed, "the log was opened read-only, so it takes no records",
                 "open it without read_only, once this one is closed"};
}

void refuse_all(std::unique_ptr<WriteBatch> batch, const Error& error) {
    batch->results.assign(batch->records.size(), WriteResult{});
    for (WriteResult& result : batch->results) {
        result.outcome = WriteResult::Outcome::refused;
        result.error = error;
    }
    if (batch->stream && batch->stream->stop_on_error) batch->stream->stopped = true;
    auto done = std::move(batch->done);
    if (done) done(std::move(batch));
}

Error no_such_key(std::string_view space, std::string_view key) {
    return Error{Code::not_found,
                 "no record of key \"" + std::string(key) + "\" in \"" + std::string(space) + "\"",
                 {}};
}

}  // namespace

LogImpl::LogImpl(LogCore& core, Wal& wal, FileCatalog& catalog, Pipeline& pipeline,
                 Flusher& flusher)
    : core_(core), wal_(wal), catalog_(catalog), pipeline_(pipeline), flusher_(flusher) {}

FrameSource LogImpl::source() const { return {core_.id, wal_, catalog_, core_.tail}; }

void LogImpl::append(std::unique_ptr<WriteBatch> batch) {
    batch->prepared.reset();
    if (core_.read_only) return refuse_all(std::move(batch), read_only_refusal());
    pipeline_.append(core_.id, std::move(batch));
}

Seq LogImpl::head() const { return core_.tail.head(); }

Status LogImpl::check_known(const std::vector<HeadEntry>& heads) const {
    if (!core_.unknown_heads) return {};
    const bool known = std::all_of(heads.begin(), heads.end(), [this](const HeadEntry& head) {
        return head.last_seq > core_.unknown_heads->upto;
    });
    return known ? Status() : core_.unknown_heads->error;
}

Status LogImpl::heads_of(const std::vector<Hash128>& hashes, std::vector<HeadEntry>& heads) const {
    heads.assign(hashes.size(), HeadEntry{});
    std::vector<Hash128> missing;
    std::vector<std::size_t> owners;
    pipeline_.with_state([&] {
        for (std::size_t i = 0; i < hashes.size(); ++i) {
            if (const HeadTable::Slot* slot = core_.sequencer.memtable().heads.find(hashes[i])) {
                heads[i] = slot->durable;
            } else {
                missing.push_back(hashes[i]);
                owners.push_back(i);
            }
        }
    });
    if (missing.empty() || core_.runs->runs() == 0) return check_known(heads);
    std::vector<std::optional<HeadEntry>> found(missing.size());
    KLOG_TRY(core_.runs->find_heads(missing, found));
    for (std::size_t i = 0; i < owners.size(); ++i) {
        if (found[i]) heads[owners[i]] = *found[i];
    }
    return check_known(heads);
}

Result<EntityHead> LogImpl::entity(std::string_view space, std::string_view key) {
    KLOG_TRY(check_space(space));
    KLOG_TRY(check_key(key));
    std::vector<HeadEntry> heads;
    KLOG_TRY(heads_of({entity_hash(wal_.hash_key(), space, key)}, heads));
    return entity_head(heads[0]);
}

Result<OwnedRecord> LogImpl::record_at(Seq seq) {
    FrameSource frames = source();
    KLOG_TRY_ASSIGN(const FrameSource::Found found, frames.find(seq, nullptr));
    const FrameHeader& header = found.frame->header;
    RecordDecoder decoder(found.frame->payload(), header.first_seq, header.base_time, header.count);
    OwnedRecord record;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next(record.view));
        if (!more) {
            return Error{Code::corrupt, "seq " + std::to_string(seq.value) + " is missing", {}};
        }
        if (record.view.seq == seq) break;
    }
    record.pin = found.frame;
    return record;
}

Result<OwnedRecord> LogImpl::get(std::string_view space, std::string_view key,
                                 std::optional<Version> version) {
    KLOG_TRY_ASSIGN(const EntityHead head, entity(space, key));
    if (head.version == Version{}) return no_such_key(space, key);
    if (!version || *version == head.version) return record_at(head.last_seq);
    if (*version > head.version || *version == Version{}) {
        Error error = no_such_key(space, key);
        error.message = "version " + std::to_string(version->value) +
                        " does not exist, the newest is " + std::to_string(head.version.value);
        return error;
    }
    ReadOptions options;
    options.filters = {std::string(space) + "/#"};
    options.key = std::string(key);
    options.until_seq = head.last_seq;
    KLOG_TRY_ASSIGN(const std::unique_ptr<Reader> reader, read(options));
    for (;;) {
        KLOG_TRY_ASSIGN(ReadChunk chunk, reader->read(256U * 1024, 1000));
        for (const RecordView& record : chunk.records) {
            if (record.version == *version) return record_at(record.seq);
        }
        if (chunk.end) return no_such_key(space, key);
    }
}

// The seq from which to look for the first record with a time >= `time`: that of a block or a frame
// that begins no later. nullopt: there is no such record.
Result<std::optional<Seq>> LogImpl::near_time(Time time) const {
    for (;;) {
        const Seq sealed = catalog_.segments().last_seq(core_.id);
        if (const auto segment = catalog_.segments().find(core_.id, time)) {
            KLOG_TRY_ASSIGN(const std::uint32_t block, segment->find_block(time));
            KLOG_TRY_ASSIGN(const BlockInfo info, segment->block_info(block));
            return std::optional<Seq>(info.held.first);
        }
        const auto place = catalog_.find(core_.id, time);
        // What was sealed between the two looks is in neither of them.
        if (catalog_.segments().last_seq(core_.id) != sealed) continue;
        return place ? std::optional<Seq>(place->point_seq) : std::nullopt;
    }
}

Result<Seq> LogImpl::before_time(Time time, Seq head) {
    KLOG_TRY_ASSIGN(std::optional<Seq> from, near_time(time));
    if (!from) {
        // Behind all that can be read: only what cannot may be that new.
        const Hole* hole = catalog_.hole_at(core_.id, head);
        return hole == nullptr ? Result<Seq>(head) : hole_error(*hole);
    }
    FrameSource frames = source();
    while (*from <= head) {
        KLOG_TRY_ASSIGN(const FrameSource::Found found, frames.find(*from, nullptr));
        const FrameHeader& header = found.frame->header;
        RecordDecoder decoder(found.frame->payload(), header.first_seq, header.base_time,
                              header.count);
        RecordView record;
        for (;;) {
            KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
            if (!more) break;
            if (record.time < time) continue;
            const Seq before{record.seq.value - 1};
            // How old the records in a hole are is known only where they are sealed.
            const Hole* hole = catalog_.hole_at(core_.id, before);
            if (hole != nullptr && catalog_.segments().find(core_.id, before) == nullptr) {
                return hole_error(*hole);
            }
            return std::min(before, head);
        }
        from = Seq{found.last_seq.value + 1};
    }
    return head;
}

Result<LogImpl::Counted> LogImpl::count(const ReadOptions& options, const FilterSet& set, Seq after,
                                        Seq end, std::uint64_t records_max) {
    LogReader reader(source(), core_.tail, set, options.key, wal_.hash_key(),
                     LogReader::Range{after, end, false, options.until_time});
    Counted counted;
    while (counted.records < records_max) {
        KLOG_TRY_ASSIGN(const ReadChunk chunk, reader.read(1U << 20U, 4096));
        const auto taken =
            std::min<std::uint64_t>(chunk.records.size(), records_max - counted.records);
        if (taken > 0) counted.last = chunk.records[static_cast<std::size_t>(taken - 1)].seq;
        counted.records += taken;
        if (chunk.end) break;
    }
    return counted;
}

// Looks through windows before `end`, each four times the last, until one holds enough. Then once
// more for where the last `count` begin, so that no list of them grows with `count`.
Result<Seq> LogImpl::before_last(const ReadOptions& options, const FilterSet& set, Seq end) {
    const std::uint64_t wanted = options.from.count;
    if (wanted == 0) return end;
    if (wanted >= end.value) return Seq{};  // there are no more records than seqs
    const Hole* hole = catalog_.hole_before(core_.id, end);
    const Seq least = hole == nullptr ? Seq{} : hole->last;
    std::uint64_t window = std::max<std::uint64_t>(wanted * 2, 1024);
    for (;; window *= 4) {
        const Seq after = std::max(least, Seq{end.value > window ? end.value - window : 0});
        KLOG_TRY_ASSIGN(const Counted all, count(options, set, after, end, ~0ULL));
        if (all.records == wanted) return after;
        if (all.records > wanted) {
            KLOG_TRY_ASSIGN(const Counted skipped,
                            count(options, set, after, end, all.records - wanted));
            return skipped.last;
        }
        if (after == Seq{}) return Seq{};
        if (after == least) return hole_error(*hole);
    }
}

// A time that lies before the newest record's is a seq, for good: times never fall along the seqs.
Result<LogImpl::EndOf> LogImpl::end_of(const ReadOptions& options, Seq head) {
    EndOf end;
    end.ever = options.until_seq;
    if (options.until_time &&
        options.until_time->micros < std::numeric_limits<std::int64_t>::max()) {
        KLOG_TRY_ASSIGN(const Seq last, before_time(Time{options.until_time->micros + 1}, head));
        if (last < head) end.ever = std::min(last, end.ever.value_or(last));
    }
    end.now = std::min(head, end.ever.value_or(head));
    return end;
}

Result<Seq> LogImpl::start_of(const ReadOptions& options, const FilterSet& set, Seq head, Seq end) {
    switch (options.from.form) {
        case ReadFrom::Form::start:
            return Seq{};
        case ReadFrom::Form::end:
            return head;
        case ReadFrom::Form::after:
            return options.from.seq;
        case ReadFrom::Form::from:
            return Seq{options.from.seq.value == 0 ? 0 : options.from.seq.value - 1};
        case ReadFrom::Form::time:
            return before_time(options.from.time, head);
        case ReadFrom::Form::last:
            return before_last(options, set, end);
    }
    return Error{Code::bug, "an unknown start of a read", {}};
}

Result<std::unique_ptr<Reader>> LogImpl::read(const ReadOptions& options) {
    KLOG_TRY_ASSIGN(FilterSet set, FilterSet::parse(options.filters, options.not_filters));
    if (options.key) KLOG_TRY(check_key(*options.key));
    const Seq head = core_.tail.head();
    KLOG_TRY_ASSIGN(const EndOf end, end_of(options, head));
    KLOG_TRY_ASSIGN(const Seq after, start_of(options, set, head, end.now));
    LogReader::Range range;
    range.after = after;
    range.follow = options.follow;
    range.until_time = options.until_time;
    range.stored_blocks = options.stored_blocks;
    range.end = options.follow ? end.ever.value_or(Seq{~0ULL}) : end.now;
    std::unique_ptr<Reader> reader = std::make_unique<LogReader>(
        source(), core_.tail, std::move(set), options.key, wal_.hash_key(), range);
    return reader;
}

Result<std::vector<Log::SessionLine>> LogImpl::session_lines(const SessionId& session,
                                                             std::uint64_t first_line,
                                                             std::uint64_t last_line, Seq after) {
    std::vector<SessionLine> lines;
    FrameSource frames = source();
    const Seq newest = head();
    // Lines that are sent again stand a little behind the last one that was acknowledged; where
    // none was, they were written a short while ago.
    Seq from = after;
    if (after == Seq{}) from.value = newest.value - std::min(newest.value, kSessionScanRecordsMax);
    const bool within =
        newest.value - std::min(newest.value, after.value) <= kSessionScanRecordsMax;
    const Seq end{within ? newest.value : from.value + kSessionScanRecordsMax};
    bool all = false;
    while (from < end && !all) {
        const Seq upto{std::min(end.value, from.value + kSessionStepRecords)};
        KLOG_TRY(for_each_record(frames, from, upto, nullptr, [&](const RecordView& record) {
            if (record.session != session) return Status{};
            // A session writes its lines in their order.
            all = all || record.session_line >= last_line;
            if (record.session_line >= first_line && record.session_line <= last_line) {
                lines.push_back(SessionLine{record.session_line, record.seq, record.version});
            }
            return Status{};
        }));
        from = upto;
    }
    if (!within && !all) {
        return Error{Code::too_many,
                     "the lines are not among the " + std::to_string(kSessionScanRecordsMax) +
                         " records that are searched for them",
                     "session_after=SEQ: the last seq that was acknowledged"};
    }
    return lines;
}

Result<Seq> LogImpl::write_internal(std::string_view topic, std::string_view value) {
    if (core_.read_only) return read_only_refusal();
    struct Waiter {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<WriteResult> result;
    };
    auto waiter = std::make_shared<Waiter>();
    auto batch = std::make_unique<WriteBatch>();
    WriteRecord record;
    record.topic = batch->keep(std::string(topic));
    record.value = batch->keep(std::string(value));
    record.kind = Kind::settings;
    record.encoding = Encoding::bytes;
    batch->records.push_back(record);
    batch->prepared = std::make_shared<WriteBatch::Prepared>();
    batch->prepared->internal = true;
    batch->done = [waiter](std::unique_ptr<WriteBatch> done) {
        const std::lock_guard lock(waiter->mutex);
        waiter->result = done->results.at(0);
        waiter->changed.notify_all();
    };
    pipeline_.append(core_.id, std::move(batch));
    std::unique_lock lock(waiter->mutex);
    waiter->changed.wait(lock, [&] { return waiter->result.has_value(); });
    if (waiter->result->outcome == WriteResult::Outcome::written) return waiter->result->seq;
    return *waiter->result->error;
}

Result<Seq> LogImpl::put_setting(std::string_view name, std::string_view value) {
    const std::lock_guard lock(settings_mutex_);
    return write_internal(std::string(kSettingsTopicPrefix) + std::string(name), value);
}

std::optional<std::string> LogImpl::setting(std::string_view name) const {
    const std::string topic = std::string(kSettingsTopicPrefix) + std::string(name);
    return pipeline_.with_state([&]() -> std::optional<std::string> {
        const SettingsMap& settings = core_.sequencer.settings();
        const auto at = settings.find(topic);
        if (at == settings.end()) return std::nullopt;
        return at->second;
    });
}

std::uint64_t LogImpl::settings_seq() const {
    return core_.settings_seq.load(std::memory_order_relaxed);
}

Result<Seq> LogImpl::write_checkpoint() {
    const std::lock_guard lock(settings_mutex_);
    const std::string value = pipeline_.with_state([&] {
        const SettingsMap& settings = core_.sequencer.settings();
        return settings.empty() ? std::string() : encode_settings(settings);
    });
    if (value.empty()) return Seq{};
    return write_internal(kCheckpointTopic, value);
}

LogStats LogImpl::stats() const {
    LogStats stats;
    stats.head = head();
    pipeline_.with_state([&] {
        const Sequencer::Counters& counters = core_.sequencer.counters();
        stats.last_time = core_.sequencer.durable().last_time;
        stats.records_written = counters.written;
        stats.refused = counters.refused;
        stats.duplicates = counters.duplicates;
        stats.memtable_bytes = core_.sequencer.memtable().bytes();
    });
    stats.groups = pipeline_.groups();
    stats.queue_bytes = pipeline_.queue_bytes();
    stats.runs = core_.runs->runs();
    stats.readers = core_.tail.followers();
    stats.key_index_seq = Seq{core_.pending_after.load()};
    return stats;
}

}  // namespace klog
