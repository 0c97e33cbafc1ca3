#include "log/file_catalog.h"

#include <algorithm>

#include "segment/record_codec.h"
#include "segment/record_hash.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::array<LogId, 2> kLogIds = {LogId::system, LogId::default_log};

// A live file that holds so much gets its index at a stop; less is read as fast. Unit: bytes.
constexpr std::uint64_t kIndexedLiveBytes = 32U << 10U;

std::size_t number_of(LogId log) { return static_cast<std::size_t>(log); }

}  // namespace

const WalLogIndex& FileCatalog::index_of(const Entry& entry, LogId log) const {
    return entry.logs ? (*entry.logs)[number_of(log)] : entry.growing.log(log);
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

Result<WalFileIndex> FileCatalog::scan(std::uint64_t wal_id, bool with_entities) const {
    WalFileIndex index;
    std::uint64_t read_to = 0;
    KLOG_TRY(scan_into(wal_id, with_entities, index, read_to));
    return index;
}

Status FileCatalog::scan_into(std::uint64_t wal_id, bool with_entities, WalFileIndex& index,
                              std::uint64_t& read_to) const {
    KLOG_TRY_ASSIGN(auto reader, wal_.open_file(wal_id, kWalFileHeaderBytes));
    std::vector<std::uint32_t> entities;
    for (;;) {
        read_to = reader->offset();
        KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, reader->next());
        if (!frame) return {};
        const FrameHeader& header = frame->header;
        if (header.count == 0) continue;
        RecordDecoder decoder(frame->payload(), header.first_seq, header.base_time, header.count);
        RecordView record;
        entities.clear();
        for (;;) {
            KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
            if (!more) break;
            index.add_topic(header.log_id, record.topic, record.seq);
            if (!with_entities || !record.has_key) continue;
            entities.push_back(entity_fingerprint(
                entity_hash(wal_.hash_key(), space_of(record.topic), record.key)));
        }
        index.add_frame(header.log_id, header.first_seq, header.count, header.base_time,
                        record.time, header.offset, entities);
    }
}

// Leaves entry.logs null where there is no index that can be read.
void FileCatalog::load_index(std::uint64_t wal_id, std::uint64_t end, Entry& entry) const {
    auto known = load_wal_file_index(env_, index_path(wal_id), wal_id, end);
    if (!known) return;
    for (WalLogIndex& log : *known) log.topics = {};
    entry.logs = std::make_shared<const Logs>(std::move(*known));
    // Without it the whole file is read for an entity.
    if (auto file = env_.open(index_path(wal_id), OpenMode::read); file.ok()) {
        entry.index_file = std::move(file).value();
    }
}

Result<WalFileIndex> FileCatalog::scan_sound(const WalFileInfo& file,
                                             std::vector<WalDamage>& damages) const {
    WalFileIndex index;
    std::uint64_t read_to = 0;
    const Status scanned = scan_into(file.header.wal_id, true, index, read_to);
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
        if (file.closed) load_index(wal_id, file.end, entry);
        entry.indexed = entry.logs != nullptr;
        if (!entry.indexed) {
            KLOG_TRY_ASSIGN(entry.growing,
                            damages == nullptr ? scan(wal_id, true) : scan_sound(file, *damages));
            // Not where none was written: of what a killed process wrote last, or of a few records.
            const auto there = env_.exists(index_path(wal_id));
            if (file.closed && there.ok() && *there) {
                notices.push_back("the index of WAL file " + std::to_string(wal_id) +
                                  " was made anew");
            }
        }
        MutexLock lock(mutex_);
        files_[wal_id] = std::move(entry);
    }
    return {};
}

void FileCatalog::add_frame(const FrameHeader& header, Time last_time,
                            std::span<const std::uint32_t> entities) {
    MutexLock lock(mutex_);
    files_[header.wal_id].growing.add_frame(header.log_id, header.first_seq, header.count,
                                            header.base_time, last_time, header.offset, entities);
}

void FileCatalog::file_closed(std::uint64_t wal_id) {
    MutexLock lock(mutex_);
    files_[wal_id].closed = true;
}

bool FileCatalog::missing() const {
    MutexLock lock(mutex_);
    return std::any_of(files_.begin(), files_.end(),
                       [](const auto& file) { return file.second.closed && !file.second.indexed; });
}

bool FileCatalog::has(std::uint64_t wal_id) const {
    MutexLock lock(mutex_);
    return files_.find(wal_id) != files_.end();
}

Status FileCatalog::write_missing() {
    std::vector<std::uint64_t> wanted;
    {
        MutexLock lock(mutex_);
        for (const auto& [wal_id, entry] : files_) {
            if (entry.closed && !entry.indexed) wanted.push_back(wal_id);
        }
    }
    for (const std::uint64_t wal_id : wanted) KLOG_TRY(write_index(wal_id));
    return {};
}

Status FileCatalog::write_live() {
    const std::vector<WalFileInfo> files = wal_.files();
    if (files.empty() || files.back().closed || files.back().end < kIndexedLiveBytes) return {};
    const std::uint64_t wal_id = files.back().header.wal_id;
    // Nothing was written since the last stop: there was no room for a file of this run.
    if (load_wal_file_index(env_, index_path(wal_id), wal_id, files.back().end)) return {};
    return write_index(wal_id);
}

Status FileCatalog::write_index(std::uint64_t wal_id) {
    KLOG_TRY(env_.create_dirs(dir_));
    // The topics are read again, the entities are known.
    Result<WalFileIndex> read = scan(wal_id, false);
    if (!read.ok() && !has(wal_id)) return {};  // sealed meanwhile
    KLOG_TRY_ASSIGN(WalFileIndex scanned, std::move(read));
    {
        MutexLock lock(mutex_);
        const auto known = files_.find(wal_id);
        if (known == files_.end()) return {};  // sealed meanwhile
        for (const LogId log : kLogIds) {
            scanned.take_entities(known->second.growing.entities(log), log);
        }
    }
    const std::uint64_t end = end_of(wal_id);
    Status written = scanned.write(env_, index_path(wal_id), wal_id, end);
    // Too many topics for an index: the file is read from its start, which is slow, not wrong.
    if (!written && written.error().code != Code::too_many) return written;
    Entry entry;
    load_index(wal_id, end, entry);
    MutexLock lock(mutex_);
    const auto known = files_.find(wal_id);
    if (known == files_.end()) {  // sealed before its index was there to be removed
        static_cast<void>(env_.remove(index_path(wal_id)));
        return {};
    }
    known->second.indexed = true;
    if (entry.logs == nullptr) return {};  // then memory goes on holding it
    known->second.logs = std::move(entry.logs);
    known->second.index_file = std::move(entry.index_file);
    known->second.growing = WalFileIndex{};
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

void FileCatalog::search(const Search& file, LogId log, Seq from,
                         std::span<const std::uint32_t> fingerprints,
                         std::vector<FileStretch>& found) {
    std::vector<WalStretch> stretches;
    if (!file.logs) {
        file.growing.find(fingerprints, from, stretches);
    } else {
        const WalLogIndex& index = (*file.logs)[number_of(log)];
        const bool told = file.index_file != nullptr &&
                          find_entities(*file.index_file, index, fingerprints, from, stretches);
        if (!told) {
            const WalLogIndex::Point& point = index.point_of(from);
            stretches = {{point.offset, point.first_seq, index.last_seq}};
        }
    }
    for (const WalStretch& stretch : stretches) found.push_back({file.wal_id, stretch});
}

std::optional<FileCatalog::EntityPlaces> FileCatalog::find(
    LogId log, Seq from, std::span<const Hash128> entities) const {
    EntityPlaces places;
    std::vector<Search> searches;
    {
        MutexLock lock(mutex_);
        for (const auto& [wal_id, entry] : files_) {
            const WalLogIndex& index = index_of(entry, log);
            if (index.first_seq == Seq{} || index.last_seq < from) continue;
            if (searches.empty()) places.first_seq = index.first_seq;
            places.upto = index.last_seq;
            searches.push_back({wal_id, entry.logs ? EntityPoints{} : entry.growing.entities(log),
                                entry.logs, entry.index_file});
        }
    }
    if (searches.empty()) return std::nullopt;
    std::vector<std::uint32_t> fingerprints;
    for (const Hash128& entity : entities) fingerprints.push_back(entity_fingerprint(entity));
    for (const Search& file : searches) search(file, log, from, fingerprints, places.stretches);
    return places;
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
    const WalLogIndex& of = (*index)[number_of(log)];
    if (of.topics.empty() && of.first_seq != Seq{}) return std::nullopt;  // there were too many
    std::uint64_t records = 0;
    for (const auto& [topic, count] : of.topics) {
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
