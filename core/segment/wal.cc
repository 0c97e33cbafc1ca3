#include "segment/wal.h"

#include <algorithm>

#include "base/assert.h"
#include "segment/clean_marker.h"
#include "segment/wal_impl.h"

namespace klog {

namespace {

constexpr std::size_t kSpares = 2;
// So many are kept where files of the log become spares: the next ones are not filled then.
constexpr std::size_t kSparesMax = 3;
constexpr std::uint64_t kGrowth = 8;  // a full file is followed by one that is this much longer
// Frames of a group are gathered into writes of about this size.
constexpr std::size_t kGatherBytes = 4U << 20U;
// Where groups are at least so large on average, zeros in a spare cost more than they spare:
// core/README.md, "Spares". And so many of them are enough to tell.
constexpr std::uint64_t kLargeGroupBytes = 256U << 10U;
constexpr std::uint64_t kSyncsToTell = 16;
// A larger frame is written as it is: a call costs less than copying it. Unit: bytes.
constexpr std::size_t kCopyBytesMax = 32U << 10U;
// On a full disk room is looked for at most so often, whoever asks: each try makes a file and
// removes it again.
constexpr std::uint64_t kRoomRetryMicros = 100'000;

std::uint64_t padded(std::uint64_t bytes) {
    return (bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

}  // namespace

std::optional<Error> WalImpl::refusal() const {
    if (poison_) {
        return Error{
            Code::io,
            "an earlier write could not be made durable, so nothing is written any more: " +
                poison_->message,
            "restart klog: it reads back what the disk holds"};
    }
    if (closed_) return Error{Code::stopping, "the log was closed", ""};
    return std::nullopt;
}

CommitResult WalImpl::absent(Error error) {
    if (error.code == Code::disk_full) {
        no_room_ = true;
        error.hint = "make room on the disk: klog then goes on by itself";
    }
    return {CommitOutcome::absent, std::move(error)};
}

CommitResult WalImpl::fail_for_good(Error error) {
    if (!poison_) poison_ = error;
    failed_ = true;
    error.code = Code::outcome_unknown;
    error.message = "whether the records were written is not known: " + error.message;
    error.hint = "restart klog, then send them again with their ids or expected versions";
    return {CommitOutcome::unknown, std::move(error)};
}

CommitResult WalImpl::commit(std::span<Frame* const> frames) {
    if (frames.empty()) return {};
    if (auto error = refusal()) return absent(std::move(*error));
    std::uint64_t group_bytes = 0;
    bool records = false;
    for (const Frame* frame : frames) {
        KLOG_ASSERT(frame->bytes.size() >= kFrameHeaderBytes);
        KLOG_ASSERT(frame->bytes.size() - kFrameHeaderBytes <= kFrameBytesMax);
        group_bytes += padded(frame->bytes.size());
        records = records || frame->header.type == FrameType::records;
    }
    if (auto room = make_room_at_times(group_bytes); !room.ok()) {
        return absent(std::move(room).error());
    }

    std::uint64_t at = 0;
    std::uint32_t chain = 0;
    std::uint64_t wal_id = 0;
    std::uint64_t epoch = 0;
    std::uint64_t salt = 0;
    {
        const MutexLock lock(mutex_);
        const WalFileState& state = files_.back();
        at = state.info.end;
        chain = state.end_chain;
        wal_id = state.info.header.wal_id;
        epoch = state.info.header.epoch;
        salt = state.info.header.salt;
    }
    const std::uint64_t begin = at;
    for (Frame* frame : frames) {
        FrameHeader& header = frame->header;
        header.header_bytes = kFrameHeaderBytes;
        header.payload_bytes = static_cast<std::uint32_t>(frame->bytes.size() - kFrameHeaderBytes);
        header.payload_crc = payload_checksum(frame->payload(), salt);
        header.prev_crc = chain;
        header.wal_id = wal_id;
        header.offset = at;
        header.incarnation = incarnation_;
        header.epoch = epoch;
        header.synced_upto = begin;
        frame->bytes.resize(static_cast<std::size_t>(header.total_bytes()));
        encode_frame_header(header, salt, frame->bytes.data());
        chain = header.header_crc;
        at += header.total_bytes();
    }
    if (auto written = write_frames(frames); !written.ok()) {
        return undo(frames, std::move(written).error());
    }
    if (auto synced = sync_file(*live_); !synced.ok()) {
        return fail_for_good(std::move(synced).error());
    }
    publish(at, chain);
    bytes_written_ += group_bytes;
    mark_wanted_ = records;
    no_room_ = false;
    return {};
}

Status WalImpl::write_frames(std::span<Frame* const> frames) {
    if (frames.size() == 1) {
        return live_->write_at(frames.front()->header.offset, frames.front()->bytes);
    }
    gathered_.clear();
    std::uint64_t at = frames.front()->header.offset;
    const auto flush = [&]() -> Status {
        KLOG_TRY(live_->write_at(at, gathered_));
        at += gathered_.size();
        gathered_.clear();
        return {};
    };
    for (const Frame* frame : frames) {
        if (frame->bytes.size() < kCopyBytesMax) {
            gathered_ += frame->bytes;
            if (gathered_.size() >= kGatherBytes) KLOG_TRY(flush());
            continue;
        }
        if (!gathered_.empty()) KLOG_TRY(flush());
        KLOG_TRY(live_->write_at(at, frame->bytes));
        at += frame->bytes.size();
    }
    return gathered_.empty() ? Status() : flush();
}

// Nothing of the group was synced on purpose, but the system may write any of it at any time. Its
// headers go: the first, since all others hang on it, and the others, since a later group may
// happen to end where one of them begins. The group lies within the live file's room.
CommitResult WalImpl::undo(std::span<Frame* const> frames, Error error) {
    static constexpr char kZeros[kFrameHeaderBytes] = {};
    for (Frame* frame : frames) {
        if (auto zeroed = live_->write_at(frame->header.offset, {kZeros, sizeof kZeros});
            !zeroed.ok()) {
            return fail_for_good(std::move(zeroed).error());
        }
    }
    if (auto synced = sync_file(*live_); !synced.ok()) {
        return fail_for_good(std::move(synced).error());
    }
    for (Frame* frame : frames) {  // as they came
        frame->bytes.resize(kFrameHeaderBytes + std::size_t{frame->header.payload_bytes});
    }
    return absent(std::move(error));
}

Status WalImpl::make_room_at_times(std::uint64_t group_bytes) {
    // Spares that were made since then clear no_room_; a smaller group may fit as it is.
    if (refused_room_ && no_room_ && group_bytes >= refused_room_->bytes &&
        env_.monotonic_micros() - refused_room_->at_micros < kRoomRetryMicros) {
        return refused_room_->error;
    }
    refused_room_.reset();
    Status made = make_room(group_bytes);
    if (!made && made.error().code == Code::disk_full) {
        refused_room_ = RefusedRoom{made.error(), group_bytes, env_.monotonic_micros()};
    }
    return made;
}

// Sees to it that the group fits into the live file, and that a crash behind it finds a spare
// that can take it. No frame is written before that.
Status WalImpl::make_room(std::uint64_t group_bytes) {
    const std::uint64_t needed = kWalFileHeaderBytes + group_bytes;
    const std::uint64_t first = options_.first_file_bytes;
    const WalPosition position = end();
    if (live_ && position.offset + group_bytes <= capacity_) {
        return spares_.ensure(1, needed, first);
    }
    const std::uint64_t old_id = live_ ? position.wal_id : 0;
    if (live_) aim_spares(capacity_);
    KLOG_TRY(spares_.ensure(kSpares, needed, first));
    KLOG_TRY(start_file(std::nullopt));
    if (old_id != 0 && file_closed_) file_closed_(old_id);
    return {};
}

void WalImpl::publish(std::uint64_t end, std::uint32_t chain) {
    {
        const MutexLock lock(mutex_);
        WalFileState& state = files_.back();
        state.info.end = end;
        state.end_chain = chain;
    }
    if (end > capacity_ / 2) aim_spares(end);
}

// Once the live file is half full, the next ones are to be longer.
void WalImpl::aim_spares(std::uint64_t used) {
    if (used <= capacity_ / 2) return;
    const std::uint64_t longest = std::max(options_.first_file_bytes, options_.file_bytes);
    const std::uint64_t aim = std::min(capacity_ * kGrowth, longest);
    if (aim > spare_bytes_aim_) spare_bytes_aim_ = aim;
}

CommitResult WalImpl::mark_idle() {
    if (!mark_wanted_) return {};
    Frame mark;
    mark.header.type = FrameType::mark;
    mark.header.log_id = LogId::system;
    mark.header.base_time = env_.now();
    mark.bytes.resize(kFrameHeaderBytes);
    Frame* const frames[] = {&mark};
    return commit(frames);
}

Status WalImpl::close(const std::array<std::uint64_t, 2>& next_seqs,
                      std::uint64_t manifest_number) {
    if (auto error = refusal()) return std::move(*error);
    closed_ = true;
    if (!live_) return {};  // nothing was written, so what the last stop left still holds
    CleanMarker marker;
    marker.store_uuid = store_uuid_;
    marker.incarnation = incarnation_;
    marker.next_seqs = next_seqs;
    marker.manifest_number = manifest_number;
    {
        const MutexLock lock(mutex_);
        const WalFileState& state = files_.back();
        marker.wal_id = state.info.header.wal_id;
        marker.end = state.info.end;
        marker.chain = state.end_chain;
        marker.settings_checkpoint = settings_checkpoint_;
    }
    const std::string temporary = wal_dir_ + "/" + kCleanMarkerTemporaryName;
    KLOG_TRY_ASSIGN(const bool left_over, env_.exists(temporary));
    if (left_over) KLOG_TRY(env_.remove(temporary));
    KLOG_TRY_ASSIGN(const auto file, env_.open(temporary, OpenMode::create_new));
    KLOG_TRY(file->write_at(0, encode_clean_marker(marker)));
    KLOG_TRY(file->sync_data());
    KLOG_TRY(env_.rename(temporary, wal_dir_ + "/" + kCleanMarkerName));
    return env_.sync_dir(wal_dir_);
}

Status WalImpl::forget_sealed(const SealedUpto& sealed) {
    const MutexLock lock(mutex_);
    const auto behind = std::find_if(files_.begin(), files_.end(), [&](const WalFileState& state) {
        return state.info.header.wal_id > sealed.wal_id;
    });
    if (behind == files_.begin()) return {};
    const WalFileState& last = *std::prev(behind);
    const SealedUpto there{last.info.header.wal_id, last.info.end, last.end_chain};
    if (!last.info.closed || there != sealed) {
        return Error{Code::bug,
                     wal_dir_ + ": file " + std::to_string(sealed.wal_id) +
                         " of the log is to be dropped as sealed, but is not closed, or ends "
                         "otherwise",
                     "keep a copy of the directory and report this"};
    }
    for (auto file = files_.begin(); file != behind; ++file) {
        unremoved_.push_back({file->info.path, file->info.end, std::move(file->users)});
    }
    files_.erase(files_.begin(), behind);
    return {};
}

// Room that is there already need not be filled with zeros, which is as much to write as the log
// itself. Not while somebody may still read the file: nobody else comes to know it any more, so
// that a look is enough. What it holds is of another salt than the frames to come.
//
// Removing a file of 64 MiB takes 10 to 80 ms on ext4. The commits beside it were not slower than
// the disk's syncs vary by themselves; cutting the file piece by piece first made no difference,
// and would take it away from readers that have it open.
Status WalImpl::remove_or_reuse(const Dropped& dropped) {
    const std::uint64_t aim = spare_bytes_aim_;
    const bool reuse = dropped.bytes > aim / 2 && dropped.users.use_count() == 1 &&
                       !growing_is_vain_ && spares_.count(aim) < kSparesMax;
    if (!reuse) return env_.remove(dropped.path);
    return spares_.adopt(dropped.path, dropped.bytes, aim);
}

Status WalImpl::drop_sealed(const SealedUpto& sealed) {
    KLOG_TRY(forget_sealed(sealed));
    std::vector<Dropped> files;
    {
        const MutexLock lock(mutex_);
        files.swap(unremoved_);
    }
    if (files.empty()) return {};
    Status result;
    for (Dropped& file : files) {
        Status removed = remove_or_reuse(file);
        if (removed.ok() || removed.error().code == Code::not_found) continue;
        {
            const MutexLock lock(mutex_);
            file.bytes = 0;
            unremoved_.push_back(std::move(file));
        }
        if (result.ok()) result = std::move(removed);
    }
    const Status synced = env_.sync_dir(wal_dir_);
    return result.ok() ? synced : result;
}

Status WalImpl::prepare_spares() {
    const std::uint64_t aim = spare_bytes_aim_;
    if (!growing_is_vain_ || spares_.count() < kSpares) {
        auto prepared = spares_.prepare(kSpares, aim, room_of_spares());
        if (!prepared.ok() && prepared.error().code == Code::disk_full) {
            // Longer ones can wait for the next file; that there are two of them cannot.
            growing_is_vain_ = true;
            prepared = spares_.ensure(kSpares, kWalFileHeaderBytes, options_.first_file_bytes);
        }
        KLOG_TRY(std::move(prepared));
    }
    no_room_ = false;
    return {};
}

// By what was committed since it last could tell, if that is enough to tell again.
SparePool::Room WalImpl::room_of_spares() {
    const MutexLock lock(mutex_);
    const CommitCount now{syncs_, bytes_written_};
    const std::uint64_t syncs = now.syncs - counted_.syncs;
    if (syncs >= kSyncsToTell) {
        groups_are_large_ = (now.bytes - counted_.bytes) / syncs >= kLargeGroupBytes;
        counted_ = now;
    }
    return groups_are_large_ ? SparePool::Room::taken : SparePool::Room::zeros;
}

bool WalImpl::spares_wanted() const {
    if (spares_.count() < kSpares) return true;
    return !growing_is_vain_ && spares_.count(spare_bytes_aim_) < kSpares;
}

void WalImpl::set_settings_checkpoint(LogId log, Seq seq) {
    const MutexLock lock(mutex_);
    settings_checkpoint_.at(static_cast<std::size_t>(log)) = seq.value;
}

void WalImpl::on_file_closed(std::function<void(std::uint64_t)> callback) {
    file_closed_ = std::move(callback);
}

WalPosition WalImpl::end() const {
    const MutexLock lock(mutex_);
    const WalFileInfo& last = files_.back().info;
    return {last.header.wal_id, last.end};
}

std::vector<WalFileInfo> WalImpl::files() const {
    const MutexLock lock(mutex_);
    std::vector<WalFileInfo> infos;
    infos.reserve(files_.size());
    for (const WalFileState& state : files_) {
        infos.push_back(state.info);
        if (state.info.closed) infos.back().chain = state.end_chain;
    }
    return infos;
}

Result<std::unique_ptr<WalFrameReader>> WalImpl::open_file(std::uint64_t wal_id,
                                                           std::uint64_t from_offset) {
    WalFileState state;
    {
        const MutexLock lock(mutex_);
        const auto found = std::lower_bound(files_.begin(), files_.end(), wal_id,
                                            [](const WalFileState& file, std::uint64_t id) {
                                                return file.info.header.wal_id < id;
                                            });
        if (found == files_.end() || found->info.header.wal_id != wal_id) {
            return Error{Code::not_found,
                         wal_dir_ + " has no file " + std::to_string(wal_id) + " of the log", ""};
        }
        state = *found;
    }
    return make_wal_frame_reader(env_, state, from_offset);
}

StoreStats WalImpl::stats() const {
    StoreStats stats;
    stats.syncs = syncs_;
    stats.sync_micros_total = sync_micros_;
    stats.wal_bytes_written = bytes_written_;
    stats.writable = !no_room_ && !failed_;
    stats.failed = failed_;
    stats.wal_bytes_on_disk = spares_.bytes();
    const MutexLock lock(mutex_);
    stats.wal_files = files_.size();
    for (const WalFileState& state : files_) {
        stats.wal_bytes_on_disk += state.info.closed ? state.info.end : capacity_shown_;
    }
    return stats;
}

}  // namespace klog
