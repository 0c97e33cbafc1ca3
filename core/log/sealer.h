// Turns closed WAL files into sealed segments, and small neighbouring segments into larger ones.
//
// A step of it either seals, which is what bounds the disk that the WAL takes and comes first, or
// does a small piece of a merge. Each ends with one edit of the set of segments; a crash before
// that leaves the old files, a crash behind it the new ones.
//
// Threads: step() from any thread; calls take turns. due() and lag_bytes() from any thread.
#ifndef KLOG_LOG_SEALER_H
#define KLOG_LOG_SEALER_H

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "klog/env.h"
#include "klog/options.h"
#include "log/file_catalog.h"
#include "log/segment_catalog.h"
#include "log/segment_merge.h"
#include "segment/segment_set.h"
#include "segment/segment_writer.h"
#include "segment/wal.h"

namespace klog {

class Sealer {
public:
    // Closed files are sealed when there are so many, however little they hold.
    static constexpr std::size_t kFilesMax = 16;
    // What one seal takes at most, unless a single file is larger. Unit: bytes of WAL.
    static constexpr std::uint64_t kSealBytesMax = 64ULL << 20U;
    // A merge is overdue where more segments of a log are less than half as large as one may be.
    static constexpr std::size_t kSmallSegmentsMax = 16;

    Sealer(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
           SegmentCatalog& segments, SegmentSet& set);

    // A WAL file was closed. Quick.
    void file_closed() { files_changed_.store(true, std::memory_order_relaxed); }

    // Something is to be sealed or merged. Quick unless a file was closed since the last call.
    [[nodiscard]] bool due() const { return seal_due() || merge_due(); }
    [[nodiscard]] bool seal_due() const;
    [[nodiscard]] bool merge_due() const { return merge_due_.load(std::memory_order_relaxed); }
    // More segments wait for a merge than should.
    [[nodiscard]] bool merge_overdue() const {
        return merge_overdue_.load(std::memory_order_relaxed);
    }
    // Bytes of closed WAL files that are not sealed yet.
    [[nodiscard]] std::uint64_t lag_bytes() const;

    // Seals what is due; else does a piece of a merge, about kMergeStepBytes. Nothing: there is
    // none. Errors: disk_full, io, corrupt (a damaged WAL file or segment); nothing has changed
    // then, and the next step tries again. A seal that meets a stop request ends as `stopping`.
    Status step(const std::stop_token& stop) KLOG_EXCLUDES(mutex_);
    // A piece of a merge, also while something is to be sealed.
    Status merge() KLOG_EXCLUDES(mutex_);

    // Removes segments that the set does not name: a process that was killed left them. Once after
    // a start, before the first step().
    Status sweep() KLOG_EXCLUDES(mutex_);

private:
    using Segments = std::vector<SegmentEntry>;
    // Of one log, while files are sealed; null until a record of it comes.
    struct Writer {
        std::unique_ptr<SegmentWriter> segment;
        Seq last;
    };
    using Writers = std::array<Writer, 2>;

    [[nodiscard]] std::vector<WalFileInfo> chosen_files() const;
    Status seal(const std::vector<WalFileInfo>& files, const std::stop_token& stop)
        KLOG_REQUIRES(mutex_);
    [[nodiscard]] Result<Segments> write_segments(const std::vector<WalFileInfo>& files,
                                                  const std::stop_token& stop)
        KLOG_REQUIRES(mutex_);
    Status add_frame(const Frame& frame, Writers& writers) KLOG_REQUIRES(mutex_);
    Status name_segment(const std::string& temporary, const SegmentEntry& entry)
        KLOG_REQUIRES(mutex_);

    [[nodiscard]] bool merge_possible() const;
    [[nodiscard]] bool many_are_small() const;
    void start_merge() KLOG_REQUIRES(mutex_);
    Status merge_step() KLOG_REQUIRES(mutex_);
    Status finish_merge(const SegmentMerge& merge) KLOG_REQUIRES(mutex_);

    [[nodiscard]] SegmentSetState next_state() const KLOG_REQUIRES(mutex_);
    // `added` have their names already; where the edit fails they lose them.
    Status apply(SegmentSetState next, const Segments& added) KLOG_REQUIRES(mutex_);
    // Points readers to what the set says, and lets go of the WAL files that it calls sealed.
    Status follow() KLOG_REQUIRES(mutex_);
    [[nodiscard]] std::uint64_t take_id() KLOG_REQUIRES(mutex_);
    [[nodiscard]] std::string folder(LogId log) const;
    [[nodiscard]] std::string temporary_path(LogId log, const char* name) const;

    Env& env_;
    const StoreOptions& options_;
    Wal& wal_;
    FileCatalog& catalog_;
    SegmentCatalog& segments_;
    SegmentSet& set_;
    std::atomic<bool> merge_due_{false};
    std::atomic<bool> merge_overdue_{false};
    mutable std::atomic<bool> files_changed_{true};
    mutable Mutex due_mutex_;
    mutable bool seal_due_ KLOG_GUARDED_BY(due_mutex_) = false;
    Mutex mutex_;
    std::unique_ptr<SegmentMerge> merge_ KLOG_GUARDED_BY(mutex_);
    // An edit is durable that readers do not follow yet: a segment could not be opened.
    bool follow_due_ KLOG_GUARDED_BY(mutex_) = false;
    // An input of a merge is damaged: nothing is merged until the next start.
    std::atomic<bool> merging_over_{false};
    // The next free one in this process: a merge holds one while seals take others.
    std::uint64_t next_id_ KLOG_GUARDED_BY(mutex_) = 1;
};

}  // namespace klog

#endif  // KLOG_LOG_SEALER_H
