#include <algorithm>

#include "log/store_impl.h"

namespace klog {
namespace {

Status check_range(std::string_view name, std::uint64_t value, std::uint64_t least,
                   std::uint64_t most) {
    if (value >= least && value <= most) return {};
    return Error{Code::config,
                 std::string(name) + " is " + std::to_string(value) + ", it must be " +
                     std::to_string(least) + " to " + std::to_string(most),
                 {}};
}

Status check_options(const StoreOptions& options) {
    constexpr std::uint64_t kGiB = 1ULL << 30U;
    constexpr std::uint64_t kSmallest = 64 * 1024;
    if (options.dir.empty()) return Error{Code::config, "the data directory has no name", {}};
    KLOG_TRY(
        check_range("value_bytes_max", options.value_bytes_max, 1, Limits::kValueBytesCeiling));
    KLOG_TRY(check_range("wal_first_file_bytes", options.wal_first_file_bytes, kSmallest, kGiB));
    KLOG_TRY(check_range("wal_file_bytes", options.wal_file_bytes, kSmallest, kGiB));
    KLOG_TRY(check_range("memtable_bytes_max", options.memtable_bytes_max, kSmallest, kGiB));
    KLOG_TRY(check_range("group_bytes_max", options.group_bytes_max, kSmallest, kGiB));
    return check_range("queue_bytes_max", options.queue_bytes_max, kSmallest, kGiB);
}

// Gives a turn that was acquired back.
class Turn {
public:
    explicit Turn(std::binary_semaphore& turn) : turn_(turn) {}
    ~Turn() { turn_.release(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    std::binary_semaphore& turn_;
};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Env& env, const StoreOptions& options) {
    KLOG_TRY(check_options(options));
    KLOG_TRY(env.create_dirs(options.dir));
    KLOG_TRY_ASSIGN(std::unique_ptr<FileLock> lock, env.lock(options.dir + "/klog.lock"));
    WalOptions wal;
    wal.dir = options.dir;
    wal.first_file_bytes = options.wal_first_file_bytes;
    wal.file_bytes = options.wal_file_bytes;
    wal.writer = "klog " + options.writer_version;
    KLOG_TRY_ASSIGN(Wal::Opened opened, Wal::open(env, wal));
    auto store = std::make_unique<StoreImpl>(env, options, std::move(lock), std::move(opened));
    KLOG_TRY(store->recover());
    return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(Env& env, const StoreOptions& options, std::unique_ptr<FileLock> lock,
                     Wal::Opened opened)
    : env_(env),
      options_(options),
      lock_(std::move(lock)),
      wal_(std::move(opened.wal)),
      report_(std::move(opened.report)),
      clean_next_seqs_(opened.clean_next_seqs),
      checkpoints_(opened.settings_checkpoint),
      catalog_(env, *wal_, options.dir + "/index/wal"),
      cores_{std::make_unique<LogCore>(LogId::system, options),
             std::make_unique<LogCore>(LogId::default_log, options)} {
    const std::array<LogCore*, kLogs> cores = {cores_[0].get(), cores_[1].get()};
    pipeline_ = std::make_unique<Pipeline>(env_, options_, *wal_, catalog_, cores);
    flusher_ = std::make_unique<Flusher>(env_, options_, *wal_, catalog_, *pipeline_, cores);
    for (std::size_t i = 0; i < kLogs; ++i) {
        logs_[i] = std::make_unique<LogImpl>(*cores_[i], *wal_, catalog_, *pipeline_, *flusher_);
    }
    pipeline_->after_commit = [this] { after_commit(); };
    pipeline_->relieve = [this] {
        if (maintained_) return true;
        static_cast<void>(maintain_files());
        return false;
    };
}

StoreImpl::~StoreImpl() = default;

std::string StoreImpl::index_dir(LogId log) const {
    return options_.dir + "/index/" + std::to_string(static_cast<std::uint32_t>(log));
}

bool StoreImpl::work_due() const {
    return wal_->spares_wanted() || catalog_.missing() || flusher_->due();
}

void StoreImpl::after_commit() {
    const bool first = !unmarked_.exchange(true);
    if (!maintained_) {
        // Nobody lent a thread: this one does what cannot wait. What fails is tried again at the
        // next commit, and its limit is memory: see Flusher::kHoldBackFactor.
        if (work_due()) static_cast<void>(maintain_files());
        return;
    }
    if (!first && !work_due()) return;
    {
        const std::lock_guard lock(wake_mutex_);
        woken_ = true;
    }
    wake_.notify_all();
}

void StoreImpl::run_writer(std::stop_token stop) { pipeline_->run_writer(std::move(stop)); }

Status StoreImpl::write_checkpoints() {
    const std::lock_guard lock(checkpoints_mutex_);
    for (std::size_t i = 0; i < kLogs; ++i) {
        if (logs_[i]->settings_seq() <= checkpoints_[i]) continue;
        KLOG_TRY_ASSIGN(const Seq seq, logs_[i]->write_checkpoint());
        checkpoints_[i] = seq.value;
        wal_->set_settings_checkpoint(cores_[i]->id, seq);
    }
    return {};
}

Status StoreImpl::maintain_files() {
    // A flush may let batches go on, whose commit comes back to here on the same thread.
    if (!maintenance_turn_.try_acquire()) return {};
    const Turn turn(maintenance_turn_);
    KLOG_TRY(wal_->prepare_spares());
    // A closed file's heads go into a run, so that a start never reads that file again.
    if (catalog_.missing() || flusher_->due()) KLOG_TRY(flusher_->flush());
    return catalog_.write_missing();
}

Status StoreImpl::maintain() {
    KLOG_TRY(maintain_files());
    KLOG_TRY(write_checkpoints());
    return unmarked_ ? mark_idle() : Status{};
}

// What is committed meanwhile sets unmarked_ again by itself.
Status StoreImpl::mark_idle() {
    unmarked_ = false;
    Status marked = pipeline_->mark_idle();
    if (!marked) unmarked_ = true;
    return marked;
}

void StoreImpl::run_maintenance(std::stop_token stop) {
    using std::chrono::milliseconds;
    constexpr milliseconds kRetry{1000};
    // Spare files can wait: the first answer is not to queue behind their syncs.
    constexpr milliseconds kStartGrace{50};
    maintained_ = true;
    bool failed = false;
    bool full = false;
    {
        std::unique_lock lock(wake_mutex_);
        wake_.wait_for(lock, stop, kStartGrace, [this] { return woken_; });
        woken_ = false;
    }
    while (!stop.stop_requested()) {
        if (work_due()) {
            const Status done = maintain_files();
            failed = !done.ok();
            full = failed && done.error().code == Code::disk_full;
            pipeline_->relief(failed);
            // A checkpoint that is held back would wait for this thread, which is to relieve it.
            if (!failed && !pipeline_->held_back()) failed = !write_checkpoints().ok();
        }
        const std::uint64_t idle = env_.monotonic_micros() - pipeline_->last_commit_micros();
        const std::uint64_t mark_after = options_.idle_mark_ms * 1000;
        if (options_.idle_mark_ms != 0 && unmarked_ && idle >= mark_after) {
            failed = !mark_idle().ok() || failed;
        }
        std::unique_lock lock(wake_mutex_);
        const auto woken = [this] { return woken_; };
        if (failed) {
            // A full disk is not tried sooner, whoever calls: writes that are refused in a row must
            // not wear it. Other failures are, since memory grows with each commit meanwhile.
            wake_.wait_for(lock, stop, kRetry, [&] { return woken_ && !full; });
            failed = full = false;
        } else if (unmarked_ && options_.idle_mark_ms != 0) {
            const std::uint64_t left = mark_after > idle ? (mark_after - idle) / 1000 + 1 : 1;
            wake_.wait_for(lock, stop, milliseconds(left), woken);
        } else {
            wake_.wait(lock, stop, woken);
        }
        woken_ = false;
    }
    maintained_ = false;
}

Status StoreImpl::close() {
    if (closed_.exchange(true)) return {};
    // First, since nothing would answer a checkpoint that is held back.
    pipeline_->release();
    const Status checkpointed = pipeline_->failed() ? Status{} : write_checkpoints();
    pipeline_->stop();
    if (pipeline_->failed()) {
        return Error{Code::io, "a sync failed, so the stop is not a clean one", {}};
    }
    maintenance_turn_.acquire();
    const Turn turn(maintenance_turn_);
    // Indexes are disposable: without room for them the log is still closed cleanly.
    const Status flushed = flusher_->flush();
    Status indexed = catalog_.write_missing();
    std::array<std::uint64_t, 2> next_seqs{};
    for (std::size_t i = 0; i < kLogs; ++i) next_seqs[i] = logs_[i]->head().value + 1;
    KLOG_TRY(wal_->close(next_seqs));
    KLOG_TRY(checkpointed);
    KLOG_TRY(flushed);
    return indexed;
}

StoreStats StoreImpl::stats() const {
    StoreStats stats = wal_->stats();
    stats.failed = stats.failed || pipeline_->failed();
    if (stats.failed) stats.writable = false;
    return stats;
}

}  // namespace klog
