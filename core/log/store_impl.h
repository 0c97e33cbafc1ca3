// A store: the WAL, two logs over it, and what keeps them small.
#ifndef KLOG_LOG_STORE_IMPL_H
#define KLOG_LOG_STORE_IMPL_H

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>

#include "klog/log.h"
#include "log/file_catalog.h"
#include "log/flusher.h"
#include "log/log_core.h"
#include "log/log_impl.h"
#include "log/pipeline.h"
#include "log/rebuilder.h"
#include "log/sealer.h"
#include "log/sealer_pace.h"
#include "log/segment_catalog.h"
#include "segment/segment_set.h"
#include "segment/wal.h"

namespace klog {

class StoreImpl final : public Store {
public:
    StoreImpl(Env& env, const StoreOptions& options, std::unique_ptr<FileLock> lock,
              std::unique_ptr<SegmentSet> set, std::unique_ptr<SegmentCatalog> segments,
              Wal::Opened opened);
    ~StoreImpl() override;

    // The rest of Store::open behind lock and set.
    [[nodiscard]] static Result<std::unique_ptr<Store>> open_set(Env& env,
                                                                 const StoreOptions& options,
                                                                 std::unique_ptr<FileLock> lock,
                                                                 std::unique_ptr<SegmentSet> set);
    // Store::open for StoreOptions::read_only; see store_read_only.cc.
    [[nodiscard]] static Result<std::unique_ptr<Store>> open_read_only(Env& env,
                                                                       const StoreOptions& options);

    // The rest of open(): file indexes, runs, settings, replay.
    Status recover();

    Log& system_log() override { return *logs_[0]; }
    Log& default_log() override { return *logs_[1]; }
    void run_writer(std::stop_token stop) override;
    void run_maintenance(std::stop_token stop) override;
    void run_sealer(std::stop_token stop) override;
    Status maintain() override;
    Status close() override;
    StoreStats stats() const override;
    std::vector<std::string> take_notices() override;
    const RecoveryReport& recovery() const override { return report_; }

private:
    // The WAL begins where the segments end. Errors: corrupt.
    [[nodiscard]] Status check_continues(const LogCore& core) const;
    Status recover_read_only(std::vector<WalDamage> damages, bool end_lost);
    Status open_indexes_read_only(LogCore& core);
    Status find_holes(const LogCore& core, const std::vector<WalDamage>& damages, bool end_lost,
                      Seq known_upto);
    Status recover_settings_read_only(LogCore& core);
    Status recover_heads_read_only(LogCore& core, bool end_lost);
    [[nodiscard]] Seq end_of_damage(const LogCore& core, Seq seq) const;
    Status open_indexes(LogCore& core);
    Status recover_log(LogCore& core);
    // Applies the checkpoint; returns the seq that it is as of. 0: there is none.
    [[nodiscard]] Result<Seq> recover_checkpoint(LogCore& core, Seq checkpoint);
    // upto: settings records up to here count.
    Status recover_settings(LogCore& core, const RunWatermark& watermark, Seq upto);
    // Where enough of klog's own records stand behind the newest checkpoint to make one worth it;
    // thorough: where any does and one costs little.
    Status write_checkpoints(bool thorough);
    [[nodiscard]] bool checkpoint_due(std::size_t log, bool thorough) const;
    // What acknowledgements memory alone has, where it is time for it; `all`: in any case.
    Status write_positions(bool all);
    // Until write_positions has something to do. ~0: nothing is there.
    [[nodiscard]] std::uint64_t positions_wait_ms() const;
    // What is due, all of it.
    Status work(const std::stop_token& stop);
    Status maintain_files(const std::stop_token& stop);
    // One step of sealing or merging.
    // With merges: a piece of a merge, whatever is to be sealed.
    Status seal_step(const std::stop_token& stop, bool merges = false);
    [[nodiscard]] SealerPace::State sealer_state() const;
    // Batches wait while more is unsealed than may be.
    void hold_back_unsealed();
    Status mark_idle();
    // True: something other than the idle mark is due.
    [[nodiscard]] bool work_due() const;
    void after_commit();
    void wake_maintenance();
    [[nodiscard]] std::string index_dir(LogId log) const;

    std::unique_ptr<Env> guard_;  // of a read-only store: what env_ is then
    Env& env_;
    const StoreOptions options_;
    std::unique_ptr<FileLock> lock_;
    std::unique_ptr<SegmentSet> set_;
    std::unique_ptr<Wal> wal_;
    RecoveryReport report_;
    const std::optional<std::array<std::uint64_t, 2>> clean_next_seqs_;
    std::mutex checkpoints_mutex_;              // held while checkpoints are written
    std::array<std::uint64_t, 2> checkpoints_;  // seq of the newest checkpoint record of each log
    std::array<std::uint64_t, 2> checkpoint_bytes_{};  // what its consumers take
    std::array<OwnRecords, 2> checkpoint_own_{};       // klog's own records when it was written
    std::unique_ptr<SegmentCatalog> segments_;
    FileCatalog catalog_;
    std::array<std::unique_ptr<LogCore>, kLogs> cores_;
    std::unique_ptr<Pipeline> pipeline_;
    std::unique_ptr<Flusher> flusher_;
    std::unique_ptr<Rebuilder> rebuilder_;
    std::unique_ptr<Sealer> sealer_;
    std::array<std::unique_ptr<LogImpl>, kLogs> logs_;

    std::binary_semaphore maintenance_turn_{1};  // maintain() takes turns
    std::mutex wake_mutex_;
    std::condition_variable_any wake_;
    bool woken_ = false;                   // guarded by wake_mutex_
    bool sealer_woken_ = false;            // guarded by wake_mutex_
    std::atomic<bool> sealing_{false};     // a thread is lent for it
    std::atomic<bool> swept_{false};       // what a killed process left in seg/ is gone
    std::atomic<bool> maintained_{false};  // a thread is lent
    std::atomic<bool> unmarked_{false};    // something was written since the last idle mark
    std::atomic<bool> closed_{false};
};

}  // namespace klog

#endif  // KLOG_LOG_STORE_IMPL_H
