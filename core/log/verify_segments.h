// Checks the sealed segments of a data directory, for klog/verify.h: those that the set names, each
// in full. Reads only, also beside a daemon that seals and merges: a segment that went away is
// missing only if the newest set still names it.
//
// Memory: what SegmentReader::verify takes for one segment; deep, see VersionVerifier as well.
// Threads: one at a time.
#ifndef KLOG_LOG_VERIFY_SEGMENTS_H
#define KLOG_LOG_VERIFY_SEGMENTS_H

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "klog/env.h"
#include "klog/verify.h"
#include "log/verify_names.h"
#include "log/verify_versions.h"
#include "segment/segment_set.h"

namespace klog {

// What is told of each file as it is checked; none may be empty.
struct SegmentReports {
    std::function<void(const ListedFile&)> begin;
    std::function<void(std::uint64_t)> advance;  // bytes that were read
    std::function<void(const ListedFile&)> end;
    std::function<void(const VerifiedFile&)> file;
};

class SegmentVerification {
public:
    // dir: the data directory. versions: null unless this is a deep look.
    SegmentVerification(Env& env, std::string dir, bool live, VersionVerifier* versions,
                        SegmentReports reports)
        : env_(env),
          dir_(std::move(dir)),
          live_(live),
          versions_(versions),
          reports_(std::move(reports)) {}

    // All that the set names, each log in the order of its seqs. A later call checks what reaches
    // beyond that of the one before: what was sealed since.
    void check(std::shared_ptr<const SegmentSetState> set);
    // A segment of which no set can say anything, since the manifest is damaged.
    void check_alone(const ListedFile& listed);
    // Files that the set does not name.
    void report_left_over(const FileList& list);
    // As the newest set has it; only where there is a daemon, and it can be read.
    void check_newest();

    // How far the segments reach that were checked or reported.
    [[nodiscard]] Seq last_seq(LogId log) const { return done_[static_cast<std::size_t>(log)]; }

private:
    [[nodiscard]] std::string path_of(LogId log, std::uint64_t segment_id) const;
    void check_log(LogId log);
    // False: the set has changed, and what it names now is to be looked at.
    bool check_entry(const SegmentEntry& entry);
    [[nodiscard]] Status verify(const std::string& path, const SegmentEntry* entry,
                                VerifiedFile& file);
    void report_damage(VerifiedFile& file, Error error) const;
    [[nodiscard]] std::shared_ptr<const SegmentSetState> read_set() const;

    Env& env_;
    const std::string dir_;
    const bool live_;
    VersionVerifier* const versions_;
    const SegmentReports reports_;
    std::shared_ptr<const SegmentSetState> set_;
    std::array<Seq, 2> done_{};
};

}  // namespace klog

#endif  // KLOG_LOG_VERIFY_SEGMENTS_H
