// Checks WAL files one after the other, for klog/verify.h. Reads only, also beside a daemon that
// writes: of the newest file it checks what lies below the watermark that it found before it began
// to read, which no writer touches any more.
#ifndef KLOG_SEGMENT_WAL_VERIFY_H
#define KLOG_SEGMENT_WAL_VERIFY_H

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "klog/env.h"
#include "klog/verify.h"
#include "segment/clean_marker.h"
#include "segment/wal_recovery.h"

namespace klog {

// The offset that a message about damage names, as "… offset 4096 …".
[[nodiscard]] std::optional<std::uint64_t> offset_named(const Error& error);

// The files of one directory, oldest first. Not thread-safe.
class WalVerifier {
public:
    // `advanced` is called with the bytes that were read since its last call; it may be empty.
    WalVerifier(Env& env, std::string wal_dir, bool live,
                std::function<void(std::uint64_t)> advanced)
        : env_(env), wal_dir_(std::move(wal_dir)), live_(live), advanced_(std::move(advanced)) {}

    // Of the last orderly stop; read before the files were listed, so that it cannot speak of a
    // file that is newer than the list.
    void set_marker(const CleanMarker& marker) { marker_ = marker; }
    // What the oldest file is to follow on. Unless it is set, the oldest one may be any.
    void set_sealed(std::shared_ptr<const SegmentSetState> set);

    // Shown each record of a sound frame; where it finds one wrong, its frame is what is damaged.
    using VisitRecord =
        std::function<Status(LogId log, const HashKey& key, const RecordView& record)>;
    void set_visitor(VisitRecord visit) { visit_ = std::move(visit); }

    // Checks one file. `newer_id` is the id of the next file in the list, which says where this one
    // ends; nullopt: this is the newest. `file` comes with its name.
    void check(std::uint64_t wal_id, std::optional<std::uint64_t> newer_id, VerifiedFile& file);

    // The newest seq of each log that was seen in a sound frame, also behind the watermark.
    [[nodiscard]] Seq last_seq(LogId log) const {
        return last_seqs_[static_cast<std::size_t>(log)];
    }
    // The file that was checked last; nullopt: its header is not sound.
    [[nodiscard]] const std::optional<WalFileState>& newest() const { return older_; }

private:
    // How far a file was synced, and how that is known.
    struct End {
        std::uint64_t synced = 0;
        std::optional<std::uint32_t> chain;  // of the last frame; nullopt: nobody wrote it down
        std::uint64_t size = 0;              // of the file
        std::uint64_t used = 0;              // behind the last frame that shows its salt
    };
    Status check_file(std::uint64_t wal_id, std::optional<std::uint64_t> newer_id,
                      VerifiedFile& file);
    [[nodiscard]] Status check_link(const WalFileState& state) const;
    [[nodiscard]] Status check_begin(const FrameHeader& header, const std::string& path);
    [[nodiscard]] Result<End> find_end(const WalFileState& state,
                                       std::optional<std::uint64_t> newer_id) const;
    Status read_synced(WalFrameReader& reader, const std::string& path, const End& end,
                       VerifiedFile& file);
    Status read_tail(WalFrameReader& reader, const std::string& path, const End& end,
                     VerifiedFile& file);
    Status take(const Frame& frame, const std::string& path, VerifiedFile& file);

    Env& env_;
    const std::string wal_dir_;
    const bool live_;
    std::function<void(std::uint64_t)> advanced_;
    std::optional<CleanMarker> marker_;
    std::shared_ptr<const SegmentSetState> set_;
    std::optional<WalFileState> older_;
    std::array<Seq, 2> last_seqs_{};
    std::array<bool, 2> begun_{};  // a record of that log was seen
    bool whole_ = true;            // all files from the oldest one that counts to this one
    VisitRecord visit_;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_VERIFY_H
