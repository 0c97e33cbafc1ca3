#include "log/rebuilder.h"

#include <algorithm>
#include <utility>

#include "log/scan.h"

namespace klog {
namespace {

// Between two looks at memory and at whether to stop.
constexpr std::uint64_t kStepRecords = 4096;

Error stopped() { return Error{Code::stopping, "the rebuild was broken off", {}}; }

}  // namespace

Rebuilder::Rebuilder(Wal& wal, FileCatalog& catalog, Pipeline& pipeline, Flusher& flusher,
                     std::array<LogCore*, kLogs> logs)
    : wal_(wal), catalog_(catalog), pipeline_(pipeline), flusher_(flusher), logs_(logs) {}

void Rebuilder::begin(LogCore& log, Seq after) {
    const Seq last = log.tail.head();
    log.heads.begin(after, last);
    notice("the heads of " + std::to_string(last.value - after.value) +
           " records are made anew from the log, while reads by seq are served");
}

bool Rebuilder::due() const {
    return std::any_of(logs_.begin(), logs_.end(), [this](const LogCore* log) {
        return !log->heads.known() && !unreadable_[static_cast<std::size_t>(log->id)];
    });
}

bool Rebuilder::all_known() const {
    return std::all_of(logs_.begin(), logs_.end(),
                       [](const LogCore* log) { return log->heads.known(); });
}

Status Rebuilder::run(const std::stop_token& stop) {
    for (LogCore* log : logs_) {
        std::atomic<bool>& unreadable = unreadable_[static_cast<std::size_t>(log->id)];
        while (!log->heads.known() && !unreadable) {
            Status done = rebuild(*log, stop);
            if (done) continue;
            if (done.error().code == Code::stopping) return {};
            log->heads.fail(done.error());
            unreadable = done.error().code == Code::corrupt;
            return done;
        }
    }
    return {};
}

Status Rebuilder::rebuild(LogCore& log, const std::stop_token& stop) {
    log.heads.retry();
    if (const auto damage = log.heads.take_damage()) {
        notice(damage->message + "; heads and ids are made anew from the log");
        pipeline_.wait_until_idle();
        log.heads.begin(Seq{}, log.tail.head());
        KLOG_TRY(flusher_.forget_heads(log));
    }
    Status replayed = replay(log, stop);
    if (log.heads.is_damaged()) return {};  // once more, from the start
    KLOG_TRY(std::move(replayed));
    log.heads.end();
    notice("the heads of all " + std::to_string(log.heads.records_wanted()) +
           " records are known again");
    return {};
}

Status Rebuilder::replay(LogCore& log, const std::stop_token& stop) {
    const Seq listed{log.pending_after.load()};
    const Seq last = log.tail.head();
    const Seq after = pipeline_.with_state([&] { return log.sequencer.durable().last_seq; });
    FrameSource source(log.id, wal_, catalog_, log.tail);
    std::uint64_t replayed = 0;
    KLOG_TRY(for_each_record(source, after, last, nullptr, [&](const RecordView& record) -> Status {
        Status done = pipeline_.with_state([&] {
            return log.sequencer.replay(record, wal_.hash_key(), true, record.seq <= listed);
        });
        if (!done || ++replayed % kStepRecords != 0) return done;
        log.heads.advance(record.seq);
        if (stop.stop_requested()) return stopped();
        return flusher_.due() ? flusher_.flush() : Status{};
    }));
    const Seq reached = pipeline_.with_state([&] { return log.sequencer.durable().last_seq; });
    if (reached == last) return {};
    return Error{Code::corrupt,
                 "the log ends at seq " + std::to_string(reached.value) + ", where seq " +
                     std::to_string(last.value) + " was found at the start",
                 "klog verify says what is damaged; klog daemon --read-only serves what is sound"};
}

RebuildStats Rebuilder::stats() const {
    RebuildStats stats;
    for (const LogCore* log : logs_) {
        stats.finished += log->heads.finished();
        if (log->heads.known()) continue;
        stats.running = true;
        stats.records_done += log->heads.records_done();
        stats.records_wanted += log->heads.records_wanted();
    }
    return stats;
}

void Rebuilder::notice(std::string text) {
    const MutexLock lock(mutex_);
    notices_.push_back(std::move(text));
}

std::vector<std::string> Rebuilder::take_notices() {
    const MutexLock lock(mutex_);
    return std::exchange(notices_, {});
}

}  // namespace klog
