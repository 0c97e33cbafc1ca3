#include "segment/wal_read_only.h"

#include <algorithm>
#include <utility>

#include "segment/wal_recovery.h"
#include "segment/wal_salvage.h"

namespace klog {
namespace {

// Nothing in it changes, so nothing is locked.
class ReadOnlyWal final : public Wal {
public:
    ReadOnlyWal(Env& env, std::string wal_dir, std::vector<WalFileState> files,
                const SegmentSetState& set)
        : env_(env),
          wal_dir_(std::move(wal_dir)),
          files_(std::move(files)),
          store_uuid_(set.store_uuid),
          hash_key_(set.hash_key) {
        if (files_.empty()) return;
        const WalFileHeader& newest = files_.back().info.header;
        store_uuid_ = newest.store_uuid;
        hash_key_ = newest.hash_key;
        incarnation_ = newest.incarnation;
    }

    [[nodiscard]] const StoreUuid& store_uuid() const override { return store_uuid_; }
    [[nodiscard]] const HashKey& hash_key() const override { return hash_key_; }
    [[nodiscard]] std::uint64_t incarnation() const override { return incarnation_; }

    CommitResult commit(std::span<Frame* const> frames) override {
        if (frames.empty()) return {};
        return {CommitOutcome::absent,
                Error{Code::not_allowed, wal_dir_ + " was opened read-only", ""}};
    }
    CommitResult mark_idle() override { return {}; }
    Status close(const std::array<std::uint64_t, 2>& /*next_seqs*/,
                 std::uint64_t /*manifest_number*/) override {
        return {};
    }
    Status drop_sealed(const SealedUpto& /*sealed*/) override { return {}; }
    Status prepare_spares() override { return {}; }
    [[nodiscard]] bool spares_wanted() const override { return false; }
    void set_settings_checkpoint(LogId /*log*/, Seq /*seq*/) override {}
    void on_file_closed(std::function<void(std::uint64_t)> /*callback*/) override {}

    [[nodiscard]] WalPosition end() const override {
        if (files_.empty()) return {};
        const WalFileInfo& last = files_.back().info;
        return {last.header.wal_id, last.end};
    }
    [[nodiscard]] std::vector<WalFileInfo> files() const override {
        std::vector<WalFileInfo> infos;
        infos.reserve(files_.size());
        for (const WalFileState& state : files_) {
            infos.push_back(state.info);
            if (state.info.closed) infos.back().chain = state.end_chain;
        }
        return infos;
    }
    [[nodiscard]] Result<std::unique_ptr<WalFrameReader>> open_file(
        std::uint64_t wal_id, std::uint64_t from_offset) override {
        const auto found = std::find_if(
            files_.begin(), files_.end(),
            [wal_id](const WalFileState& file) { return file.info.header.wal_id == wal_id; });
        if (found == files_.end()) {
            return Error{Code::not_found,
                         wal_dir_ + " has no file " + std::to_string(wal_id) + " of the log", ""};
        }
        return make_wal_frame_reader(env_, *found, from_offset);
    }
    [[nodiscard]] StoreStats stats() const override {
        StoreStats stats;
        stats.writable = false;
        stats.wal_files = files_.size();
        for (const WalFileState& state : files_) stats.wal_bytes_on_disk += state.info.end;
        return stats;
    }

private:
    Env& env_;
    const std::string wal_dir_;
    const std::vector<WalFileState> files_;  // oldest first
    StoreUuid store_uuid_{};
    HashKey hash_key_{};
    std::uint64_t incarnation_ = 0;
};

// Nobody is shown what a power cut could still take back: what the killed process wrote last and
// did not sync is synced as it lies. That changes no byte, and a file system that is read-only has
// nothing to sync.
Status sync_tail(Env& env, const std::string& path) {
    KLOG_TRY_ASSIGN(const auto file, env.open(path, OpenMode::read));
    Status synced = file->sync_data();
    if (!synced.ok() && synced.error().code == Code::not_allowed) return {};
    return synced;
}

// The tail that a start would copy into its new file.
void take_tail(Env& env, const WalJudgement& judged, std::vector<WalFileState>& files,
               Wal::Opened& opened) {
    if (files.empty() || judged.carry_end <= files.back().info.end) return;
    WalFileInfo& newest = files.back().info;
    const Status synced = sync_tail(env, newest.path);
    if (!synced.ok()) {
        opened.damages.push_back(WalDamage{
            newest.header.wal_id, newest.path + ": what lies behind offset " +
                                      std::to_string(newest.end) +
                                      " may not be on the disk: " + synced.error().message});
        opened.end_lost = true;
        return;
    }
    newest.end = judged.carry_end;
    files.back().end_chain = judged.carry_end_chain;
}

Result<Wal::Opened> open_salvaged(Env& env, const std::string& wal_dir, const SegmentSetState& set,
                                  const Error& refused, std::vector<WalFileState>& files) {
    KLOG_TRY_ASSIGN(WalSalvage found, salvage_wal(env, wal_dir, set, refused));
    Wal::Opened opened;
    opened.report.clean = false;
    opened.report.notices = std::move(found.notices);
    opened.damages = std::move(found.damages);
    opened.end_lost = found.end_lost;
    if (found.marker) opened.clean_next_seqs = found.marker->next_seqs;
    files = std::move(found.files);
    if (!files.empty()) {
        opened.settings_checkpoint = files.back().info.header.settings_checkpoint;
    }
    if (!files.empty() && !files.back().info.closed) {
        KLOG_TRY(sync_tail(env, files.back().info.path));
    }
    return opened;
}

}  // namespace

Result<Wal::Opened> open_wal_read_only(Env& env, const WalOptions& options,
                                       const SegmentSetState& set) {
    const std::string wal_dir = options.dir + "/wal";
    auto judged = judge_wal(env, wal_dir, set);
    Wal::Opened opened;
    std::vector<WalFileState> files;
    const bool damaged =
        !judged.ok() && (judged.error().code == Code::corrupt || judged.error().code == Code::io ||
                         (judged.error().code == Code::not_found && set.number != 0));
    if (damaged) {
        KLOG_TRY_ASSIGN(opened, open_salvaged(env, wal_dir, set, judged.error(), files));
    } else if (judged.ok()) {
        opened.settings_checkpoint = judged->settings_checkpoint();
        files = std::move(judged->files);
        take_tail(env, *judged, files, opened);
        if (judged->marker) opened.clean_next_seqs = judged->marker->next_seqs;
        opened.report = std::move(judged->report);
    } else if (judged.error().code != Code::not_found) {
        return std::move(judged).error();
    }
    if (files.empty() && set.number == 0) {
        return Error{Code::no_input, options.dir + " holds no log",
                     "name the directory of one: --data-dir D"};
    }
    opened.wal = std::make_unique<ReadOnlyWal>(env, wal_dir, std::move(files), set);
    return opened;
}

}  // namespace klog
