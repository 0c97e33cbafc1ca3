// The disposable index of a closed WAL file: where a seq or a time lies, which topics it holds.
// Without it a file is read from its start. Format: schemas/run.md, "The index of a closed WAL
// file".
#ifndef KLOG_INDEX_WAL_FILE_INDEX_H
#define KLOG_INDEX_WAL_FILE_INDEX_H

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "index/key_index.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "topic/filter.h"

namespace klog {

// Of one log in one WAL file. Copyable.
struct WalLogIndex {
    // A frame of this log, one about every 64 KiB, the first one always.
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
    // Complete for closed files only; sorted by topic.
    std::vector<std::pair<std::string, TopicCount>> topics;

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

// Grows beside the live file; written when that closes.
class WalFileIndex {
public:
    static constexpr std::uint64_t kPointBytes = 64 * 1024;
    // A larger one is not written (Code::too_many) and not read: its file is then read from its
    // start. Unit: bytes.
    static constexpr std::uint64_t kFileBytesMax = 1ULL << 30U;

    // A frame was written. Topics are added with add_topic by whoever decodes its records. Frames
    // of a log come in the order of their seqs and offsets; empty ones change nothing.
    void add_frame(LogId log, Seq first_seq, std::uint32_t count, Time base_time, Time last_time,
                   std::uint64_t offset);
    void add_topic(LogId log, std::string_view topic, Seq seq);

    [[nodiscard]] const WalLogIndex& log(LogId log) const;  // without topics

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
        std::unordered_map<std::string, TopicCount, TopicHash, std::equal_to<>> topics;
    };
    std::array<PerLog, 2> logs_;
};

inline constexpr std::size_t kWalFileIndexHeaderBytes = 64;
struct WalFileIndexHeader {
    std::uint64_t wal_id = 0;
    std::uint64_t end = 0;  // of the WAL file
    std::uint64_t body_bytes = 0;
    std::uint32_t body_crc = 0;
};
// Errors: corrupt, format_unknown. `path` is for messages.
[[nodiscard]] Result<WalFileIndexHeader> decode_wal_file_index_header(std::string_view bytes,
                                                                      const std::string& path);

// nullopt: missing, broken, or of another file: build it anew. By LogId.
[[nodiscard]] std::optional<std::array<WalLogIndex, 2>> load_wal_file_index(Env& env,
                                                                            const std::string& path,
                                                                            std::uint64_t wal_id,
                                                                            std::uint64_t end);

}  // namespace klog

#endif  // KLOG_INDEX_WAL_FILE_INDEX_H
