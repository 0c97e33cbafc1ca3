#include "log/verify_segments.h"

#include <algorithm>
#include <utility>

#include "segment/segment_reader.h"
#include "segment/wal_verify.h"

namespace klog {
namespace {

constexpr std::string_view kFromCopy =
    "records that were acknowledged are in it; put the file back from a copy of this directory";

std::string name_of(LogId log, std::uint64_t segment_id) {
    return segment_path("", log, segment_id).substr(1);
}

const SegmentEntry* find_entry(const SegmentSetState& set, LogId log, std::uint64_t segment_id) {
    for (const SegmentEntry& entry : set.logs[static_cast<std::size_t>(log)]) {
        if (entry.segment_id == segment_id) return &entry;
    }
    return nullptr;
}

ListedFile listed_of(const SegmentEntry& entry) {
    return {name_of(entry.log_id, entry.segment_id), FileKind::segment, entry.segment_id,
            entry.log_id, entry.file_bytes};
}

VerifiedFile file_of(const ListedFile& listed) {
    VerifiedFile file;
    file.name = listed.name;
    file.kind = listed.kind;
    return file;
}

std::string seqs_of(const SegmentEntry& entry) {
    return "the records from seq " + std::to_string(entry.covered.first.value) + " to " +
           std::to_string(entry.covered.last.value);
}

}  // namespace

std::string SegmentVerification::path_of(LogId log, std::uint64_t segment_id) const {
    return segment_path(dir_, log, segment_id);
}

// Null: it cannot be read just now. That it could be, and is damaged since, is for the next look.
std::shared_ptr<const SegmentSetState> SegmentVerification::read_set() const {
    const auto set = SegmentSet::open(env_, dir_, "");
    return set.ok() ? set.value()->state() : nullptr;
}

void SegmentVerification::check(std::shared_ptr<const SegmentSetState> set) {
    set_ = std::move(set);
    for (const LogId log : {LogId::system, LogId::default_log}) check_log(log);
}

void SegmentVerification::check_newest() {
    if (!live_ || !set_) return;
    if (auto newest = read_set()) check(std::move(newest));
}

// A merge may replace what lies before us at any time; the covered ranges say how far we are.
void SegmentVerification::check_log(LogId log) {
    Seq& done = done_[static_cast<std::size_t>(log)];
    while (true) {
        const auto set = set_;
        const auto& entries = set->logs[static_cast<std::size_t>(log)];
        const auto next = std::find_if(entries.begin(), entries.end(), [&](const SegmentEntry& e) {
            return e.covered.last > done;
        });
        if (next == entries.end()) return;
        if (check_entry(*next)) done = next->covered.last;
    }
}

bool SegmentVerification::check_entry(const SegmentEntry& entry) {
    const ListedFile listed = listed_of(entry);
    const std::string path = path_of(entry.log_id, entry.segment_id);
    VerifiedFile file = file_of(listed);
    reports_.begin(listed);
    Status checked = verify(path, &entry, file);
    reports_.end(listed);
    if (checked.ok()) {
        reports_.file(file);
        return true;
    }
    if (checked.error().code == Code::not_found) {
        const auto newest = live_ ? read_set() : nullptr;
        if (newest && find_entry(*newest, entry.log_id, entry.segment_id) == nullptr) {
            set_ = newest;
            file.finding = FileFinding::vanished;
            file.note = "a daemon merged it into another one meanwhile";
            reports_.file(file);
            return false;
        }
        checked = Error{Code::corrupt,
                        path + " is missing, but seg/" + kManifestName + " names it: it holds " +
                            seqs_of(entry),
                        std::string(kFromCopy)};
    }
    report_damage(file, std::move(checked).error());
    if (versions_ != nullptr) versions_->give_up(entry.log_id);
    return true;
}

void SegmentVerification::check_alone(const ListedFile& listed) {
    VerifiedFile file = file_of(listed);
    reports_.begin(listed);
    Status checked = verify(dir_ + "/" + listed.name, nullptr, file);
    reports_.end(listed);
    if (checked.ok()) {
        file.note = "no manifest says whether it counts";
        reports_.file(file);
    } else if (checked.error().code == Code::not_found) {
        file.finding = FileFinding::vanished;
        reports_.file(file);
    } else {
        report_damage(file, std::move(checked).error());
    }
}

Status SegmentVerification::verify(const std::string& path, const SegmentEntry* entry,
                                   VerifiedFile& file) {
    KLOG_TRY_ASSIGN(const auto reader, SegmentReader::open(env_, path, entry, nullptr));
    // Without a set nobody knows what comes before it.
    if (versions_ == nullptr || entry == nullptr) {
        KLOG_TRY(reader->verify(versions_ != nullptr, reports_.advance));
    } else {
        const SegmentStats& stats = reader->stats();
        KLOG_TRY(reader->verify_records(reports_.advance, [&](const RecordView& record) {
            return versions_->add(stats.log_id, stats.hash_key, record);
        }));
    }
    file.finding = FileFinding::sound;
    file.records = reader->stats().records;
    KLOG_TRY_ASSIGN(const auto opened, env_.open(path, OpenMode::read));
    KLOG_TRY_ASSIGN(file.bytes, opened->size());
    return {};
}

void SegmentVerification::report_damage(VerifiedFile& file, Error error) const {
    if (error.hint.empty() && error.code == Code::corrupt) error.hint = kFromCopy;
    file.finding = FileFinding::damaged;
    file.offset = offset_named(error);
    file.error = std::move(error);
    file.records = 0;
    file.bytes = 0;
    reports_.file(file);
}

void SegmentVerification::report_left_over(const FileList& list) {
    const auto newest = live_ ? read_set() : nullptr;
    for (const ListedFile& listed : list) {
        if (listed.kind != FileKind::segment) continue;
        if (set_ && find_entry(*set_, listed.log, listed.number) != nullptr) continue;
        VerifiedFile file = file_of(listed);
        if (newest && find_entry(*newest, listed.log, listed.number) != nullptr) {
            file.note = "a daemon made it meanwhile";
        } else {
            file.kind = FileKind::left_over;
            file.note = "nothing in it counts: the manifest does not name it; a start removes it";
        }
        reports_.file(file);
    }
}

}  // namespace klog
