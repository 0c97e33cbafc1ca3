#include "log/flusher.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "index/run_format.h"
#include "log/scan.h"
#include "topic/topic.h"

namespace klog {
namespace {

template <class Entries>
void sort_by_hash(Entries& entries) {
    sort_by_spread_hash(entries, [](const auto& entry) { return entry.first; });
}

}  // namespace

Flusher::Flusher(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
                 Pipeline& pipeline, std::array<LogCore*, kLogs> logs)
    : env_(env),
      memtable_bytes_max_(options.memtable_bytes_max),
      rebuild_later_records_(options.rebuild_later_records),
      session_micros_(static_cast<std::int64_t>(options.session_seconds) * 1'000'000),
      wal_(wal),
      catalog_(catalog),
      pipeline_(pipeline),
      logs_(logs) {}

bool Flusher::due() const {
    return std::any_of(logs_.begin(), logs_.end(), [this](LogCore* log) {
        const std::size_t bytes =
            pipeline_.with_state([log] { return log->sequencer.memtable().bytes(); });
        return bytes >= memtable_bytes_max_ || log->pending.bytes() >= memtable_bytes_max_;
    });
}

bool Flusher::memory_due() const {
    return std::any_of(logs_.begin(), logs_.end(), [this](LogCore* log) {
        return pipeline_.with_state([log] { return log->sequencer.memtable().bytes(); }) >=
               memtable_bytes_max_;
    });
}

Status Flusher::flush() {
    Status written = write();
    if (!written) return written;
    for (bool more = true; more && !memory_due();) {
        KLOG_TRY_ASSIGN(more, merge_step());
    }
    return {};
}

Result<bool> Flusher::merge_step() {
    MutexLock lock(mutex_);
    for (LogCore* log : logs_) {
        const Time session_before{env_.now().micros - session_micros_};
        const Result<bool> more = log->runs->merge_step(session_before);
        if (!more.ok()) return log->looked_up(more.error()).error();
        if (*more) return true;
    }
    return false;
}

Status Flusher::write() {
    Status first;
    {
        MutexLock lock(mutex_);
        for (LogCore* log : logs_) {
            Status status = flush_log(*log);
            if (!status && first) first = std::move(status);
        }
    }
    std::size_t most = 0;
    for (LogCore* log : logs_) {
        most =
            std::max({most, log->pending.bytes(),
                      pipeline_.with_state([log] { return log->sequencer.memtable().bytes(); })});
    }
    pipeline_.hold_back(Pipeline::Lagging::flusher, most > kHoldBackFactor * memtable_bytes_max_);
    return first;
}

Status Flusher::flush_log(LogCore& log) {
    const RunWatermark watermark = log.runs->watermark();
    RunContents contents;
    pipeline_.with_state([&] {
        const Sequencer::Position& durable = log.sequencer.durable();
        contents.covered_after = watermark.covered_upto;
        contents.covered_upto = durable.last_seq;
        contents.last_time = durable.last_time;
        contents.settings_seq = std::max(durable.settings_seq, log.sequencer.own().newest);
        const Pipeline::DurablePoint point = pipeline_.durable_point();
        contents.wal_id = point.position.wal_id;
        contents.wal_offset = point.position.offset;
        Memtable& memtable = log.sequencer.memtable();
        if (contents.covered_upto == contents.covered_after) {
            // Nothing is new, but what was only looked at takes room as well: refused writes,
            // guards.
            if (memtable.bytes() >= memtable_bytes_max_) memtable.evict_clean();
            return;
        }
        memtable.heads.collect_dirty(contents.heads);
        memtable.ids.collect_dirty(contents.ids);
        memtable.sessions.collect_dirty(contents.sessions);
    });
    if (contents.covered_upto > contents.covered_after) {
        sort_by_hash(contents.heads);
        sort_by_hash(contents.ids);
        sort_by_hash(contents.sessions);
        Status added = log.runs->add(contents);
        pipeline_.with_state([&] {
            Memtable& memtable = log.sequencer.memtable();
            if (added) {
                memtable.evict_clean();
            } else {
                memtable.heads.restore_dirty(contents.heads);
                memtable.ids.restore_dirty(contents.ids);
                memtable.sessions.restore_dirty(contents.sessions);
            }
        });
        KLOG_TRY(std::move(added));
    }
    return apply_pending(log, contents.covered_upto);
}

Status Flusher::forget_heads(LogCore& log) {
    MutexLock lock(mutex_);
    pipeline_.with_state([&] {
        log.sequencer.forget_heads();
        log.pending.forget();
    });
    return log.runs->reset();
}

Status Flusher::apply_pending(LogCore& log, Seq upto) {
    const Seq after{log.pending_after.load()};
    if (upto <= after) return {};
    // An index that has to be made anew from a long log is not waited for.
    for (int step = 0; step < kFlushSteps; ++step) {
        KLOG_TRY_ASSIGN(const bool more, catch_up_step_locked(log));
        if (!more) break;
    }
    KLOG_TRY_ASSIGN(const Seq have, log.key_index->watermark());
    const bool fits = have == after;
    // Everything durable is in `pending`, perhaps more than `upto` by now.
    pipeline_.with_state([&] {
        const Seq durable = log.sequencer.durable().last_seq;
        // Where the log is asked for it instead: before it leaves `pending`, so that a listing that
        // misses it there knows that it does.
        if (!fits) log.pending_after.store(durable.value);
        log.pending.freeze(after, durable);
    });
    if (!fits) {
        log.pending.applied();
        return {};
    }
    const KeyIndexDelta& delta = log.pending.frozen();
    Status applied = log.key_index->apply(delta);
    if (!applied) {
        log.pending.failed();
        return applied;
    }
    const Seq now = delta.upto;
    const std::uint64_t keys = delta.keys.size();
    // In this order: a listing that falls between the two sees that they differ and looks again.
    log.pending.applied();
    log.pending_after.store(now.value);
    return merge_keys(log, keys);
}

// Merging keeps up with what comes: a key is moved once for each level, of which there are fewer
// than kMergeFactor until there are hundreds of millions.
Status Flusher::merge_keys(LogCore& log, std::uint64_t keys) {
    const std::uint64_t budget = keys * kMergeFactor + kMergeStepKeys;
    for (std::uint64_t moved = 0; moved < budget;) {
        KLOG_TRY_ASSIGN(const std::uint64_t step, log.key_index->merge_step(kMergeStepKeys));
        if (step == 0) return {};
        moved += step;
    }
    return {};
}

Status Flusher::catch_up(LogCore& log) {
    for (;;) {
        // In this order; it is 0 where the index was never opened or had to be deleted.
        const Seq wanted{log.pending_after.load()};
        if (wanted != Seq{} && log.key_index->known_watermark() >= wanted) return {};
        KLOG_TRY_ASSIGN(const bool more, catch_up_step(log));
        if (!more) return {};
    }
}

Status Flusher::ready_to_list(LogCore& log) {
    if (log.read_only) return catch_up(log);  // nobody maintains it
    const Seq wanted{log.pending_after.load()};
    Seq have = log.key_index->known_watermark();
    if (have == Seq{} && wanted.value > rebuild_later_records_) {  // perhaps it was never opened
        MutexLock lock(mutex_);
        KLOG_TRY(make_index_dir(log));
        KLOG_TRY_ASSIGN(have, log.key_index->watermark());
    }
    if (wanted.value - std::min(wanted, have).value <= rebuild_later_records_) return catch_up(log);
    log.list_wanted = true;
    log.heads.wake();
    return Error{Code::rebuilding,
                 "keys and topics are listed anew from the log: " + std::to_string(have.value) +
                     " of " + std::to_string(wanted.value) + " records are done",
                 "writes and reads go on meanwhile; try again in a moment"};
}

bool Flusher::list_due() const {
    return std::any_of(logs_.begin(), logs_.end(),
                       [](const LogCore* log) { return log->list_wanted.load(); });
}

Status Flusher::list_step() {
    for (LogCore* log : logs_) {
        if (!log->list_wanted) continue;
        KLOG_TRY_ASSIGN(const bool more, catch_up_step(*log));
        if (!more) log->list_wanted = false;
    }
    return {};
}

Status Flusher::make_index_dir(LogCore& log) {
    if (log.index_dir_made) return {};
    KLOG_TRY(env_.create_dirs(log.index_dir));
    log.index_dir_made = true;
    return {};
}

Result<bool> Flusher::catch_up_step(LogCore& log) {
    MutexLock lock(mutex_);
    return catch_up_step_locked(log);
}

namespace {

struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
        return std::hash<std::string_view>()(text);
    }
};

// Read of the log before the memory that it takes is looked at again.
constexpr std::uint64_t kPartRecords = 16'384;

// What the log says about keys and topics, a part of it.
class Gathering {
public:
    Status add(const RecordView& record) {
        auto at = topics_.find(record.topic);
        if (at == topics_.end()) {
            at = topics_.emplace(std::string(record.topic), TopicCount{}).first;
            topic_bytes_ += record.topic.size() + kTopicBytes;
        }
        add_count(at->second, TopicCount{1, record.seq, record.seq});
        if (record.has_key && record.version.value == 1) {
            keys_.add(space_of(record.topic), record.key);
        }
        return {};
    }
    [[nodiscard]] std::size_t bytes() const { return keys_.bytes() + topic_bytes_; }
    [[nodiscard]] KeyIndexDelta take(Seq after, Seq upto) {
        KeyIndexDelta delta;
        delta.keys = std::move(keys_);
        delta.keys.sort();
        delta.topics.assign(topics_.begin(), topics_.end());
        std::sort(delta.topics.begin(), delta.topics.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        delta.after = after;
        delta.upto = upto;
        return delta;
    }

private:
    static constexpr std::size_t kTopicBytes = 96;  // beside its text, about
    KeyList keys_;
    std::unordered_map<std::string, TopicCount, TextHash, std::equal_to<>> topics_;
    std::size_t topic_bytes_ = 0;
};

}  // namespace

Result<bool> Flusher::catch_up_step_locked(LogCore& log) {
    KLOG_TRY(make_index_dir(log));
    const Seq wanted{log.pending_after.load()};
    KLOG_TRY_ASSIGN(const Seq have, log.key_index->watermark());
    if (have >= wanted) return false;
    Gathering gathered;
    Seq upto = have;
    const std::uint64_t records =
        std::max(memtable_bytes_max_ / kCatchUpBytesOfRecord, kCatchUpRecordsMin);
    const Seq end{std::min(wanted.value, have.value + records)};
    while (upto < end && gathered.bytes() < 2 * memtable_bytes_max_) {
        const Seq from = upto;
        upto = Seq{std::min(end.value, from.value + kPartRecords)};
        FrameSource source(log.id, wal_, catalog_, log.tail);
        KLOG_TRY(for_each_record(source, from, upto, nullptr,
                                 [&](const RecordView& record) { return gathered.add(record); }));
    }
    const KeyIndexDelta delta = gathered.take(have, upto);
    KLOG_TRY(log.key_index->apply(delta));
    KLOG_TRY(merge_keys(log, delta.keys.size()));
    return upto < wanted;
}

}  // namespace klog
