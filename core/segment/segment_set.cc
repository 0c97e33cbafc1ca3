#include "segment/segment_set.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/mutex.h"
#include "segment/manifest_format.h"
#include "segment/wal_reader.h"

namespace klog {

namespace {

constexpr std::size_t kNameDigits = 20;

Seq end_of(const std::vector<SegmentEntry>& log) {
    return log.empty() ? Seq{0} : log.back().covered.last;
}

Result<SegmentSetState> read_manifest(Env& env, const std::string& path) {
    auto opened = env.open(path, OpenMode::read);
    if (!opened.ok()) {
        if (opened.error().code == Code::not_found) return SegmentSetState{};
        return std::move(opened).error();
    }
    const File& file = **opened;
    KLOG_TRY_ASSIGN(const std::uint64_t size, file.size());
    KLOG_TRY_ASSIGN(const auto header, read_exactly(file, 0, kManifestHeaderBytes));
    if (!header) {
        KLOG_TRY_ASSIGN(const auto part, read_exactly(file, 0, size));
        return decode_manifest(part.value_or(std::string()), path);
    }
    KLOG_TRY_ASSIGN(const std::uint64_t wanted, manifest_bytes(*header, path));
    // A file of another length than it says is told so by the decoder: for that its header is
    // enough, however long the file is.
    if (wanted != size || wanted > kManifestBytesMax) {
        return Error{Code::corrupt,
                     path + ": damaged at offset " + std::to_string(std::min(wanted, size)) +
                         ": the file is " + std::to_string(size) + " bytes long, not " +
                         std::to_string(wanted),
                     "nothing is deleted; restore the directory from a copy"};
    }
    KLOG_TRY_ASSIGN(const auto bytes, read_exactly(file, 0, size));
    return decode_manifest(bytes.value_or(std::string()), path);
}

class SegmentSetImpl final : public SegmentSet {
public:
    SegmentSetImpl(Env& env, const std::string& dir, std::string writer, SegmentSetState state)
        : env_(env),
          seg_dir_(dir + "/" + kSegmentDirName),
          writer_(std::move(writer)),
          newest_number_(state.number),
          state_(std::make_shared<const SegmentSetState>(std::move(state))) {}

    [[nodiscard]] std::shared_ptr<const SegmentSetState> state() const override {
        const MutexLock lock(mutex_);
        return state_;
    }

    Status apply(SegmentSetState next) override {
        const std::shared_ptr<const SegmentSetState> old = state();
        KLOG_TRY(check_follows(*old, next));
        next.number = newest_number_ + 1;
        KLOG_TRY(check_segment_set(next, Code::bug, "edit " + std::to_string(next.number)));
        const std::string bytes = encode_manifest(next, writer_);
        if (bytes.size() > kManifestBytesMax) {
            return Error{Code::too_many, "the set of segments would have too many of them", ""};
        }
        KLOG_TRY(replace(bytes, next.number));
        auto shared = std::make_shared<const SegmentSetState>(std::move(next));
        const MutexLock lock(mutex_);
        state_ = std::move(shared);
        return {};
    }

private:
    // What an edit may never take back.
    [[nodiscard]] static Status check_follows(const SegmentSetState& old,
                                              const SegmentSetState& next) {
        const auto bug = [&old](const char* what) {
            return Error{
                Code::bug,
                "the edit behind " + std::to_string(old.number) + " of the set of segments " + what,
                "keep a copy of the directory and report this"};
        };
        if (next.number != old.number) return bug("was made from another one");
        const bool same_store = next.store_uuid == old.store_uuid && next.hash_key == old.hash_key;
        if (old.number != 0 && !same_store) return bug("is of another store");
        if (next.sealed.wal_id < old.sealed.wal_id) return bug("takes sealed WAL files back");
        if (next.sealed.wal_id == old.sealed.wal_id && next.sealed != old.sealed) {
            return bug("moves the end of a sealed WAL file");
        }
        if (next.next_segment_id < old.next_segment_id) return bug("gives a number out again");
        for (std::size_t log = 0; log < old.logs.size(); ++log) {
            if (end_of(next.logs.at(log)) < end_of(old.logs.at(log))) return bug("forgets seqs");
        }
        return {};
    }

    Status replace(const std::string& bytes, std::uint64_t number) {
        const std::string temporary = seg_dir_ + "/" + kManifestTemporaryName;
        KLOG_TRY(env_.create_dirs(seg_dir_));
        KLOG_TRY_ASSIGN(const bool left_over, env_.exists(temporary));
        if (left_over) KLOG_TRY(env_.remove(temporary));
        if (auto written = write_temporary(temporary, bytes); !written.ok()) {
            // It means nothing; without room it is in the way.
            static_cast<void>(env_.remove(temporary));
            return written;
        }
        auto renamed = env_.rename(temporary, seg_dir_ + "/" + kManifestName);
        if (!renamed.ok() && renamed.error().code == Code::disk_full) return renamed;
        newest_number_ = number;
        if (renamed.ok()) renamed = env_.sync_dir(seg_dir_);
        if (renamed.ok()) return {};
        // Which of the two a crash leaves is not known, until a later edit takes the place of both.
        return Error{Code::outcome_unknown,
                     "whether an edit of the set of segments counts is not known: " +
                         renamed.error().message,
                     "the next edit settles it, or a restart"};
    }

    Status write_temporary(const std::string& path, const std::string& bytes) {
        KLOG_TRY_ASSIGN(const auto file, env_.open(path, OpenMode::create_new));
        KLOG_TRY(file->write_at(0, bytes));
        return file->sync_data();
    }

    Env& env_;
    const std::string seg_dir_;
    const std::string writer_;
    std::uint64_t newest_number_;  // that may be on disk; of whoever calls apply()

    mutable Mutex mutex_;
    std::shared_ptr<const SegmentSetState> state_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<SegmentSet>> SegmentSet::open(Env& env, const std::string& dir,
                                                     const std::string& writer) {
    const std::string path = dir + "/" + kSegmentDirName + "/" + kManifestName;
    KLOG_TRY_ASSIGN(SegmentSetState state, read_manifest(env, path));
    return std::unique_ptr<SegmentSet>(
        std::make_unique<SegmentSetImpl>(env, dir, writer, std::move(state)));
}

std::string segment_path(const std::string& dir, LogId log, std::uint64_t segment_id) {
    const std::string digits = std::to_string(segment_id);
    return dir + "/" + kSegmentDirName + "/" + std::to_string(static_cast<std::uint32_t>(log)) +
           "/" + std::string(kNameDigits - digits.size(), '0') + digits +
           std::string(kSegmentSuffix);
}

std::optional<std::uint64_t> segment_id_of(std::string_view name) {
    if (name.size() != kNameDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
        return {};
    }
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + kNameDigits, id);
    if (error != std::errc() || end != name.data() + kNameDigits || id == 0) return {};
    return id;
}

}  // namespace klog
