// The Wal behind its interface: wal_open.cc (opening, starting a file), wal.cc (the rest).
#ifndef KLOG_SEGMENT_WAL_IMPL_H
#define KLOG_SEGMENT_WAL_IMPL_H

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "segment/wal.h"
#include "segment/wal_reader.h"
#include "segment/wal_recovery.h"
#include "segment/wal_spares.h"

namespace klog {

class WalImpl final : public Wal {
public:
    WalImpl(Env& env, const WalOptions& options);

    // Once, before anything else.
    Result<Opened> open_judged(WalJudgement judgement, std::unique_ptr<WalImpl> self);

    [[nodiscard]] const StoreUuid& store_uuid() const override { return store_uuid_; }
    [[nodiscard]] const HashKey& hash_key() const override { return hash_key_; }
    [[nodiscard]] std::uint64_t incarnation() const override { return incarnation_; }
    CommitResult commit(std::span<Frame* const> frames) override;
    CommitResult mark_idle() override;
    Status close(const std::array<std::uint64_t, 2>& next_seqs,
                 std::uint64_t manifest_number) override;
    Status drop_sealed(const SealedUpto& sealed) override;
    Status prepare_spares() override;
    [[nodiscard]] bool spares_wanted() const override;
    void set_settings_checkpoint(LogId log, Seq seq) override;
    void on_file_closed(std::function<void(std::uint64_t)> callback) override;
    [[nodiscard]] WalPosition end() const override;
    [[nodiscard]] std::vector<WalFileInfo> files() const override;
    [[nodiscard]] Result<std::unique_ptr<WalFrameReader>> open_file(
        std::uint64_t wal_id, std::uint64_t from_offset) override;
    [[nodiscard]] StoreStats stats() const override;

private:
    // A file that was built in a spare and has no name in the log yet.
    struct Built {
        WalFileState state;
        std::unique_ptr<File> file;
        std::uint64_t capacity = 0;
        std::uint64_t bytes_written = 0;
    };
    // Frames of the torn file that go into the next one. nullopt: none.
    using Carried = std::optional<WalFileState>;

    Status make_store();
    Status take_up(WalJudgement& judgement);
    Status cut_void_bytes(WalJudgement& judgement);
    void remove_void_files(WalJudgement& judgement);
    // A file of which all is sealed, or that lies before one of which it is.
    struct Dropped {
        std::string path;
        std::uint64_t bytes = 0;  // 0: it is not to become a spare
        std::shared_ptr<const int> users;
    };
    Status forget_sealed(const SealedUpto& sealed);
    Status remove_or_reuse(const Dropped& dropped);

    // Builds the next file of the log in a spare and makes it the live one. Precondition: there
    // is a spare that is long enough.
    Status start_file(const Carried& carried);
    Result<Built> build_file(const Spare& spare, const Carried& carried);
    [[nodiscard]] WalFileHeader next_header(const Carried& carried) const;
    Status carry_over(const WalFileState& carried, Built& built);
    Status sync_file(File& file);

    [[nodiscard]] std::optional<Error> refusal() const;
    CommitResult absent(Error error);
    Status make_room(std::uint64_t group_bytes);
    Status make_room_at_times(std::uint64_t group_bytes);
    Status write_frames(std::span<Frame* const> frames);
    CommitResult undo(std::span<Frame* const> frames, Error error);
    CommitResult fail_for_good(Error error);
    void publish(std::uint64_t end, std::uint32_t chain);
    void aim_spares(std::uint64_t used);
    [[nodiscard]] SparePool::Room room_of_spares();

    Env& env_;
    const WalOptions options_;
    const std::string wal_dir_;
    StoreUuid store_uuid_{};
    HashKey hash_key_{};
    std::uint64_t incarnation_ = 1;

    // The committing thread's.
    std::unique_ptr<File> live_;   // null: there was no room for a file of this incarnation yet
    std::uint64_t capacity_ = 0;   // of the live file
    std::optional<Error> poison_;  // a sync failed: nothing is written any more
    bool closed_ = false;
    bool mark_wanted_ = false;
    std::string gathered_;
    struct RefusedRoom {
        Error error;
        std::uint64_t bytes = 0;
        std::uint64_t at_micros = 0;
    };
    std::optional<RefusedRoom> refused_room_;  // the disk was full when it was last asked
    std::function<void(std::uint64_t)> file_closed_;

    struct CommitCount {
        std::uint64_t syncs = 0;
        std::uint64_t bytes = 0;
    };

    SparePool spares_;
    std::atomic<std::uint64_t> spare_bytes_aim_;
    std::atomic<bool> growing_is_vain_{false};  // the disk had no room for longer spares
    std::atomic<bool> no_room_{false};
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> syncs_{0};
    std::atomic<std::uint64_t> sync_micros_{0};
    std::atomic<std::uint64_t> bytes_written_{0};

    mutable Mutex mutex_;
    std::vector<WalFileState> files_ KLOG_GUARDED_BY(mutex_);
    std::vector<Dropped> unremoved_ KLOG_GUARDED_BY(mutex_);
    std::uint64_t capacity_shown_ KLOG_GUARDED_BY(mutex_) = 0;
    CommitCount counted_ KLOG_GUARDED_BY(mutex_);  // when groups_are_large_ was last told
    bool groups_are_large_ KLOG_GUARDED_BY(mutex_) = false;
    std::array<std::uint64_t, 2> settings_checkpoint_ KLOG_GUARDED_BY(mutex_){};
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_IMPL_H
