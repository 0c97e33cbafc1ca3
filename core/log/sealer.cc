#include "log/sealer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "segment/record_codec.h"

namespace klog {
namespace {

// In a log's folder, while they are written. What stands there afterwards means nothing.
constexpr const char* kSealName = "seal.tmp";
constexpr const char* kMergeName = "merge.tmp";

}  // namespace

Sealer::Sealer(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
               SegmentCatalog& segments, SegmentSet& set)
    : env_(env),
      options_(options),
      wal_(wal),
      catalog_(catalog),
      segments_(segments),
      set_(set),
      merge_due_(merge_possible()),
      merge_overdue_(many_are_small()) {}

std::vector<WalFileInfo> Sealer::chosen_files() const {
    std::vector<WalFileInfo> chosen;
    std::uint64_t bytes = 0;
    for (WalFileInfo& file : wal_.files()) {
        if (!file.closed) break;
        if (!chosen.empty() && bytes + file.end > kSealBytesMax) return chosen;
        bytes += file.end;
        chosen.push_back(std::move(file));
    }
    if (bytes < options_.seal_bytes_min && chosen.size() < kFilesMax) chosen.clear();
    return chosen;
}

bool Sealer::seal_due() const {
    // Who looks later has the last word, and a file that is closed meanwhile is for the next call.
    MutexLock lock(due_mutex_);
    if (files_changed_.exchange(false)) seal_due_ = !chosen_files().empty();
    return seal_due_;
}

// Counted anew each time: a number kept from before could hold writers back for good.
std::uint64_t Sealer::lag_bytes() const {
    std::uint64_t bytes = 0;
    for (const WalFileInfo& file : wal_.files()) {
        if (file.closed) bytes += file.end;
    }
    return bytes;
}

Status Sealer::step(const std::stop_token& stop) {
    MutexLock lock(mutex_);
    if (follow_due_) KLOG_TRY(follow());
    const std::vector<WalFileInfo> files = chosen_files();
    if (files.empty()) return merge_step();
    Status sealed = seal(files, stop);
    files_changed_ = true;
    return sealed;
}

Status Sealer::merge() {
    MutexLock lock(mutex_);
    if (follow_due_) KLOG_TRY(follow());
    return merge_step();
}

Status Sealer::seal(const std::vector<WalFileInfo>& files, const std::stop_token& stop) {
    KLOG_TRY_ASSIGN(const Segments written, write_segments(files, stop));
    SegmentSetState next = next_state();
    for (const SegmentEntry& entry : written) {
        KLOG_TRY(name_segment(temporary_path(entry.log_id, kSealName), entry));
        next.logs[static_cast<std::size_t>(entry.log_id)].push_back(entry);
    }
    const WalFileInfo& last = files.back();
    next.sealed = SealedUpto{last.header.wal_id, last.end, last.chain};
    next.settings_checkpoint = last.header.settings_checkpoint;
    return apply(std::move(next), written);
}

Status Sealer::add_frame(const Frame& frame, Writers& writers) {
    const FrameHeader& header = frame.header;
    Writer& writer = writers[static_cast<std::size_t>(header.log_id)];
    if (!writer.segment) {
        const SegmentIdentity identity{wal_.store_uuid(), wal_.hash_key(), header.log_id, take_id(),
                                       0};
        const std::string path = temporary_path(header.log_id, kSealName);
        KLOG_TRY(env_.create_dirs(path.substr(0, path.rfind('/'))));
        SegmentWriterOptions options;
        options.level = kSealLevel;
        KLOG_TRY_ASSIGN(writer.segment, SegmentWriter::create(env_, path, identity, options));
    }
    RecordDecoder decoder(frame.payload(), header.first_seq, header.base_time, header.count);
    RecordView record;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
        if (!more) return {};
        KLOG_TRY(writer.segment->add(record));
        writer.last = record.seq;
    }
}

Result<Sealer::Segments> Sealer::write_segments(const std::vector<WalFileInfo>& files,
                                                const std::stop_token& stop) {
    Writers writers;
    for (const WalFileInfo& file : files) {
        KLOG_TRY_ASSIGN(const auto reader, wal_.open_file(file.header.wal_id, kWalFileHeaderBytes));
        for (;;) {
            KLOG_TRY_ASSIGN(const std::shared_ptr<const Frame> frame, reader->next());
            if (!frame) break;
            if (stop.stop_requested()) return Error{Code::stopping, "sealing was stopped", {}};
            if (frame->header.count > 0) KLOG_TRY(add_frame(*frame, writers));
        }
    }
    SegmentLineage lineage;
    lineage.wal_first = files.front().header.wal_id;
    lineage.wal_last = files.back().header.wal_id;
    Segments written;
    for (std::size_t log = 0; log < writers.size(); ++log) {
        if (!writers[log].segment) continue;
        const Seq before = segments_.last_seq(static_cast<LogId>(log));
        const SeqRange covered{Seq{before.value + 1}, writers[log].last};
        KLOG_TRY_ASSIGN(const SegmentEntry entry, writers[log].segment->finish(covered, lineage));
        written.push_back(entry);
    }
    return written;
}

Status Sealer::name_segment(const std::string& temporary, const SegmentEntry& entry) {
    const std::string path = segment_path(options_.dir, entry.log_id, entry.segment_id);
    KLOG_TRY(env_.rename(temporary, path));
    return env_.sync_dir(path.substr(0, path.rfind('/')));
}

void Sealer::start_merge() {
    for (const LogId log : {LogId::system, LogId::default_log}) {
        const auto segments = segments_.list(log);
        const auto range = SegmentMerge::choose(*segments, options_.merged_bytes_max);
        if (!range) continue;
        const std::vector<SegmentCatalog::Segment> inputs(
            segments->begin() + static_cast<std::ptrdiff_t>(range->first),
            segments->begin() + static_cast<std::ptrdiff_t>(range->second));
        SegmentIdentity identity{wal_.store_uuid(), wal_.hash_key(), log, take_id(), 0};
        for (const SegmentCatalog::Segment& input : inputs) {
            identity.generation = std::max(identity.generation, input.entry.generation + 1);
        }
        merge_ =
            std::make_unique<SegmentMerge>(env_, inputs, temporary_path(log, kMergeName), identity);
        return;
    }
}

Status Sealer::merge_step() {
    if (!merge_ && !merging_over_) start_merge();
    if (!merge_) {
        merge_due_ = false;
        return {};
    }
    Result<bool> done = merge_->step();
    if (done.ok() && !done.value()) return {};
    const std::unique_ptr<SegmentMerge> merge = std::move(merge_);
    if (done.ok()) return finish_merge(*merge);
    if (done.error().code == Code::corrupt) {
        // Reading it again would find the same; reads of that range say so.
        merging_over_ = true;
        merge_due_ = false;
    }
    return std::move(done).error();
}

Status Sealer::finish_merge(const SegmentMerge& merge) {
    const SegmentEntry& output = merge.output();
    KLOG_TRY(name_segment(temporary_path(output.log_id, kMergeName), output));
    SegmentSetState next = next_state();
    std::vector<SegmentEntry>& entries = next.logs[static_cast<std::size_t>(output.log_id)];
    const auto first = std::find_if(entries.begin(), entries.end(), [&](const SegmentEntry& entry) {
        return entry.segment_id == merge.inputs().front().entry.segment_id;
    });
    const auto behind = first + static_cast<std::ptrdiff_t>(merge.inputs().size());
    entries.insert(entries.erase(first, behind), output);
    KLOG_TRY(apply(std::move(next), {output}));
    Status removed;
    for (const SegmentCatalog::Segment& input : merge.inputs()) {
        Status status = env_.remove(input.reader->path());
        if (!status && removed) removed = std::move(status);
    }
    return removed;
}

SegmentSetState Sealer::next_state() const {
    SegmentSetState next = *set_.state();
    next.store_uuid = wal_.store_uuid();
    next.hash_key = wal_.hash_key();
    next.next_segment_id = std::max(next.next_segment_id, next_id_);
    return next;
}

Status Sealer::apply(SegmentSetState next, const Segments& added) {
    Status edited = set_.apply(std::move(next));
    if (!edited) {
        const Code code = edited.error().code;
        if (code != Code::disk_full && code != Code::io) return edited;
        // Certainly not named, and the next try makes files of its own: on a full disk these would
        // take what room is left. One that stays is removed by the next start.
        for (const SegmentEntry& entry : added) {
            static_cast<void>(
                env_.remove(segment_path(options_.dir, entry.log_id, entry.segment_id)));
        }
        return edited;
    }
    follow_due_ = true;
    return follow();
}

// Readers find the segments before they lose the files.
Status Sealer::follow() {
    const std::shared_ptr<const SegmentSetState> state = set_.state();
    KLOG_TRY(segments_.follow(*state));
    follow_due_ = false;
    merge_due_ = !merging_over_ && (merge_ != nullptr || merge_possible());
    merge_overdue_ = many_are_small();
    if (state->sealed.wal_id == 0) return {};
    catalog_.drop_sealed(state->sealed.wal_id);
    return wal_.drop_sealed(state->sealed);
}

bool Sealer::merge_possible() const {
    for (const LogId log : {LogId::system, LogId::default_log}) {
        if (SegmentMerge::choose(*segments_.list(log), options_.merged_bytes_max)) return true;
    }
    return false;
}

bool Sealer::many_are_small() const {
    for (const LogId log : {LogId::system, LogId::default_log}) {
        const auto segments = segments_.list(log);
        const auto small = std::count_if(segments->begin(), segments->end(), [&](const auto& one) {
            return one.entry.payload_bytes < options_.merged_bytes_max / 2;
        });
        if (static_cast<std::size_t>(small) > kSmallSegmentsMax) return true;
    }
    return false;
}

std::uint64_t Sealer::take_id() {
    next_id_ = std::max(next_id_, set_.state()->next_segment_id);
    return next_id_++;
}

std::string Sealer::folder(LogId log) const {
    const std::string path = segment_path(options_.dir, log, 0);
    return path.substr(0, path.rfind('/'));
}

std::string Sealer::temporary_path(LogId log, const char* name) const {
    return folder(log) + "/" + name;
}

// The log is whole without what the set does not name: it opened, and so the set and the WAL follow
// on each other. A crash between a rename and an edit leaves such files, and one between an edit
// and a removal.
Status Sealer::sweep() {
    MutexLock lock(mutex_);
    const std::shared_ptr<const SegmentSetState> state = set_.state();
    Status first;
    for (const LogId log : {LogId::system, LogId::default_log}) {
        auto names = env_.list_dir(folder(log));
        if (!names.ok()) {
            if (names.error().code != Code::not_found && first) first = std::move(names).error();
            continue;
        }
        std::set<std::string> named;
        for (const SegmentEntry& entry : state->logs[static_cast<std::size_t>(log)]) {
            named.insert(segment_path(options_.dir, log, entry.segment_id));
        }
        for (const std::string& name : names.value()) {
            const std::string path = folder(log) + "/" + name;
            if (!segment_id_of(name) || named.contains(path)) continue;
            Status removed = env_.remove(path);
            if (!removed && first) first = std::move(removed);
        }
    }
    return first;
}

}  // namespace klog
