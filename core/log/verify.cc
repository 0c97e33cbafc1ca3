#include "klog/verify.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "index/index_verify.h"
#include "index/run_format.h"
#include "log/verify_heads.h"
#include "log/verify_keys.h"
#include "log/verify_names.h"
#include "log/verify_segments.h"
#include "log/verify_versions.h"
#include "segment/segment_set.h"
#include "segment/wal_verify.h"

namespace klog {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kRebuilt =
    "no record is lost: stop the daemon, delete this file, and the next start makes it anew from "
    "the log";

std::string hex(const StoreUuid& uuid) {
    std::string text;
    for (const std::uint8_t byte : uuid) {
        text += kHexDigits[byte >> 4U];
        text += kHexDigits[byte & 15U];
    }
    return text;
}

// What an index says about the log, to be held against it when the log was read.
struct Claim {
    std::string name;
    std::uint64_t number = 0;  // of a run; 0: it is none
    LogId log = LogId::default_log;
    Seq upto;
    std::string store_uuid;
};

class Verification {
public:
    Verification(Env& env, const VerifyOptions& options)
        : env_(env),
          options_(options),
          segments_(env, options.dir, options.live, options.deep ? &versions_ : nullptr,
                    {[this](const ListedFile& listed) { begin(listed); },
                     [this](std::uint64_t bytes) { advance(bytes); },
                     [this](const ListedFile& listed) { end(listed); },
                     [this](const VerifiedFile& file) { report(file); }}) {}

    Result<VerifyReport> run();

private:
    [[nodiscard]] std::string path_of(const std::string& name) const {
        return options_.dir + "/" + name;
    }
    void measure(FileList& list);

    void read_marker();
    void check_index(const ListedFile& listed);
    void take_set(Result<std::unique_ptr<SegmentSet>> set);
    Status list_files_behind_set(FileList& files);
    Status check_segments();
    void check_wal(const FileList& list);
    void check_marker_place(const std::optional<WalFileState>& newest);
    void check_claims(const WalVerifier& verifier);
    void check_heads();
    void check_keys(const HashKey& key);
    void tell_left_out();
    void check_missing(const ListedFile& next, std::uint64_t& expected);

    // Runs one check of a disposable file and reports what came of it.
    template <class Check>
    void check_disposable(const ListedFile& listed, const Check& check);
    void report(const VerifiedFile& file);
    void report_damage(const std::string& name, FileKind kind, Error error);
    void report_plain(const ListedFile& listed);
    void advance(std::uint64_t bytes);
    void begin(const ListedFile& listed);
    void end(const ListedFile& listed);

    Env& env_;
    const VerifyOptions& options_;
    VerifyReport report_;
    std::optional<CleanMarker> marker_;
    std::vector<Claim> claims_;
    std::map<std::uint64_t, std::pair<std::string, std::uint64_t>> index_ends_;  // by wal_id
    std::shared_ptr<const SegmentSetState> set_;  // null: it is damaged
    VersionVerifier versions_;
    SegmentVerification segments_;
    bool wal_damaged_ = false;

    std::string current_;
    std::uint64_t done_ = 0;
    std::uint64_t done_in_file_ = 0;
    std::uint64_t total_ = 0;
};

// Sizes are for the progress alone: what cannot be opened now is reported when it is checked.
void Verification::measure(FileList& list) {
    for (ListedFile& listed : list) {
        const bool read = listed.kind == FileKind::wal || listed.kind == FileKind::run ||
                          listed.kind == FileKind::wal_index || listed.kind == FileKind::segment;
        if (!read) continue;
        const auto file = env_.open(path_of(listed.name), OpenMode::read);
        const auto size = file.ok() ? file.value()->size() : Result<std::uint64_t>(0);
        listed.size = size.ok() ? size.value() : 0;
        total_ += listed.size;
    }
}

void Verification::advance(std::uint64_t bytes) {
    done_in_file_ += bytes;
    if (options_.on_progress) options_.on_progress({current_, done_ + done_in_file_, total_});
}

void Verification::begin(const ListedFile& listed) {
    current_ = listed.name;
    done_in_file_ = 0;
    advance(0);
}

void Verification::end(const ListedFile& listed) {
    done_ += listed.size;
    done_in_file_ = 0;
}

void Verification::report(const VerifiedFile& file) {
    const bool checked =
        file.finding != FileFinding::not_checked && file.finding != FileFinding::vanished;
    if (checked) ++report_.files;
    if (file.finding == FileFinding::damaged) ++report_.damaged;
    report_.bytes += file.bytes;
    report_.records += file.records;
    if (options_.on_file) options_.on_file(file);
}

void Verification::report_damage(const std::string& name, FileKind kind, Error error) {
    VerifiedFile file;
    file.name = name;
    file.kind = kind;
    file.finding = FileFinding::damaged;
    file.offset = offset_named(error);
    file.error = std::move(error);
    report(file);
}

void Verification::report_plain(const ListedFile& listed) {
    VerifiedFile file;
    file.name = listed.name;
    file.kind = listed.kind;
    switch (listed.kind) {
        case FileKind::unknown:
            file.note = "klog does not know this file and leaves it alone";
            break;
        case FileKind::left_over:
            file.note = "was never finished; nothing refers to it";
            break;
        case FileKind::wal:
            file.note = "all of it is sealed, so it does not count; the next start removes it";
            break;
        case FileKind::spare:
            file.note = "room for later; what it holds means nothing";
            break;
        case FileKind::key_index:
            file.note = "belongs to keys.db and is read with it";
            break;
        default:
            file.note = "belongs to a daemon's process";
            break;
    }
    report(file);
}

void Verification::read_marker() {
    const std::string name = std::string("wal/") + kCleanMarkerName;
    const auto file = env_.open(path_of(name), OpenMode::read);
    if (!file.ok()) {
        if (file.error().code != Code::not_found) {
            report_damage(name, FileKind::clean_marker, file.error());
        }
        return;
    }
    auto bytes = read_exactly(**file, 0, kCleanMarkerBytes);
    auto marker = bytes.ok() ? decode_clean_marker(bytes->value_or(std::string()), path_of(name))
                             : Result<CleanMarker>(std::move(bytes).error());
    if (!marker.ok()) {
        Error error = std::move(marker).error();
        if (error.code == Code::corrupt) {
            error.message += " (offset 0)";
            error.hint =
                "no record is lost: without it the next start takes the stop for an unclean one";
        }
        report_damage(name, FileKind::clean_marker, std::move(error));
        return;
    }
    marker_ = std::move(marker).value();
    VerifiedFile sound;
    sound.name = name;
    sound.kind = FileKind::clean_marker;
    sound.finding = FileFinding::sound;
    sound.bytes = kCleanMarkerBytes;
    report(sound);
}

template <class Check>
void Verification::check_disposable(const ListedFile& listed, const Check& check) {
    begin(listed);
    VerifiedFile file;
    file.name = listed.name;
    file.kind = listed.kind;
    auto bytes = check(path_of(listed.name));
    if (bytes.ok()) {
        file.finding = FileFinding::sound;
        file.bytes = bytes.value();
    } else if (bytes.error().code == Code::not_found) {
        file.finding = FileFinding::vanished;
    } else if (bytes.error().code == Code::locked) {
        file.note = "somebody else holds it just now: " + bytes.error().message;
    } else {
        file.finding = FileFinding::damaged;
        file.error = std::move(bytes).error();
        file.offset = offset_named(*file.error);
        if (file.error->code == Code::corrupt || file.error->code == Code::format_unknown) {
            file.error->hint = kRebuilt;
        }
    }
    end(listed);
    report(file);
}

void Verification::check_index(const ListedFile& listed) {
    const BytesRead advanced = [this](std::uint64_t bytes) { advance(bytes); };
    using Bytes = Result<std::uint64_t>;
    if (listed.kind == FileKind::run) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const RunClaim claim, verify_run(env_, path, listed.number, advanced));
            claims_.push_back({listed.name, listed.number, listed.log, claim.covered_upto,
                               hex(claim.store_uuid)});
            return claim.bytes;
        });
    } else if (listed.kind == FileKind::wal_index) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const WalIndexClaim claim, verify_wal_file_index(env_, path, advanced));
            index_ends_[claim.wal_id] = {listed.name, claim.end};
            return claim.bytes;
        });
    } else if (listed.kind == FileKind::key_index && listed.name.ends_with(kKeyIndexName)) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const KeyIndexClaim claim, verify_key_index(env_, path));
            claims_.push_back({listed.name, 0, listed.log, claim.watermark, claim.store_uuid});
            KLOG_TRY_ASSIGN(const auto file, env_.open(path, OpenMode::read));
            return file->size();
        });
    } else {
        report_plain(listed);
    }
}

// Which WAL files count, and what they follow on.
void Verification::take_set(Result<std::unique_ptr<SegmentSet>> set) {
    const std::string name = std::string(kSegmentDirName) + "/" + kManifestName;
    if (!set.ok()) {
        Error error = std::move(set).error();
        if (!offset_named(error) && error.code == Code::corrupt) error.message += " (offset 0)";
        report_damage(name, FileKind::manifest, std::move(error));
        return;
    }
    set_ = set.value()->state();
    if (marker_ && marker_->manifest_number > set_->number) {
        report_damage(
            name, FileKind::manifest,
            {Code::corrupt,
             path_of(name) + " has the number " + std::to_string(set_->number) +
                 ", but at the last clean stop it was " + std::to_string(marker_->manifest_number),
             "it was lost or put back; restore the directory from a copy"});
        return;
    }
    if (set_->number == 0) return;
    VerifiedFile sound;
    sound.name = name;
    sound.kind = FileKind::manifest;
    sound.finding = FileFinding::sound;
    const auto file = env_.open(path_of(name), OpenMode::read);
    const auto size = file.ok() ? file.value()->size() : Result<std::uint64_t>(0);
    sound.bytes = size.ok() ? size.value() : 0;
    report(sound);
}

// A daemon may seal and remove files at any time. Those that count by a set that was read after
// them were there when they were listed; where it took all of them, they are listed again.
Status Verification::list_files_behind_set(FileList& files) {
    constexpr int kTriesMax = 3;
    for (int i = 0; i < kTriesMax; ++i) {
        files.clear();
        KLOG_TRY(list_wal(env_, options_.dir, files));
        std::uint64_t newest = 0;
        for (const ListedFile& listed : files) newest = std::max(newest, listed.number);
        auto set = SegmentSet::open(env_, options_.dir, "");
        const bool stale = set.ok() && newest <= set.value()->state()->sealed.wal_id;
        if (options_.live && stale && i + 1 < kTriesMax) continue;
        take_set(std::move(set));
        break;
    }
    return {};
}

// Before the WAL, as their records are older.
Status Verification::check_segments() {
    if (set_) segments_.check(set_);
    FileList list;
    KLOG_TRY(list_segments(env_, options_.dir, list));
    FileList segments;
    for (const ListedFile& listed : list) {
        if (listed.kind == FileKind::segment) {
            segments.push_back(listed);
        } else if (listed.kind != FileKind::manifest) {
            report_plain(listed);
        }
    }
    if (set_) {
        segments_.report_left_over(segments);
        return {};
    }
    measure(segments);
    for (const ListedFile& listed : segments) segments_.check_alone(listed);
    return {};
}

void Verification::check_wal(const FileList& list) {
    std::vector<const ListedFile*> files;
    for (const ListedFile& listed : list) {
        const bool counts = !set_ || listed.number > set_->sealed.wal_id;
        if (listed.kind == FileKind::wal && counts) {
            files.push_back(&listed);
        } else {
            report_plain(listed);
        }
    }
    WalVerifier verifier(env_, path_of("wal"), options_.live,
                         [this](std::uint64_t bytes) { advance(bytes); });
    if (marker_) verifier.set_marker(*marker_);
    if (set_) verifier.set_sealed(set_);
    if (options_.deep) {
        verifier.set_visitor([this](LogId log, const HashKey& key, const RecordView& record) {
            // What a daemon sealed and merged while we read may have passed us by.
            const bool hole = record.seq.value > versions_.last_seq(log).value + 1;
            if (options_.live && hole) versions_.give_up(log);
            return versions_.add(log, key, record);
        });
    }
    // With a set that is damaged nobody knows where the log begins.
    std::uint64_t expected = set_ ? set_->sealed.wal_id + 1 : 0;
    if (!set_ && !files.empty()) expected = files.front()->number;
    if (set_ && set_->number != 0 && files.empty()) {
        wal_damaged_ = true;
        const std::string missing = "wal/" + wal_file_name(expected);
        report_damage(
            missing, FileKind::wal,
            {Code::corrupt, path_of(missing) + " is missing, and so is all that followed on it",
             "records that were acknowledged are in it; put the file back, or restore "
             "the directory from a copy"});
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
        const ListedFile& listed = *files[i];
        check_missing(listed, expected);
        begin(listed);
        VerifiedFile file;
        file.name = listed.name;
        const auto newer = i + 1 < files.size() ? std::optional<std::uint64_t>(files[i + 1]->number)
                                                : std::nullopt;
        verifier.check(listed.number, newer, file);
        if (file.finding == FileFinding::damaged) wal_damaged_ = true;
        end(listed);
        // What a daemon sealed meanwhile is in segments now.
        if (file.finding == FileFinding::vanished) segments_.check_newest();
        const auto index = index_ends_.find(listed.number);
        if (newer && verifier.newest() && index != index_ends_.end()) {
            const auto next =
                read_wal_header(env_, path_of("wal/" + wal_file_name(*newer)), *newer);
            if (next.ok() && next->info.header.previous_end != index->second.second) {
                report_damage(
                    index->second.first, FileKind::wal_index,
                    {Code::corrupt, path_of(index->second.first) + " is of another " + listed.name,
                     std::string(kRebuilt)});
            }
        }
        report(file);
    }
    check_marker_place(verifier.newest());
    check_claims(verifier);
    if (options_.deep) check_heads();
    if (options_.deep && verifier.newest()) check_keys(verifier.newest()->info.header.hash_key);
}

// Names sort as numbers. A file that a rotation renamed while we listed is there all the same.
void Verification::check_missing(const ListedFile& next, std::uint64_t& expected) {
    for (; expected < next.number; ++expected) {
        const std::string missing = "wal/" + wal_file_name(expected);
        const auto there = env_.exists(path_of(missing));
        if (there.ok() && there.value()) continue;
        wal_damaged_ = true;
        report_damage(
            missing, FileKind::wal,
            {Code::corrupt, path_of(missing) + " is missing, and " + next.name + " follows on it",
             "records that were acknowledged are in it; put the file back, or "
             "restore the directory from a copy"});
        break;  // said once, however many there are
    }
    expected = next.number + 1;
}

// A marker that speaks of a file which is not there means that the log lost its end.
void Verification::check_marker_place(const std::optional<WalFileState>& newest) {
    if (!marker_ || wal_damaged_) return;
    const std::string name = std::string("wal/") + kCleanMarkerName;
    std::string what;
    if (!newest) {
        what = "a clean stop is marked, but there is no file of the log";
    } else if (marker_->store_uuid != newest->info.header.store_uuid) {
        what = "it belongs to another store";
    } else if (marker_->incarnation > newest->info.header.incarnation) {
        what = "the log ended in " + wal_file_name(marker_->wal_id) + ", which is missing";
    }
    if (what.empty()) return;
    report_damage(name, FileKind::clean_marker,
                  {Code::corrupt, path_of(name) + ": " + what,
                   "a part of the log was lost; restore the directory from a copy"});
}

void Verification::check_claims(const WalVerifier& verifier) {
    if (wal_damaged_ || !set_) return;  // then it does not show where the log ends
    const std::string store =
        verifier.newest() ? hex(verifier.newest()->info.header.store_uuid) : std::string();
    for (const Claim& claim : claims_) {
        const FileKind kind =
            claim.name.ends_with(kKeyIndexName) ? FileKind::key_index : FileKind::run;
        const Seq last = std::max(verifier.last_seq(claim.log), segments_.last_seq(claim.log));
        const bool stranger = claim.store_uuid != store && !claim.store_uuid.empty();
        if (stranger && !store.empty()) {
            report_damage(claim.name, kind,
                          {Code::corrupt, path_of(claim.name) + ": it belongs to another store",
                           std::string(kRebuilt)});
        } else if (claim.upto > last) {
            report_damage(claim.name, kind,
                          {Code::corrupt,
                           path_of(claim.name) + " knows seq " + std::to_string(claim.upto.value) +
                               ", but the log ends at " + std::to_string(last.value),
                           "records that were acknowledged are missing from wal/: put the missing "
                           "files back, or restore the directory from a copy"});
        }
    }
}

// Only where the whole log was seen: a head says nothing about records that nobody can read.
void Verification::check_heads() {
    if (wal_damaged_ || !set_) {
        for (const LogId log : {LogId::system, LogId::default_log}) versions_.give_up(log);
    }
    for (const Claim& claim : claims_) {
        if (claim.number == 0 || !versions_.whole(claim.log)) continue;
        if (claim.upto > versions_.last_seq(claim.log)) continue;  // that has been said
        const Status checked =
            verify_heads(env_, path_of(claim.name), claim.number, claim.log, versions_);
        if (checked.ok() || checked.error().code == Code::not_found) continue;
        Error error = checked.error();
        if (error.code == Code::corrupt) error.hint = kRebuilt;
        report_damage(claim.name, FileKind::run, std::move(error));
    }
    tell_left_out();
}

// A daemon goes on listing keys in it while the log is read, so beside one it cannot be compared.
void Verification::check_keys(const HashKey& key) {
    if (options_.live || versions_.overflowed()) return;
    for (const Claim& claim : claims_) {
        if (claim.number != 0 || !versions_.whole(claim.log)) continue;
        if (claim.upto > versions_.last_seq(claim.log)) continue;  // that has been said
        const Status checked =
            verify_keys(env_, path_of(claim.name), claim.log, key, claim.upto, versions_);
        if (checked.ok() || checked.error().code == Code::not_found) continue;
        Error error = checked.error();
        if (error.code == Code::corrupt) error.hint = kRebuilt;
        report_damage(claim.name, FileKind::key_index, std::move(error));
    }
}

void Verification::tell_left_out() {
    for (const LogId log : {LogId::system, LogId::default_log}) {
        if (versions_.whole(log)) continue;
        report_.notices.push_back("versions and heads of log " +
                                  std::to_string(static_cast<unsigned>(log)) +
                                  " were not compared: a part of it could not be read");
    }
    if (versions_.overflowed()) {
        report_.notices.push_back("there are more than " +
                                  std::to_string(versions_.entities_max()) +
                                  " keys; versions and heads of those that came later were not "
                                  "compared");
    }
}

// Indexes come before the log, since a daemon that goes on writing must not seem to have indexed
// what is not there.
Result<VerifyReport> Verification::run() {
    const Error none{Code::no_input, options_.dir + " holds no log of klog's",
                     "klog config show --origin says where the data directory is"};
    KLOG_TRY_ASSIGN(const bool there, env_.exists(path_of("wal")));
    if (!there) return none;
    FileList top;
    FileList indexes;
    KLOG_TRY(list_top(env_, options_.dir, top));
    KLOG_TRY(list_index(env_, options_.dir, indexes));
    measure(indexes);
    FileList early;
    KLOG_TRY(list_wal(env_, options_.dir, early));
    KLOG_TRY(list_segments(env_, options_.dir, early));
    measure(early);
    for (const ListedFile& listed : top) report_plain(listed);
    read_marker();
    for (const ListedFile& listed : indexes) check_index(listed);
    FileList files;
    KLOG_TRY(list_files_behind_set(files));
    KLOG_TRY(check_segments());
    for (ListedFile& listed : files) {
        const auto known = std::find_if(early.begin(), early.end(), [&](const ListedFile& other) {
            return other.name == listed.name;
        });
        if (known != early.end()) listed.size = known->size;
    }
    check_wal(files);
    return report_;
}

}  // namespace

std::string_view file_kind_name(FileKind kind) {
    switch (kind) {
        case FileKind::wal:
            return "wal";
        case FileKind::clean_marker:
            return "clean_marker";
        case FileKind::run:
            return "run";
        case FileKind::wal_index:
            return "wal_index";
        case FileKind::manifest:
            return "manifest";
        case FileKind::segment:
            return "segment";
        case FileKind::key_index:
            return "key_index";
        case FileKind::spare:
            return "spare";
        case FileKind::process:
            return "process";
        case FileKind::left_over:
            return "left_over";
        case FileKind::unknown:
            break;
    }
    return "unknown";
}

std::string_view file_finding_name(FileFinding finding) {
    switch (finding) {
        case FileFinding::sound:
            return "sound";
        case FileFinding::growing:
            return "growing";
        case FileFinding::torn_tail:
            return "torn_tail";
        case FileFinding::damaged:
            return "damaged";
        case FileFinding::vanished:
            return "vanished";
        case FileFinding::not_checked:
            break;
    }
    return "not_checked";
}

Result<VerifyReport> verify_store(Env& env, const VerifyOptions& options) {
    return Verification(env, options).run();
}

}  // namespace klog
