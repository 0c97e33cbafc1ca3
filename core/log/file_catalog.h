// Where the records of each log lie in the WAL's files: by seq, by time, by entity, and whether a
// closed file can hold a topic at all. What was sealed is no longer here: see SegmentCatalog.
//
// Threads: any; its own mutex. Files are read without holding it.
#ifndef KLOG_LOG_FILE_CATALOG_H
#define KLOG_LOG_FILE_CATALOG_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "index/wal_file_index.h"
#include "log/segment_catalog.h"
#include "segment/wal.h"
#include "topic/filter.h"

namespace klog {

class FileCatalog {
public:
    FileCatalog(Env& env, Wal& wal, const SegmentCatalog& segments, std::string index_dir);

    // What was sealed.
    [[nodiscard]] const SegmentCatalog& segments() const { return segments_; }

    // Loads or rebuilds what is known of every file. Errors: corrupt, io; with `damages`, of what
    // is damaged the sound frames before that count, and the rest is added there.
    Status open(std::vector<std::string>& notices, std::vector<WalDamage>* damages = nullptr);

    // Of a read-only store: what cannot be read, so that readers are told why. Before any reader.
    void set_holes(std::vector<Hole> holes) { holes_ = std::move(holes); }
    [[nodiscard]] bool has_holes() const { return !holes_.empty(); }
    // The hole that seq lies in; null: none.
    [[nodiscard]] const Hole* hole_at(LogId log, Seq seq) const;
    // The last one that begins at or before seq; null: none.
    [[nodiscard]] const Hole* hole_before(LogId log, Seq seq) const;
    struct Range {
        std::uint64_t wal_id = 0;
        Seq first;
        Seq last;
    };
    // Which seqs of the log each file holds, oldest first; files without any are left out.
    [[nodiscard]] std::vector<Range> ranges(LogId log) const KLOG_EXCLUDES(mutex_);

    // A durable frame of the live file. entities: entity_fingerprint of its records with a key.
    void add_frame(const FrameHeader& header, Time last_time,
                   std::span<const std::uint32_t> entities) KLOG_EXCLUDES(mutex_);
    void file_closed(std::uint64_t wal_id) KLOG_EXCLUDES(mutex_);
    // All that the files up to this one held is sealed: they are forgotten, and their indexes
    // removed.
    void drop_sealed(std::uint64_t wal_id) KLOG_EXCLUDES(mutex_);

    // Writes the index of each closed file that has none yet.
    Status write_missing() KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool missing() const KLOG_EXCLUDES(mutex_);
    // The same for the live file, when nothing is appended any more: the next start would read it
    // in whole otherwise. Nothing where it is so short that this takes no time.
    Status write_live() KLOG_EXCLUDES(mutex_);

    struct Place {
        WalPosition position;
        bool closed = false;
        Seq first_seq;  // of the log in that file
        Seq last_seq;   // as far as it is known now
        Seq point_seq;  // of the frame at `position`
    };
    // Where to begin to read to see every record of the log with a seq >= seq. nullopt: none.
    [[nodiscard]] std::optional<Place> find(LogId log, Seq seq) const KLOG_EXCLUDES(mutex_);
    // The same for records with a time >= time.
    [[nodiscard]] std::optional<Place> find(LogId log, Time time) const KLOG_EXCLUDES(mutex_);
    struct FileStretch {
        std::uint64_t wal_id = 0;
        WalStretch stretch;
    };
    struct EntityPlaces {
        std::vector<FileStretch> stretches;  // in order
        Seq first_seq;                       // of the log in the first of the files
        Seq upto;                            // no other record up to here can be of the entities
    };
    // Where records of the entities with a seq >= from may lie. Reads a page or two of the index of
    // each closed file; where that does not tell, the whole file is a stretch. nullopt: no file
    // holds a record of the log with a seq >= from.
    [[nodiscard]] std::optional<EntityPlaces> find(LogId log, Seq from,
                                                   std::span<const Hash128> entities) const
        KLOG_EXCLUDES(mutex_);
    // False: the closed file holds no record of the log that matches. Reads its index.
    [[nodiscard]] bool may_match(std::uint64_t wal_id, LogId log, const FilterSet& set) const
        KLOG_EXCLUDES(mutex_);
    // 0: no file holds a record of the log.
    [[nodiscard]] Seq first_seq(LogId log) const KLOG_EXCLUDES(mutex_);
    [[nodiscard]] Seq last_seq(LogId log) const KLOG_EXCLUDES(mutex_);
    // How often topics that match occur in a closed file in whole; nullopt: its index is not
    // there.
    [[nodiscard]] std::optional<std::uint64_t> count(std::uint64_t wal_id, LogId log,
                                                     const FilterSet& set) const
        KLOG_EXCLUDES(mutex_);

    [[nodiscard]] std::string index_path(std::uint64_t wal_id) const;
    // Readers that have a file open just now. They count themselves; see FrameSource.
    [[nodiscard]] std::atomic<std::size_t>& open_readers() const { return open_readers_; }

private:
    using Logs = std::array<WalLogIndex, 2>;
    struct Entry {
        std::shared_ptr<const Logs> logs;  // without topics
        // The live file's, and that of a closed one until its index is on disk.
        WalFileIndex growing;
        bool closed = false;
        bool indexed = false;  // its index is on disk
        // To look entities up; null: not in the index, or it could not be opened.
        std::shared_ptr<const File> index_file;
    };
    [[nodiscard]] bool has(std::uint64_t wal_id) const KLOG_EXCLUDES(mutex_);

    // Of one file, to be searched outside the mutex.
    struct Search {
        std::uint64_t wal_id = 0;
        EntityPoints growing;
        std::shared_ptr<const Logs> logs;  // null: `growing` counts
        std::shared_ptr<const File> index_file;
    };
    [[nodiscard]] const WalLogIndex& index_of(const Entry& entry, LogId log) const;
    template <class Position>
    [[nodiscard]] std::optional<Place> place_of(const std::pair<const std::uint64_t, Entry>& file,
                                                LogId log, Position position) const;
    // with_entities: hashes every key, which takes as long as all the rest.
    [[nodiscard]] Result<WalFileIndex> scan(std::uint64_t wal_id, bool with_entities) const;
    static void search(const Search& file, LogId log, Seq from,
                       std::span<const std::uint32_t> fingerprints,
                       std::vector<FileStretch>& found);
    void load_index(std::uint64_t wal_id, std::uint64_t end, Entry& entry) const;
    Status write_index(std::uint64_t wal_id) KLOG_EXCLUDES(mutex_);
    // After an error `index` holds the frames before it, and `read_to` is where the next one began.
    Status scan_into(std::uint64_t wal_id, bool with_entities, WalFileIndex& index,
                     std::uint64_t& read_to) const;
    [[nodiscard]] Result<WalFileIndex> scan_sound(const WalFileInfo& file,
                                                  std::vector<WalDamage>& damages) const;
    [[nodiscard]] std::uint64_t end_of(std::uint64_t wal_id) const;

    Env& env_;
    Wal& wal_;
    const SegmentCatalog& segments_;
    const std::string dir_;
    mutable std::atomic<std::size_t> open_readers_{0};
    std::vector<Hole> holes_;  // set once, before anybody reads
    mutable Mutex mutex_;
    std::map<std::uint64_t, Entry> files_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_FILE_CATALOG_H
