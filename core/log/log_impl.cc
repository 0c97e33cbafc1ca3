#include "log/log_impl.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "log/holes.h"
#include "log/internal_write.h"
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
    if (batch->atomic) {
        batch->atomic->outcome = WriteResult::Outcome::refused;
        batch->atomic->error = error;
    }
    auto done = std::move(batch->done);
    if (done) done(std::move(batch));
}

}  // namespace

LogImpl::LogImpl(LogCore& core, Wal& wal, FileCatalog& catalog, Pipeline& pipeline,
                 Flusher& flusher)
    : core_(core),
      wal_(wal),
      catalog_(catalog),
      pipeline_(pipeline),
      flusher_(flusher),
      consumers_(core, pipeline) {}

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
    // What is read in steps while the heads are made anew may be anything.
    std::uint64_t finished = 0;
    do {
        finished = core_.heads.finished();
        KLOG_TRY(core_.heads.check());
        KLOG_TRY(read_heads(hashes, heads));
        KLOG_TRY(core_.heads.check());
    } while (core_.heads.finished() != finished);
    return check_known(heads);
}

Status LogImpl::read_heads(const std::vector<Hash128>& hashes,
                           std::vector<HeadEntry>& heads) const {
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
    if (missing.empty() || core_.runs->runs() == 0) return {};
    std::vector<std::optional<HeadEntry>> found(missing.size());
    KLOG_TRY(core_.looked_up(core_.runs->find_heads(missing, found)));
    for (std::size_t i = 0; i < owners.size(); ++i) {
        if (found[i]) heads[owners[i]] = *found[i];
    }
    return {};
}

Result<EntityHead> LogImpl::entity(std::string_view space, std::string_view key) {
    KLOG_TRY(check_space(space));
    KLOG_TRY(check_key(key));
    std::vector<HeadEntry> heads;
    KLOG_TRY(heads_of({entity_hash(wal_.hash_key(), space, key)}, heads));
    return entity_head(heads[0]);
}

Result<OwnedRecord> LogImpl::record(Seq seq) {
    if (seq == Seq{} || seq > head()) {
        return Error{Code::not_found, "there is no seq " + std::to_string(seq.value), {}};
    }
    return record_at(seq);
}

bool LogImpl::guards_in_memory(WriteBatch& batch) {
    return core_.read_only || pipeline_.guards_in_memory(core_.id, batch);
}

void LogImpl::look_at_guards(WriteBatch& batch) {
    if (!core_.read_only) pipeline_.look_at_guards(core_.id, batch);
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
    // The last ones are counted among those that are shown.
    if (options.newest_per_key && options.from.form == ReadFrom::Form::last) return Seq{};
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
    if (options.newest_per_key) return newest_reader(options, set, range, end.now);
    std::unique_ptr<Reader> reader = std::make_unique<LogReader>(
        source(), core_.tail, std::move(set), options.key, wal_.hash_key(), range);
    return reader;
}

std::unique_ptr<Reader> LogImpl::newest_reader(const ReadOptions& options, const FilterSet& set,
                                               const LogReader::Range& range, Seq pinned) {
    const auto open = [this, set, key = options.key, range, pinned](
                          Seq after, bool follow) -> std::unique_ptr<Reader> {
        LogReader::Range part = range;
        part.after = after;
        // A pass is over what is pinned, where every time was judged already.
        if (!follow) part = LogReader::Range{after, pinned, false, std::nullopt};
        return std::make_unique<LogReader>(source(), core_.tail, set, key, wal_.hash_key(), part);
    };
    NewestReader::Range newest{range.after, pinned, range.follow};
    if (options.from.form == ReadFrom::Form::last) newest.last = options.from.count;
    return std::make_unique<NewestReader>(open, source(), core_.tail, wal_.hash_key(),
                                          core_.newest_bytes, newest);
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

Result<Seq> LogImpl::write_setting(std::string_view topic, std::string_view value) {
    if (core_.read_only) return read_only_refusal();
    auto batch = internal_batch();
    add_internal(*batch, Kind::settings, topic, value);
    const auto done = write_and_wait(pipeline_, core_.id, std::move(batch));
    return seq_of(done->results.at(0));
}

Result<Seq> LogImpl::put_setting(std::string_view name, std::string_view value) {
    const std::string topic = std::string(kSettingsTopicPrefix) + std::string(name);
    if (topic.starts_with(kConsumerTopicPrefix)) {
        return Error{Code::bad_option, "consumers are no settings of this call",
                     "Log::consumers()"};
    }
    const std::lock_guard lock(settings_mutex_);
    return write_setting(topic, value);
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

Result<LogImpl::Checkpoint> LogImpl::write_checkpoint() {
    const std::lock_guard lock(settings_mutex_);
    Checkpoint checkpoint;
    Seq as_of;
    std::string after;
    for (bool more = true; more;) {
        CheckpointRecord record;
        pipeline_.with_state([&] {
            const Sequencer& sequencer = core_.sequencer;
            if (checkpoint.seq == Seq{}) {
                as_of = sequencer.durable().last_seq;
                record.settings = sequencer.settings();
            }
            more = sequencer.consumers().checkpoint_part(after, record.consumers);
        });
        record.as_of = as_of;
        record.previous = checkpoint.seq;
        checkpoint.consumer_bytes += record.consumers.size();
        KLOG_TRY_ASSIGN(checkpoint.seq, write_setting(kCheckpointTopic, encode_checkpoint(record)));
    }
    return checkpoint;
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
        stats.consumers = core_.sequencer.consumers().size();
        stats.positions_records = counters.positions;
    });
    stats.groups = pipeline_.groups();
    stats.queue_bytes = pipeline_.queue_bytes();
    stats.runs = core_.runs->runs();
    stats.readers = core_.tail.followers();
    const Seq pending_after{core_.pending_after.load()};
    const KeyIndexStats index = core_.key_index->stats();
    stats.key_index_seq = index.upto;
    stats.key_index_behind_records =
        pending_after.value - std::min(pending_after, index.upto).value;
    stats.key_index_pending_bytes = core_.pending.bytes();
    stats.key_index_keys = index.keys;
    stats.key_index_runs = index.runs;
    stats.key_index_merges = index.merges;
    stats.key_index_merged_keys = index.merged_keys;
    return stats;
}

}  // namespace klog
