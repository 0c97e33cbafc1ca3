#include <algorithm>
#include <cstring>
#include <utility>

#include "segment/wal_impl.h"
#include "segment/wal_read_only.h"

namespace klog {
namespace {

// The first file of a new store, and the spare beside it: a start waits until both are synced,
// which for 64 KiB takes 0.2 ms each and for 1 MiB 1 ms. Longer spares are made behind the start.
constexpr std::uint64_t kNewStoreFileBytes = 64 * 1024;

}  // namespace

WalImpl::WalImpl(Env& env, const WalOptions& options)
    : env_(env),
      options_(options),
      wal_dir_(options.dir + "/wal"),
      spares_(env, wal_dir_),
      spare_bytes_aim_(std::max<std::uint64_t>(options.first_file_bytes, kWalFileHeaderBytes)) {}

Result<Wal::Opened> Wal::open(Env& env, const WalOptions& options, const SegmentSetState& set) {
    const std::string wal_dir = options.dir + "/wal";
    if (options.read_only) return open_wal_read_only(env, options, set);
    // Whoever made the set may have been killed before its name was durable; from here on files go
    // on its word.
    if (set.number != 0) KLOG_TRY(env.sync_dir(options.dir + "/" + kSegmentDirName));
    // Syncs the names of the folders too, also where an earlier try made them and was killed.
    KLOG_TRY(env.create_dirs(wal_dir));
    KLOG_TRY_ASSIGN(WalJudgement judgement, judge_wal(env, wal_dir, set));
    auto wal = std::make_unique<WalImpl>(env, options);
    WalImpl& impl = *wal;
    return impl.open_judged(std::move(judgement), std::move(wal));
}

Result<Wal::Opened> WalImpl::open_judged(WalJudgement judgement, std::unique_ptr<WalImpl> self) {
    if (options_.check && !judgement.files.empty()) {
        const WalFileHeader& newest = judgement.files.back().info.header;
        KLOG_TRY(options_.check(newest.store_uuid, newest.wal_id));
    }
    KLOG_TRY(spares_.load(judgement.spares));
    remove_void_files(judgement);  // first: the room may be needed
    Opened opened;
    opened.created = judgement.files.empty();
    if (opened.created) {
        KLOG_TRY(make_store());
    } else {
        opened.settings_checkpoint = judgement.settings_checkpoint();
        if (judgement.marker) opened.clean_next_seqs = judgement.marker->next_seqs;
        KLOG_TRY(take_up(judgement));
    }
    opened.report = std::move(judgement.report);
    opened.wal = std::move(self);
    return opened;
}

Status WalImpl::make_store() {
    env_.random(store_uuid_);
    env_.random(hash_key_);
    // One to stay, and the one that becomes the first file: it is synced as a whole with its
    // header. Spares of an earlier try are as good, but the newest of the longest is the one to be
    // taken.
    const std::uint64_t bytes = std::min(spare_bytes_aim_.load(), kNewStoreFileBytes);
    if (spares_.count(bytes) == 0) KLOG_TRY(spares_.create_unnamed(bytes, true));
    KLOG_TRY(spares_.create_unnamed(std::max(bytes, spares_.largest()), false));
    return start_file(std::nullopt);
}

// The store is there: a new incarnation and, where there is room, its first file.
Status WalImpl::take_up(WalJudgement& judgement) {
    const WalFileState last = judgement.files.back();
    const WalFileHeader& newest = last.info.header;
    store_uuid_ = newest.store_uuid;
    hash_key_ = newest.hash_key;
    incarnation_ = newest.incarnation + 1;
    {
        const MutexLock lock(mutex_);
        files_ = judgement.files;
        settings_checkpoint_ = judgement.settings_checkpoint();
    }
    Carried carried;
    if (judgement.carry_end > last.info.end) {
        carried = last;
        carried->info.end = judgement.carry_end;
        carried->end_chain = judgement.carry_end_chain;
        judgement.report.bytes_carried_over = judgement.carry_end - last.info.end;
    }
    const std::uint64_t needed = kWalFileHeaderBytes + judgement.report.bytes_carried_over;
    auto room = spares_.ensure(1, needed, spare_bytes_aim_);
    if (!room.ok() && room.error().code == Code::disk_full) {
        room = spares_.ensure(1, needed, needed);  // as little as will do
    }
    if (room.ok()) room = start_file(carried);
    if (room.ok()) return cut_void_bytes(judgement);
    if (room.error().code != Code::disk_full) return room;
    if (carried) {
        return Error{Code::disk_full,
                     wal_dir_ + ": after the crash " +
                         std::to_string(judgement.report.bytes_carried_over) +
                         " bytes have to be copied before anything can be served, and there is "
                         "no room for them: " +
                         room.error().message,
                     "make room on this disk, then start again; nothing is lost"};
    }
    // All that is there was synced under names that another process may have made: once they are
    // durable, it can be served.
    no_room_ = true;
    judgement.report.notices.emplace_back("no room for a new file of the log: reads only");
    return env_.sync_dir(wal_dir_);
}

// They can do no harm either. A name that comes back after a crash is as void as before.
void WalImpl::remove_void_files(WalJudgement& judgement) {
    for (const std::string& path : judgement.void_paths) {
        const Status removed = env_.remove(path);
        if (removed.ok()) continue;
        judgement.report.notices.push_back("all of it is sealed, but it cannot be removed: " +
                                           removed.error().message);
        const MutexLock lock(mutex_);
        unremoved_.push_back({path, 0, nullptr});
    }
}

// Void bytes can do no harm; they take room.
Status WalImpl::cut_void_bytes(WalJudgement& judgement) {
    const WalFileInfo& last = judgement.files.back().info;
    judgement.uncut.emplace_back(last.path, last.end);
    for (const auto& [path, end] : judgement.uncut) {
        auto file = env_.open(path, OpenMode::read_write);
        auto cut = file.ok() ? file.value()->truncate(end) : Status(std::move(file).error());
        if (!cut.ok()) judgement.report.notices.push_back("not cut: " + cut.error().message);
    }
    return {};
}

WalFileHeader WalImpl::next_header(const Carried& carried) const {
    WalFileHeader header;
    header.writer = options_.writer;
    header.store_uuid = store_uuid_;
    header.hash_key = hash_key_;
    header.wal_id = 1;
    header.incarnation = incarnation_;
    header.created = env_.now();
    std::array<std::uint8_t, sizeof header.salt> salt{};
    env_.random(salt);
    std::memcpy(&header.salt, salt.data(), salt.size());
    header.synced_upto_initial = kWalFileHeaderBytes;
    const MutexLock lock(mutex_);
    header.settings_checkpoint = settings_checkpoint_;
    if (files_.empty()) return header;
    const WalFileState& previous = files_.back();
    header.wal_id = previous.info.header.wal_id + 1;
    header.epoch = previous.info.header.epoch;
    header.previous_wal_id = previous.info.header.wal_id;
    header.previous_end = previous.info.end;
    header.previous_chain = previous.end_chain;
    if (carried) header.synced_upto_initial += carried->info.end - previous.info.end;
    return header;
}

// The records keep their bytes; the headers are made anew for this file.
Status WalImpl::carry_over(const WalFileState& carried, Built& built) {
    const WalFileHeader& target = built.state.info.header;
    KLOG_TRY_ASSIGN(const auto reader, make_wal_frame_reader(env_, carried, target.previous_end));
    while (true) {
        KLOG_TRY_ASSIGN(const auto frame, reader->next());
        if (!frame) return {};
        FrameHeader header = frame->header;
        std::string bytes = frame->bytes;
        const std::size_t body = header.header_bytes + std::size_t{header.payload_bytes};
        header.payload_crc = payload_checksum(
            std::string_view(bytes).substr(kFrameHeaderBytes, body - kFrameHeaderBytes),
            target.salt);
        header.prev_crc = built.state.end_chain;
        header.wal_id = target.wal_id;
        header.offset = built.state.info.end;
        header.incarnation = target.incarnation;
        header.synced_upto = kWalFileHeaderBytes;  // synced_upto_initial says the rest
        encode_frame_header(header, target.salt, bytes.data());
        KLOG_TRY(built.file->write_at(header.offset, bytes));
        built.state.end_chain = header.header_crc;
        built.state.info.end += bytes.size();
        built.bytes_written += bytes.size();
    }
}

Result<WalImpl::Built> WalImpl::build_file(const Spare& spare, const Carried& carried) {
    Built built;
    built.capacity = spare.size;
    KLOG_TRY_ASSIGN(built.file, env_.open(spares_.path(spare), OpenMode::read_write));
    WalFileInfo& info = built.state.info;
    info.header = next_header(carried);
    info.path = wal_dir_ + "/" + wal_file_name(info.header.wal_id);
    info.end = kWalFileHeaderBytes;
    const std::string header = encode_file_header(info.header);
    built.state.header_crc = file_header_checksum(header);
    built.state.end_chain = built.state.header_crc;
    built.bytes_written = header.size();
    KLOG_TRY(built.file->write_at(0, header));
    if (carried) KLOG_TRY(carry_over(*carried, built));
    return built;
}

Status WalImpl::start_file(const Carried& carried) {
    const Spare spare = spares_.take();
    auto built = build_file(spare, carried);
    if (!built.ok()) {
        spares_.give_back(spare);
        return std::move(built).error();
    }
    const std::string& path = built->state.info.path;
    KLOG_TRY(sync_file(*built->file));
    if (auto renamed = env_.rename(spares_.path(spare), path); !renamed.ok()) {
        // Without room in the folder nothing has happened. Otherwise it is not known which name
        // the file has, and only a start can tell.
        if (renamed.error().code == Code::disk_full) {
            spares_.give_back(spare);
        } else {
            poison_ = renamed.error();
            failed_ = true;
        }
        return renamed;
    }
    if (auto synced = env_.sync_dir(wal_dir_); !synced.ok()) {
        poison_ = synced.error();
        failed_ = true;
        return synced;
    }
    bytes_written_ += built->bytes_written;
    const std::unique_ptr<File> old = std::exchange(live_, std::move(built->file));
    capacity_ = built->capacity;
    mark_wanted_ = false;
    growing_is_vain_ = false;
    std::uint64_t old_end = 0;
    std::shared_ptr<const int> cutting;  // meanwhile it becomes no spare
    {
        const MutexLock lock(mutex_);
        if (!files_.empty()) {
            cutting = files_.back().users;
            files_.back().info.closed = true;
            old_end = files_.back().info.end;
        }
        files_.push_back(std::move(built->state));
        capacity_shown_ = capacity_;
    }
    // Only the room behind the old file's end is at stake: what fails here, the next open does.
    if (old) static_cast<void>(old->truncate(old_end));
    return {};
}

Status WalImpl::sync_file(File& file) {
    const std::uint64_t begin = env_.monotonic_micros();
    auto synced = file.sync_data();
    sync_micros_ += env_.monotonic_micros() - begin;
    ++syncs_;
    if (!synced.ok()) {
        poison_ = synced.error();
        failed_ = true;
    }
    return synced;
}

}  // namespace klog
