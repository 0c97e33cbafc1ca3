#include <algorithm>
#include <utility>

#include "base/memory.h"
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
    KLOG_TRY(check_range("seal_bytes_min", options.seal_bytes_min, 4096, 1024 * kGiB));
    KLOG_TRY(check_range("merged_bytes_max", options.merged_bytes_max, kSmallest, kGiB));
    KLOG_TRY(check_range("newest_bytes_max", options.newest_bytes_max, 128 * 1024, 64 * kGiB));
    KLOG_TRY(check_range("segment_cache_bytes", options.segment_cache_bytes, kSmallest, 64 * kGiB));
    KLOG_TRY(check_range("unsealed_bytes_max", options.unsealed_bytes_max, kSmallest, 1024 * kGiB));
    KLOG_TRY(check_range("read_only_heads_bytes_max", options.read_only_heads_bytes_max, kSmallest,
                         64 * kGiB));
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

std::string index_dir_of(const std::string& dir, LogId log) {
    return dir + "/index/" + std::to_string(static_cast<std::uint32_t>(log));
}

Error file_lost(const std::string& dir, std::uint64_t known, std::uint64_t newest) {
    return Error{Code::corrupt,
                 "a run in " + dir + " knows WAL file " + std::to_string(known) +
                     ", but the newest one is " + std::to_string(newest) +
                     ": records that were acknowledged are missing from wal/",
                 "put the missing WAL files back, or restore the data directory from a copy"};
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Env& env, const StoreOptions& options) {
    KLOG_TRY(check_options(options));
    if (options.read_only) return StoreImpl::open_read_only(env, options);
    KLOG_TRY(env.create_dirs(options.dir));
    KLOG_TRY_ASSIGN(std::unique_ptr<FileLock> lock, env.lock(options.dir + "/klog.lock"));
    KLOG_TRY_ASSIGN(std::unique_ptr<SegmentSet> set,
                    SegmentSet::open(env, options.dir, "klog " + options.writer_version));
    auto store = StoreImpl::open_set(env, options, std::move(lock), std::move(set));
    if (!store.ok() && store.error().code == Code::corrupt) {
        std::string& hint = store.error().hint;
        hint += (hint.empty() ? "" : "; ") +
                std::string("klog daemon --read-only serves what is sound");
    }
    return store;
}

Result<std::unique_ptr<Store>> StoreImpl::open_set(Env& env, const StoreOptions& options,
                                                   std::unique_ptr<FileLock> lock,
                                                   std::unique_ptr<SegmentSet> set) {
    auto segments = std::make_unique<SegmentCatalog>(env, options.dir, options.segment_cache_bytes);
    // Before the WAL removes what the set calls sealed.
    KLOG_TRY(segments->follow(*set->state()));
    WalOptions wal;
    wal.dir = options.dir;
    wal.first_file_bytes = options.wal_first_file_bytes;
    wal.file_bytes = options.wal_file_bytes;
    wal.writer = "klog " + options.writer_version;
    // Before the tail of what is taken for the newest file is copied: if the newest one is missing
    // and comes back, it has to fit.
    wal.check = [&](const StoreUuid& store, std::uint64_t newest) -> Status {
        for (const LogId log : {LogId::system, LogId::default_log}) {
            const std::string dir = index_dir_of(options.dir, log);
            const std::uint64_t known = RunSet::newest_wal_id(env, dir, store);
            if (known > newest) return file_lost(dir, known, newest);
        }
        return {};
    };
    KLOG_TRY_ASSIGN(Wal::Opened opened, Wal::open(env, wal, *set->state()));
    auto store = std::make_unique<StoreImpl>(env, options, std::move(lock), std::move(set),
                                             std::move(segments), std::move(opened));
    KLOG_TRY(store->recover());
    return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(Env& env, const StoreOptions& options, std::unique_ptr<FileLock> lock,
                     std::unique_ptr<SegmentSet> set, std::unique_ptr<SegmentCatalog> segments,
                     Wal::Opened opened)
    : env_(env),
      options_(options),
      lock_(std::move(lock)),
      set_(std::move(set)),
      wal_(std::move(opened.wal)),
      report_(std::move(opened.report)),
      clean_next_seqs_(opened.clean_next_seqs),
      checkpoints_(opened.settings_checkpoint),
      segments_(std::move(segments)),
      catalog_(env, *wal_, *segments_, options.dir + "/index/wal"),
      cores_{std::make_unique<LogCore>(LogId::system, options),
             std::make_unique<LogCore>(LogId::default_log, options)} {
    const std::array<LogCore*, kLogs> cores = {cores_[0].get(), cores_[1].get()};
    pipeline_ = std::make_unique<Pipeline>(env_, options_, *wal_, catalog_, cores);
    flusher_ = std::make_unique<Flusher>(env_, options_, *wal_, catalog_, *pipeline_, cores);
    for (std::size_t i = 0; i < kLogs; ++i) {
        logs_[i] = std::make_unique<LogImpl>(*cores_[i], *wal_, catalog_, *pipeline_, *flusher_);
    }
    rebuilder_ = std::make_unique<Rebuilder>(*wal_, catalog_, *pipeline_, *flusher_, cores);
    for (LogCore* core : cores) {
        core->heads.wake = [this] { wake_maintenance(); };
        core->positions_wanted = [this] { wake_maintenance(); };
    }
    sealer_ = std::make_unique<Sealer>(env_, options_, *wal_, catalog_, *segments_, *set_);
    wal_->on_file_closed([this](std::uint64_t wal_id) {
        catalog_.file_closed(wal_id);
        sealer_->file_closed();
    });
    pipeline_->after_commit = [this] { after_commit(); };
    pipeline_->relieve = [this] {
        if (!sealing_ && sealer_->seal_due()) static_cast<void>(seal_step({}));
        if (maintained_) return true;
        static_cast<void>(maintain_files({}));
        return false;
    };
}

StoreImpl::~StoreImpl() = default;

std::string StoreImpl::index_dir(LogId log) const { return index_dir_of(options_.dir, log); }

void StoreImpl::hold_back_unsealed() {
    pipeline_->hold_back(Pipeline::Lagging::sealer,
                         sealer_->lag_bytes() > options_.unsealed_bytes_max);
}

Status StoreImpl::seal_step(const std::stop_token& stop, bool merges) {
    if (!swept_) {
        KLOG_TRY(sealer_->sweep());
        swept_ = true;
    }
    Status done = merges ? sealer_->merge() : sealer_->step(stop);
    hold_back_unsealed();
    if (done || done.error().code != Code::stopping) {
        pipeline_->relief(Pipeline::Lagging::sealer, !done);
    }
    return done;
}

bool StoreImpl::work_due() const {
    return wal_->spares_wanted() || catalog_.missing() || flusher_->due() || rebuilder_->due() ||
           flusher_->list_due();
}

void StoreImpl::after_commit() {
    const bool first = !unmarked_.exchange(true);
    if (sealer_->seal_due()) {
        if (!sealing_) {
            static_cast<void>(seal_step({}));
        } else {
            hold_back_unsealed();
            const std::lock_guard lock(wake_mutex_);
            if (!std::exchange(sealer_woken_, true)) wake_.notify_all();
        }
    }
    if (!maintained_) {
        // Nobody lent a thread: this one does what cannot wait. What fails is tried again at the
        // next commit, and its limit is memory: see Flusher::kHoldBackFactor.
        if (work_due()) static_cast<void>(maintain_files({}));
        return;
    }
    if (first || work_due()) wake_maintenance();
}

void StoreImpl::wake_maintenance() {
    {
        const std::lock_guard lock(wake_mutex_);
        woken_ = true;
    }
    wake_.notify_all();
}

void StoreImpl::run_writer(std::stop_token stop) {
    if (!options_.read_only) pipeline_->run_writer(std::move(stop));
}

Status StoreImpl::maintain_files(const std::stop_token& stop) {
    // A flush may let batches go on, whose commit comes back to here on the same thread.
    if (!maintenance_turn_.try_acquire()) return {};
    const Turn turn(maintenance_turn_);
    // Merging can wait for all the rest, so it looks at it again after each step.
    for (bool more = true; more && !stop.stop_requested();) {
        KLOG_TRY(wal_->prepare_spares());
        // A closed file's heads go into a run, so that a start never reads that file again.
        if (catalog_.missing() || flusher_->due()) KLOG_TRY(flusher_->write());
        KLOG_TRY(catalog_.write_missing());
        KLOG_TRY_ASSIGN(more, flusher_->merge_step());
    }
    return {};
}

// Listings that are made anew may take long, and writes go on meanwhile.
Status StoreImpl::work(const std::stop_token& stop) {
    KLOG_TRY(rebuilder_->run(stop));
    KLOG_TRY(maintain_files(stop));
    while (flusher_->list_due() && !stop.stop_requested()) {
        KLOG_TRY(flusher_->list_step());
        KLOG_TRY(maintain_files(stop));
    }
    return {};
}

Status StoreImpl::maintain() {
    if (options_.read_only) return {};
    KLOG_TRY(work({}));
    while (sealer_->due()) KLOG_TRY(seal_step({}));
    KLOG_TRY(write_positions(true));
    KLOG_TRY(write_checkpoints(true));
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
    if (options_.read_only) return;
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
            const Status done = work(stop);
            failed = !done.ok();
            full = failed && done.error().code == Code::disk_full;
            pipeline_->relief(Pipeline::Lagging::flusher, failed);
            // A checkpoint that is held back would wait for this thread, which is to relieve it.
            if (!failed && !pipeline_->held_back()) failed = !write_checkpoints(true).ok();
        }
        if (!pipeline_->held_back()) {
            // Positions that could not be written wait by themselves before the next try.
            if (write_positions(false)) failed = !write_checkpoints(false).ok() || failed;
        }
        const std::uint64_t idle = env_.monotonic_micros() - pipeline_->last_commit_micros();
        const std::uint64_t mark_after = options_.idle_mark_ms * 1000;
        if (options_.idle_mark_ms != 0 && unmarked_ && idle >= mark_after) {
            failed = !mark_idle().ok() || failed;
        }
        const std::uint64_t positions = positions_wait_ms();
        std::unique_lock lock(wake_mutex_);
        const auto woken = [this] { return woken_; };
        if (failed) {
            // A full disk is not tried sooner, whoever calls: writes that are refused in a row must
            // not wear it. Other failures are, since memory grows with each commit meanwhile.
            wake_.wait_for(lock, stop, kRetry, [&] { return woken_ && !full; });
            failed = full = false;
        } else if (unmarked_ && options_.idle_mark_ms != 0) {
            const std::uint64_t left = mark_after > idle ? (mark_after - idle) / 1000 + 1 : 1;
            wake_.wait_for(lock, stop, milliseconds(std::min(left, positions)), woken);
        } else if (positions != ~0ULL) {
            wake_.wait_for(lock, stop, milliseconds(positions), woken);
        } else {
            wake_.wait(lock, stop, woken);
        }
        woken_ = false;
    }
    maintained_ = false;
}

SealerPace::State StoreImpl::sealer_state() const {
    constexpr std::uint64_t kBusyMicros = 100'000;
    SealerPace::State state;
    state.seal_due = sealer_->seal_due();
    state.merge_due = sealer_->merge_due();
    state.merge_overdue = sealer_->merge_overdue();
    state.lag_bytes = sealer_->lag_bytes();
    state.lag_bytes_max = options_.unsealed_bytes_max;
    if (state.seal_due) {
        state.lag_bytes_max = std::min(state.lag_bytes_max, env_.free_bytes(options_.dir));
    }
    // In this order, or a commit in between would lie ahead of now.
    const std::uint64_t committed = pipeline_->last_commit_micros();
    state.busy = env_.monotonic_micros() - committed < kBusyMicros;
    return state;
}

void StoreImpl::run_sealer(std::stop_token stop) {
    if (options_.read_only) return;
    using Work = SealerPace::Work;
    constexpr std::uint64_t kRetryMicros = 1'000'000;
    // How soon it is seen that nobody writes any more, or that more waits.
    constexpr std::uint64_t kLookAgainMicros = 20'000;
    sealing_ = true;
    SealerPace pace;
    bool worked = false;  // since it was idle last
    while (!stop.stop_requested()) {
        const std::uint64_t now = env_.monotonic_micros();
        const auto [work, rest] = pace.next(sealer_state(), now);
        std::uint64_t pause = std::min(rest, kLookAgainMicros);
        if (work == Work::seal || work == Work::merge) {
            worked = true;
            const Status done = seal_step(stop, work == Work::merge);
            pace.worked(work, now, env_.monotonic_micros());
            if (done) continue;
            pause = kRetryMicros;
        }
        // Who committed may have counted before the last seal, and held writers back behind it; he
        // wakes this thread afterwards.
        if (work == Work::none) hold_back_unsealed();
        if (work == Work::none && worked) {
            give_memory_back();
            worked = false;
        }
        std::unique_lock lock(wake_mutex_);
        if (work == Work::none) {
            wake_.wait(lock, stop, [this] { return sealer_woken_; });
        } else {
            wake_.wait_for(lock, stop, std::chrono::microseconds(pause), [] { return false; });
        }
        sealer_woken_ = false;
    }
    sealing_ = false;
}

Status StoreImpl::close() {
    if (closed_.exchange(true) || options_.read_only) return {};
    // First, since nothing would answer a checkpoint that is held back.
    pipeline_->release();
    Status checkpointed;
    if (!pipeline_->failed()) {
        checkpointed = write_positions(true);
        if (checkpointed) checkpointed = write_checkpoints(true);
    }
    pipeline_->stop();
    if (pipeline_->failed()) {
        return Error{Code::io, "a sync failed, so the stop is not a clean one", {}};
    }
    maintenance_turn_.acquire();
    const Turn turn(maintenance_turn_);
    // Indexes are disposable: without room for them the log is still closed cleanly.
    const Status flushed = flusher_->write();
    const Status indexed = catalog_.write_missing();
    std::array<std::uint64_t, 2> next_seqs{};
    for (std::size_t i = 0; i < kLogs; ++i) next_seqs[i] = logs_[i]->head().value + 1;
    KLOG_TRY(wal_->close(next_seqs, set_->state()->number));
    KLOG_TRY(checkpointed);
    KLOG_TRY(flushed);
    KLOG_TRY(indexed);
    // Behind the marker, which says more: without this index the next start only takes longer.
    Status live = catalog_.write_live();
    if (!live && live.error().code == Code::disk_full) return {};
    return live;
}

std::vector<std::string> StoreImpl::take_notices() {
    std::vector<std::string> notices = rebuilder_->take_notices();
    for (const auto& core : cores_) {
        for (std::string& notice : core->key_index->take_notices()) {
            notices.push_back(std::move(notice));
        }
    }
    return notices;
}

StoreStats StoreImpl::stats() const {
    StoreStats stats = wal_->stats();
    stats.failed = stats.failed || pipeline_->failed();
    if (stats.failed) stats.writable = false;
    const std::shared_ptr<const SegmentSetState> state = set_->state();  // held while it is read
    for (const auto& log : state->logs) {
        stats.segments += log.size();
        for (const SegmentEntry& entry : log) stats.segment_bytes += entry.file_bytes;
    }
    stats.read_only = options_.read_only;
    stats.rebuild = rebuilder_->stats();
    stats.holes = report_.holes.size();
    stats.unsealed_bytes = sealer_->lag_bytes();
    const PageCache::Stats cache = segments_->cache().stats();
    stats.cache_bytes = cache.bytes;
    stats.cache_hits = cache.hits;
    stats.cache_misses = cache.misses;
    stats.cache_puts = cache.puts;
    return stats;
}

}  // namespace klog
