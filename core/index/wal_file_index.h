// The disposable index of a closed WAL file, or of the live one at a stop: where a seq, a time or
// an entity lies, which topics it holds. Without it a file is read from its start. Format:
// schemas/run.md, "The index of a closed WAL file".
#ifndef KLOG_INDEX_WAL_FILE_INDEX_H
#define KLOG_INDEX_WAL_FILE_INDEX_H

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "index/entity_points.h"
#include "index/key_index.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "topic/filter.h"

namespace klog {

// Of one log in one WAL file. Copyable.
struct WalLogIndex {
    // A frame of this log, one about every 32 KiB, the first one always.
    struct Point {
        Seq first_seq;
        Time base_time;
        std::uint64_t offset = 0;
    };
    std::vector<Point> points;
    Seq first_seq;  // 0: no record of this log is in the file
    Seq last_seq;
    Time first_time;
    Time last_time;
    // Complete for closed files only; sorted by topic. Empty where there are records: too many to
    // be named (WalFileIndex::kTopicsMax).
    std::vector<std::pair<std::string, TopicCount>> topics;
    EntityTable entities;  // of a file's index that was loaded

    // From the point to the next one. Precondition: there is such a point.
    [[nodiscard]] WalStretch stretch(std::size_t point) const;
    // Where to begin to read so as to see every record with a seq >= seq (or a time >= time).
    // Precondition: first_seq is not 0.
    [[nodiscard]] const Point& point_of(Seq seq) const;
    [[nodiscard]] const Point& point_of(Time time) const;
    [[nodiscard]] std::uint64_t offset_of(Seq seq) const { return point_of(seq).offset; }
    [[nodiscard]] std::uint64_t offset_of(Time time) const { return point_of(time).offset; }
    // False: no record of this log in this file matches. Only for closed files: without topics it
    // cannot tell, and says true.
    [[nodiscard]] bool may_match(const FilterSet& set) const;
};

// Grows beside the live file; written when that closes, or at a stop.
class WalFileIndex {
public:
    static constexpr std::uint64_t kPointBytes = 32 * 1024;
    // A larger one is not written (Code::too_many) and not read: its file is then read from its
    // start. Unit: bytes.
    static constexpr std::uint64_t kFileBytesMax = 1ULL << 30U;
    // A log with more topics in one file: none is kept, and the file may match anything until it is
    // sealed. About 200 bytes each in memory while an index is made.
    static constexpr std::size_t kTopicsMax = 128 * 1024;

    // A frame was written. entities: entity_fingerprint of its records that have a key. Topics are
    // added with add_topic by whoever decodes its records. Frames of a log come in the order of
    // their seqs and offsets; empty ones change nothing.
    void add_frame(LogId log, Seq first_seq, std::uint32_t count, Time base_time, Time last_time,
                   std::uint64_t offset, std::span<const std::uint32_t> entities);
    void add_topic(LogId log, std::string_view topic, Seq seq);

    [[nodiscard]] const WalLogIndex& log(LogId log) const;  // without topics and entities
    [[nodiscard]] const EntityPoints& entities(LogId log) const;
    // Of an index that was given the same frames.
    void take_entities(const EntityPoints& entities, LogId log);

    // Temp, sync, rename, sync of the folder; replaces an older one. `end` of the file is stored,
    // and checked by load. Errors: disk_full, io, too_many.
    Status write(Env& env, const std::string& path, std::uint64_t wal_id, std::uint64_t end) const;

private:
    struct TopicHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view topic) const {
            return std::hash<std::string_view>{}(topic);
        }
    };
    struct PerLog {
        WalLogIndex index;
        EntityPoints entities;
        std::unordered_map<std::string, TopicCount, TopicHash, std::equal_to<>> topics;
        bool too_many_topics = false;
    };
    std::array<PerLog, 2> logs_;
};

inline constexpr std::size_t kWalFileIndexHeaderBytes = 80;
struct WalFileIndexHeader {
    std::size_t header_bytes = 0;  // the body begins here
    std::uint64_t wal_id = 0;
    std::uint64_t end = 0;  // of the WAL file
    std::uint64_t body_bytes = 0;
    std::uint32_t body_crc = 0;
    // Format 1 has no entities; it can be verified, but is made anew instead of being read.
    bool has_entities = false;
    std::uint64_t entity_bytes = 0;  // behind the body, to the end of the file
    std::uint32_t entities_crc = 0;
    [[nodiscard]] std::uint64_t file_bytes() const {
        return header_bytes + body_bytes + entity_bytes;
    }
};
// Errors: corrupt, format_unknown. `path` is for messages.
[[nodiscard]] Result<WalFileIndexHeader> decode_wal_file_index_header(std::string_view bytes,
                                                                      const std::string& path);

// nullopt: missing, broken, of an older form, or of another file: build it anew. By LogId. The
// pages of entities are not read; find_entities checks those that it reads.
[[nodiscard]] std::optional<std::array<WalLogIndex, 2>> load_wal_file_index(Env& env,
                                                                            const std::string& path,
                                                                            std::uint64_t wal_id,
                                                                            std::uint64_t end);

// Appends the stretches with a seq >= from that may hold one of the entities, in order, each once.
// False: the index does not tell, since a page is damaged or cannot be read.
[[nodiscard]] bool find_entities(const File& index, const WalLogIndex& log,
                                 std::span<const std::uint32_t> fingerprints, Seq from,
                                 std::vector<WalStretch>& found);

}  // namespace klog

#endif  // KLOG_INDEX_WAL_FILE_INDEX_H
