#include "log/file_catalog.h"

#include <algorithm>

#include "segment/record_codec.h"

namespace klog {
namespace {

constexpr std::array<LogId, 2> kLogIds = {LogId::system, LogId::default_log};

std::size_t number_of(LogId log) { return static_cast<std::size_t>(log); }

}  // namespace

const WalLogIndex& FileCatalog::index_of(const Entry& entry, LogId log) const {
    return entry.closed ? entry.logs[number_of(log)] : entry.growing.log(log);
}

FileCatalog::FileCatalog(Env& env, Wal& wal, const SegmentCatalog& segments, std::string index_dir)
    : env_(env), wal_(wal), segments_(segments), dir_(std::move(index_dir)) {}

std::string FileCatalog::index_path(std::uint64_t wal_id) const {
    std::string name = std::to_string(wal_id);
    name.insert(0, 20 - std::min<std::size_t>(20, name.size()), '0');
    return dir_ + "/" + name + ".idx";
}

std::uint64_t FileCatalog::end_of(std::uint64_t wal_id) const {
    for (const WalFileInfo& file : wal_.files()) {
        if (file.header.wal_id == wal_id) return file.end;
    }
    return 0;
}

Result<WalFileIndex> FileCatalog::scan(std::uint64_t wal_id) const {
    WalFileIndex index;
    std::uint64_t read_to = 0;
    KLOG_TRY(scan_into(wal_id, index, read_to));
    return index;
}

Status FileCatalog::scan_into(std::uint64_t wal_id, WalFileIndex& index,
                              std::uint64_t& read_to) const {
    KLOG_TRY_ASSIGN(auto reader, wal_.open_file(wal_id, kWalFileHeaderBytes));
    for (;;) {
        read_to = reader->offset();
        KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, reader->next());
        if (!frame) return {};
        const FrameHeader& header = frame->header;
        if (header.count == 0) continue;
        RecordDecoder decoder(frame->payload(), header.first_seq, header.base_time, header.count);
        RecordView record;
        for (;;) {
            KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
            if (!more) break;
            index.add_topic(header.log_id, record.topic, record.seq);
        }
        index.add_frame(header.log_id, header.first_seq, header.count, header.base_time,
                        record.time, header.offset);
    }
}

Result<WalFileIndex> FileCatalog::scan_sound(const WalFileInfo& file,
                                             std::vector<WalDamage>& damages) const {
    WalFileIndex index;
    std::uint64_t read_to = 0;
    const Status scanned = scan_into(file.header.wal_id, index, read_to);
    if (scanned.ok()) return index;
    const Error& error = scanned.error();
    if (error.code != Code::corrupt && error.code != Code::io) return error;
    damages.push_back(WalDamage{file.header.wal_id, error.message});
    // All its frames are sound, but they are not those that the next file follows on.
    if (read_to >= file.end) return WalFileIndex();
    return index;
}

Status FileCatalog::open(std::vector<std::string>& notices, std::vector<WalDamage>* damages) {
    for (const WalFileInfo& file : wal_.files()) {
        Entry entry;
        entry.closed = file.closed;
        const std::uint64_t wal_id = file.header.wal_id;
        std::optional<std::array<WalLogIndex, 2>> known;
        if (file.closed) known = load_wal_file_index(env_, index_path(wal_id), wal_id, file.end);
        if (known) {
            entry.logs = std::move(*known);
            for (WalLogIndex& log : entry.logs) log.topics = {};
            entry.indexed = true;
        } else {
            KLOG_TRY_ASSIGN(WalFileIndex scanned,
                            damages == nullptr ? scan(wal_id) : scan_sound(file, *damages));
            for (const LogId log : kLogIds) entry.logs[number_of(log)] = scanned.log(log);
            if (file.closed) {
                notices.push_back("the index of WAL file " + std::to_string(wal_id) +
                                  " was made anew");
            } else {
                entry.growing = std::move(scanned);
            }
        }
        MutexLock lock(mutex_);
        files_[wal_id] = std::move(entry);
    }
    return {};
}

void FileCatalog::add_frame(const FrameHeader& header, Time last_time) {
    MutexLock lock(mutex_);
    files_[header.wal_id].growing.add_frame(header.log_id, header.first_seq, header.count,
                                            header.base_time, last_time, header.offset);
}

void FileCatalog::file_closed(std::uint64_t wal_id) {
    MutexLock lock(mutex_);
    Entry& entry = files_[wal_id];
    for (const LogId log : kLogIds) entry.logs[number_of(log)] = entry.growing.log(log);
    entry.growing = WalFileIndex{};
    entry.closed = true;
}

bool FileCatalog::missing() const {
    MutexLock lock(mutex_);
    return std::any_of(files_.begin(), files_.end(),
                       [](const auto& file) { return file.second.closed && !file.second.indexed; });
}

Status FileCatalog::write_missing() {
    std::vector<std::uint64_t> wanted;
    {
        MutexLock lock(mutex_);
        for (const auto& [wal_id, entry] : files_) {
            if (entry.closed && !entry.indexed) wanted.push_back(wal_id);
        }
    }
    if (wanted.empty()) return {};
    KLOG_TRY(env_.create_dirs(dir_));
    for (const std::uint64_t wal_id : wanted) {
        KLOG_TRY_ASSIGN(const WalFileIndex scanned, scan(wal_id));
        Status written = scanned.write(env_, index_path(wal_id), wal_id, end_of(wal_id));
        // Too many topics for an index: the file is read from its start, which is slow, not wrong.
        if (!written && written.error().code != Code::too_many) return written;
        MutexLock lock(mutex_);
        files_[wal_id].indexed = true;
    }
    return {};
}

template <class Position>
std::optional<FileCatalog::Place> FileCatalog::place_of(
    const std::pair<const std::uint64_t, Entry>& file, LogId log, Position position) const {
    const WalLogIndex& index = index_of(file.second, log);
    const WalLogIndex::Point& point = index.point_of(position);
    return Place{{file.first, point.offset},
                 file.second.closed,
                 index.first_seq,
                 index.last_seq,
                 point.first_seq};
}

std::optional<FileCatalog::Place> FileCatalog::find(LogId log, Seq seq) const {
    MutexLock lock(mutex_);
    for (const auto& file : files_) {
        const WalLogIndex& index = index_of(file.second, log);
        if (index.first_seq == Seq{} || index.last_seq < seq) continue;
        return place_of(file, log, seq);
    }
    return std::nullopt;
}

std::optional<FileCatalog::Place> FileCatalog::find(LogId log, Time time) const {
    MutexLock lock(mutex_);
    for (const auto& file : files_) {
        const WalLogIndex& index = index_of(file.second, log);
        if (index.first_seq == Seq{} || index.last_time < time) continue;
        return place_of(file, log, time);
    }
    return std::nullopt;
}

bool FileCatalog::may_match(std::uint64_t wal_id, LogId log, const FilterSet& set) const {
    if (set.all()) return true;
    const auto index = load_wal_file_index(env_, index_path(wal_id), wal_id, end_of(wal_id));
    return !index || (*index)[number_of(log)].may_match(set);
}

std::optional<std::uint64_t> FileCatalog::count(std::uint64_t wal_id, LogId log,
                                                const FilterSet& set) const {
    const auto index = load_wal_file_index(env_, index_path(wal_id), wal_id, end_of(wal_id));
    if (!index) return std::nullopt;
    std::uint64_t records = 0;
    for (const auto& [topic, count] : (*index)[number_of(log)].topics) {
        if (set.matches(topic)) records += count.records;
    }
    return records;
}

const Hole* FileCatalog::hole_at(LogId log, Seq seq) const {
    const auto found = std::find_if(holes_.begin(), holes_.end(), [&](const Hole& hole) {
        return hole.log == log && hole.first <= seq && seq <= hole.last;
    });
    return found != holes_.end() ? &*found : nullptr;
}

const Hole* FileCatalog::hole_before(LogId log, Seq seq) const {
    const Hole* found = nullptr;
    for (const Hole& hole : holes_) {
        if (hole.log != log || hole.first > seq) continue;
        if (found == nullptr || found->first < hole.first) found = &hole;
    }
    return found;
}

std::vector<FileCatalog::Range> FileCatalog::ranges(LogId log) const {
    std::vector<Range> ranges;
    MutexLock lock(mutex_);
    for (const auto& [wal_id, entry] : files_) {
        const WalLogIndex& index = index_of(entry, log);
        if (index.first_seq != Seq{}) ranges.push_back({wal_id, index.first_seq, index.last_seq});
    }
    return ranges;
}

Seq FileCatalog::first_seq(LogId log) const {
    MutexLock lock(mutex_);
    for (const auto& [wal_id, entry] : files_) {
        const Seq first = index_of(entry, log).first_seq;
        if (first != Seq{}) return first;
    }
    return {};
}

Seq FileCatalog::last_seq(LogId log) const {
    MutexLock lock(mutex_);
    Seq last;
    for (const auto& [wal_id, entry] : files_) {
        last = std::max(last, index_of(entry, log).last_seq);
    }
    return last;
}

void FileCatalog::drop_sealed(std::uint64_t wal_id) {
    std::vector<std::uint64_t> dropped;
    {
        MutexLock lock(mutex_);
        while (!files_.empty() && files_.begin()->first <= wal_id) {
            dropped.push_back(files_.begin()->first);
            files_.erase(files_.begin());
        }
    }
    // Disposable, and void without its file: one that stays does no harm.
    for (const std::uint64_t file : dropped) static_cast<void>(env_.remove(index_path(file)));
}

}  // namespace klog
