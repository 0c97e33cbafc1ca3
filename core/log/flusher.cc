#include "log/flusher.h"

#include <algorithm>
#include <map>
#include <set>

#include "log/scan.h"
#include "topic/topic.h"

namespace klog {
namespace {

template <class Entries>
void sort_by_hash(Entries& entries) {
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
}

}  // namespace

Flusher::Flusher(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
                 Pipeline& pipeline, std::array<LogCore*, kLogs> logs)
    : env_(env),
      memtable_bytes_max_(options.memtable_bytes_max),
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

Status Flusher::flush() {
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
        contents.settings_seq = durable.settings_seq;
        const Pipeline::DurablePoint point = pipeline_.durable_point();
        contents.wal_id = point.position.wal_id;
        contents.wal_offset = point.position.offset;
        if (contents.covered_upto == contents.covered_after) return;
        Memtable& memtable = log.sequencer.memtable();
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
        KLOG_TRY(log.runs->merge(Time{env_.now().micros - session_micros_}));
    }
    return apply_pending(log, contents.covered_upto);
}

Status Flusher::apply_pending(LogCore& log, Seq upto) {
    const Seq after{log.pending_after.load()};
    if (upto <= after) return {};
    KLOG_TRY(catch_up_locked(log));
    // Everything durable is in `pending`, perhaps more than `upto` by now.
    std::shared_ptr<const KeyIndexDelta> delta = pipeline_.with_state(
        [&] { return log.pending.freeze(after, log.sequencer.durable().last_seq); });
    Status applied = log.key_index->apply(*delta);
    if (!applied) {
        log.pending.failed();
        return applied;
    }
    // In this order: a listing that falls between the two sees that they differ and looks again.
    log.pending.applied();
    log.pending_after.store(delta->upto.value);
    return {};
}

Status Flusher::catch_up(LogCore& log) {
    MutexLock lock(mutex_);
    return catch_up_locked(log);
}

Status Flusher::catch_up_locked(LogCore& log) {
    const Seq wanted{log.pending_after.load()};
    if (!log.index_dir_made) {
        KLOG_TRY(env_.create_dirs(log.index_dir));
        log.index_dir_made = true;
    }
    KLOG_TRY_ASSIGN(Seq have, log.key_index->watermark());
    while (have < wanted) {
        const Seq upto{std::min(wanted.value, have.value + kCatchUpRecords)};
        std::map<std::string, TopicCount, std::less<>> topics;
        std::set<std::pair<std::string, std::string>> keys;
        FrameSource source(log.id, wal_, catalog_, log.tail);
        KLOG_TRY(for_each_record(source, have, upto, nullptr, [&](const RecordView& record) {
            auto at = topics.find(record.topic);
            if (at == topics.end()) {
                at = topics.emplace(std::string(record.topic), TopicCount{}).first;
            }
            add_count(at->second, TopicCount{1, record.seq, record.seq});
            if (record.has_key && record.version.value == 1) {
                keys.emplace(std::string(space_of(record.topic)), std::string(record.key));
            }
            return Status{};
        }));
        KeyIndexDelta delta;
        delta.keys.assign(keys.begin(), keys.end());
        delta.topics.assign(topics.begin(), topics.end());
        delta.after = have;
        delta.upto = upto;
        KLOG_TRY(log.key_index->apply(delta));
        have = upto;
    }
    return {};
}

}  // namespace klog
