// The commit pipeline of a store: batches → open group → WAL and one sync → publish → answers.
//
// Whoever calls append() judges its batch into the open group. If nobody commits just then, that
// thread leads: it takes the open group, writes and syncs it, publishes it and gives the answers,
// once; what has gathered meanwhile goes to the lent writer thread. Without one the leader goes
// on until nothing is left. While a group syncs, the next one fills.
//
// A group that could not be written takes the open group with it, since that was judged on top of
// it; both are answered as absent. A failed sync is final: both are answered as unknown, and
// nothing is written any more (promise 9 of klog-durability.7).
#ifndef KLOG_LOG_PIPELINE_H
#define KLOG_LOG_PIPELINE_H

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/mutex.h"
#include "klog/env.h"
#include "klog/log.h"
#include "log/file_catalog.h"
#include "log/group.h"
#include "log/live_tail.h"
#include "log/log_core.h"
#include "segment/wal.h"

namespace klog {

class Pipeline {
public:
    Pipeline(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
             std::array<LogCore*, kLogs> logs);

    // See Log::append.
    void append(LogId log, std::unique_ptr<WriteBatch> batch) KLOG_EXCLUDES(mutex_);

    // See Log::look_at_guards; also where memory is enough.
    void look_at_guards(LogId log, WriteBatch& batch) KLOG_EXCLUDES(mutex_);
    // True: memory was enough to look at all guards over filters of this batch.
    [[nodiscard]] bool guards_in_memory(LogId log, WriteBatch& batch) KLOG_EXCLUDES(mutex_);

    // Lends a thread; see Store::run_writer.
    void run_writer(std::stop_token stop) KLOG_EXCLUDES(mutex_);

    // An empty frame, if nothing is being written just now and the watermark lags behind.
    Status mark_idle() KLOG_EXCLUDES(mutex_);

    // Returns once no group is unfinished. Precondition: batches are refused before they are
    // judged; not called by who commits.
    void wait_until_idle() KLOG_EXCLUDES(mutex_);

    // Nothing new is taken; returns when everything that was taken is answered.
    void stop() KLOG_EXCLUDES(mutex_);

    // Runs f while nothing is judged or published; f sees durable states only in their `durable`
    // fields. For the flusher, stats and look-ups. Must be short.
    template <class F>
    auto with_state(F&& f) const KLOG_EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        return f();
    }

    // What a flush covers: all that is durable just now. Call within with_state.
    struct DurablePoint {
        WalPosition position;
        std::uint64_t groups = 0;
    };
    [[nodiscard]] DurablePoint durable_point() const { return durable_point_; }

    // Batches wait while this is true for any of what lags behind.
    enum class Lagging : std::uint8_t { flusher = 1, sealer = 2 };
    void hold_back(Lagging what, bool hold) KLOG_EXCLUDES(mutex_);
    // What the last try to relieve came to. While it failed nothing waits for the next one: batches
    // that were held back, and those that come, are refused with backpressure.
    void relief(Lagging what, bool failed) KLOG_EXCLUDES(mutex_);
    // Nothing is held back any more, whatever hold_back says: the log is about to be closed.
    void release() KLOG_EXCLUDES(mutex_);

    // Asked before a batch would be held back, outside locks. True: another thread works on it,
    // so the batch may wait. False: all has been tried; where it did not help, the batch is
    // refused with backpressure.
    std::function<bool()> relieve;

    // Called after each commit, outside locks, by the committing thread. Must be quick.
    std::function<void()> after_commit;

    [[nodiscard]] Time now() const { return env_.now(); }
    [[nodiscard]] bool held_back() const { return held_back_; }
    [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t groups() const { return groups_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t last_commit_micros() const {
        return last_commit_micros_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t queue_bytes() const KLOG_EXCLUDES(mutex_);

private:
    using Batches = std::vector<std::unique_ptr<WriteBatch>>;

    [[nodiscard]] std::optional<Error> look_up_runs(LogCore& log, WriteBatch& batch)
        KLOG_EXCLUDES(mutex_);
    // True: what was looked up may lack what has left memory since then.
    [[nodiscard]] bool look_up_is_stale(const WriteBatch& batch) const KLOG_REQUIRES(mutex_);
    [[nodiscard]] std::vector<bool> known_in_memory(LogCore& log, WriteBatch& batch) const
        KLOG_REQUIRES(mutex_);
    [[nodiscard]] bool look_in_memory(LogCore& log, WriteBatch& batch, std::size_t steps_max)
        KLOG_REQUIRES(mutex_);
    // These change what the log knows step by step: out of memory in between they end the process,
    // and the next start finds what was acknowledged, instead of going on with half a change.
    void judge(std::unique_ptr<WriteBatch> batch) noexcept KLOG_REQUIRES(mutex_);
    void admit_waiting() KLOG_REQUIRES(mutex_);
    [[nodiscard]] bool open_is_full() const KLOG_REQUIRES(mutex_);
    [[nodiscard]] bool has_work() const KLOG_REQUIRES(mutex_);
    [[nodiscard]] static std::optional<Error> check_memory(const WriteBatch::Prepared& prepared);
    [[nodiscard]] std::optional<Error> refusal(const WriteBatch& batch, bool may_wait) const
        KLOG_REQUIRES(mutex_);

    void lead() noexcept KLOG_EXCLUDES(mutex_);
    [[nodiscard]] LiveTail::Wakes commit_one() noexcept KLOG_EXCLUDES(mutex_);
    [[nodiscard]] CommitResult write(Group& group);
    [[nodiscard]] static std::vector<RecordLabel> labels_of(const Group& group, LogId log);
    [[nodiscard]] LiveTail::Wakes publish(Group& group) KLOG_EXCLUDES(mutex_);
    // Half of this would leave heads that nothing durable stands behind: out of memory within ends
    // the process, and the next start finds what was acknowledged.
    [[nodiscard]] Batches give_up(Group& group, const CommitResult& result) noexcept
        KLOG_EXCLUDES(mutex_);
    // Leadership goes to the writer, or ends. True: this thread has to go on itself.
    [[nodiscard]] bool hand_on() KLOG_EXCLUDES(mutex_);

    Env& env_;
    const std::uint64_t group_bytes_max_;
    const std::uint64_t queue_bytes_max_;
    const std::uint64_t value_bytes_max_;
    Wal& wal_;
    FileCatalog& catalog_;
    const std::array<LogCore*, kLogs> logs_;

    mutable Mutex mutex_;
    std::condition_variable_any changed_;  // leadership, for the writer and stop()
    std::unique_ptr<Group> open_ KLOG_GUARDED_BY(mutex_);
    // What is being written, until it is published or given up; null: nothing.
    const Group* committing_ KLOG_GUARDED_BY(mutex_) = nullptr;
    std::deque<std::unique_ptr<WriteBatch>> waiting_ KLOG_GUARDED_BY(mutex_);
    std::size_t waiting_bytes_ KLOG_GUARDED_BY(mutex_) = 0;
    bool leading_ KLOG_GUARDED_BY(mutex_) = false;      // somebody commits, or is about to
    bool handed_over_ KLOG_GUARDED_BY(mutex_) = false;  // … and it is the writer
    int writers_ KLOG_GUARDED_BY(mutex_) = 0;
    bool stopping_ KLOG_GUARDED_BY(mutex_) = false;
    int idle_waiters_ KLOG_GUARDED_BY(mutex_) = 0;
    std::atomic<bool> held_back_{false};                      // changes under mutex_
    std::uint8_t lagging_ KLOG_GUARDED_BY(mutex_) = 0;        // bits of Lagging
    std::uint8_t relief_failed_ KLOG_GUARDED_BY(mutex_) = 0;  // bits, too
    bool released_ KLOG_GUARDED_BY(mutex_) = false;
    DurablePoint durable_point_;

    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> groups_{0};
    std::atomic<std::uint64_t> last_commit_micros_{0};
};

}  // namespace klog

#endif  // KLOG_LOG_PIPELINE_H
