#include "klog/verify.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "index/index_verify.h"
#include "index/run_format.h"
#include "segment/wal_verify.h"

namespace klog {
namespace {

constexpr std::string_view kTemporary = ".tmp";
constexpr std::string_view kIndexSuffix = ".idx";
constexpr std::string_view kKeyIndex = "keys.db";
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
    LogId log = LogId::default_log;
    Seq upto;
    std::string store_uuid;
};

class Verification {
public:
    Verification(Env& env, const VerifyOptions& options) : env_(env), options_(options) {}

    Result<VerifyReport> run();

private:
    struct Listed {
        std::string name;  // relative to the data directory
        FileKind kind = FileKind::unknown;
        std::uint64_t number = 0;  // of a WAL file, a run, the index of a WAL file
        LogId log = LogId::default_log;
        std::uint64_t size = 0;
    };
    using List = std::vector<Listed>;

    [[nodiscard]] std::string path_of(const std::string& name) const {
        return options_.dir + "/" + name;
    }
    // Names in a folder of the data directory; none where the folder is missing.
    [[nodiscard]] Result<std::vector<std::string>> names_in(const std::string& folder) const;
    Status list_top(List& list) const;
    Status list_index(List& list) const;
    Status list_wal(List& list) const;
    [[nodiscard]] static Listed name_run(const std::string& folder, const std::string& name,
                                         LogId log);
    void measure(List& list);

    void read_marker();
    void check_index(const Listed& listed);
    void check_wal(const List& list);
    void check_marker_place(const std::optional<WalFileState>& newest);
    void check_claims(const WalVerifier& verifier);

    // Runs one check of a disposable file and reports what came of it.
    template <class Check>
    void check_disposable(const Listed& listed, const Check& check);
    void report(const VerifiedFile& file);
    void report_damage(const std::string& name, FileKind kind, Error error);
    void report_plain(const Listed& listed);
    void advance(std::uint64_t bytes);
    void begin(const Listed& listed);
    void end(const Listed& listed);

    Env& env_;
    const VerifyOptions& options_;
    VerifyReport report_;
    std::optional<CleanMarker> marker_;
    std::vector<Claim> claims_;
    std::map<std::uint64_t, std::pair<std::string, std::uint64_t>> index_ends_;  // by wal_id
    bool wal_damaged_ = false;

    std::string current_;
    std::uint64_t done_ = 0;
    std::uint64_t done_in_file_ = 0;
    std::uint64_t total_ = 0;
};

Result<std::vector<std::string>> Verification::names_in(const std::string& folder) const {
    auto names = env_.list_dir(folder.empty() ? options_.dir : path_of(folder));
    if (!names.ok() && names.error().code == Code::not_found) return std::vector<std::string>();
    return names;
}

Status Verification::list_top(List& list) const {
    KLOG_TRY_ASSIGN(const auto names, names_in(""));
    for (const std::string& name : names) {
        if (name == "wal" || name == "index") continue;
        const bool ours = name == "klog.lock" || name == "daemon.pid" || name == "klog.sock" ||
                          name == "ephemeral.lock";
        list.push_back(
            {name, ours ? FileKind::process : FileKind::unknown, 0, LogId::default_log, 0});
    }
    return {};
}

Verification::Listed Verification::name_run(const std::string& folder, const std::string& name,
                                            LogId log) {
    Listed listed{folder + "/" + name, FileKind::unknown, 0, log, 0};
    std::string_view plain = name;
    const bool temporary = plain.ends_with(kTemporary);
    if (temporary) plain.remove_suffix(kTemporary.size());
    if (run_number_of(plain) != 0) {
        listed.kind = temporary ? FileKind::left_over : FileKind::run;
        listed.number = run_number_of(plain);
    } else if (plain == kKeyIndex || plain == "keys.db-wal" || plain == "keys.db-shm" ||
               plain == "keys.db-journal") {
        listed.kind = FileKind::key_index;
    }
    return listed;
}

Status Verification::list_index(List& list) const {
    KLOG_TRY_ASSIGN(const auto folders, names_in("index"));
    for (const std::string& folder : folders) {
        const std::string where = "index/" + folder;
        const bool of_log = folder == "0" || folder == "1";
        if (!of_log && folder != "wal") {
            list.push_back({where, FileKind::unknown, 0, LogId::default_log, 0});
            continue;
        }
        KLOG_TRY_ASSIGN(const auto names, names_in(where));
        for (const std::string& name : names) {
            if (of_log) {
                list.push_back(
                    name_run(where, name, folder == "0" ? LogId::system : LogId::default_log));
                continue;
            }
            Listed listed{where + "/" + name, FileKind::unknown, 0, LogId::default_log, 0};
            std::string as_wal = name;
            const bool temporary = as_wal.ends_with(kTemporary);
            if (temporary) as_wal.resize(as_wal.size() - kTemporary.size());
            if (as_wal.ends_with(kIndexSuffix)) {
                as_wal.resize(as_wal.size() - kIndexSuffix.size());
                if (const auto id = wal_id_of(as_wal + ".wal")) {
                    listed.number = *id;
                    listed.kind = temporary ? FileKind::left_over : FileKind::wal_index;
                }
            }
            list.push_back(std::move(listed));
        }
    }
    return {};
}

Status Verification::list_wal(List& list) const {
    KLOG_TRY_ASSIGN(const auto names, names_in("wal"));
    for (const std::string& name : names) {
        Listed listed{"wal/" + name, FileKind::unknown, 0, LogId::default_log, 0};
        if (const auto id = wal_id_of(name)) {
            listed.kind = FileKind::wal;
            listed.number = *id;
        } else if (name.starts_with(kSparePrefix)) {
            listed.kind = FileKind::spare;
        } else if (name == kCleanMarkerName) {
            continue;  // read before
        } else if (name == kCleanMarkerTemporaryName) {
            listed.kind = FileKind::left_over;
        }
        list.push_back(std::move(listed));
    }
    return {};
}

// Sizes are for the progress alone: what cannot be opened now is reported when it is checked.
void Verification::measure(List& list) {
    for (Listed& listed : list) {
        const bool read = listed.kind == FileKind::wal || listed.kind == FileKind::run ||
                          listed.kind == FileKind::wal_index;
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

void Verification::begin(const Listed& listed) {
    current_ = listed.name;
    done_in_file_ = 0;
    advance(0);
}

void Verification::end(const Listed& listed) {
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

void Verification::report_plain(const Listed& listed) {
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
void Verification::check_disposable(const Listed& listed, const Check& check) {
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

void Verification::check_index(const Listed& listed) {
    const BytesRead advanced = [this](std::uint64_t bytes) { advance(bytes); };
    using Bytes = Result<std::uint64_t>;
    if (listed.kind == FileKind::run) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const RunClaim claim, verify_run(env_, path, listed.number, advanced));
            claims_.push_back({listed.name, listed.log, claim.covered_upto, hex(claim.store_uuid)});
            return claim.bytes;
        });
    } else if (listed.kind == FileKind::wal_index) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const WalIndexClaim claim, verify_wal_file_index(env_, path, advanced));
            index_ends_[claim.wal_id] = {listed.name, claim.end};
            return claim.bytes;
        });
    } else if (listed.kind == FileKind::key_index && listed.name.ends_with(kKeyIndex)) {
        check_disposable(listed, [&](const std::string& path) -> Bytes {
            KLOG_TRY_ASSIGN(const KeyIndexClaim claim, verify_key_index(env_, path));
            claims_.push_back({listed.name, listed.log, claim.watermark, claim.store_uuid});
            KLOG_TRY_ASSIGN(const auto file, env_.open(path, OpenMode::read));
            return file->size();
        });
    } else {
        report_plain(listed);
    }
}

void Verification::check_wal(const List& list) {
    std::vector<const Listed*> files;
    for (const Listed& listed : list) {
        if (listed.kind == FileKind::wal) {
            files.push_back(&listed);
        } else {
            report_plain(listed);
        }
    }
    WalVerifier verifier(env_, path_of("wal"), options_.live,
                         [this](std::uint64_t bytes) { advance(bytes); });
    if (marker_) verifier.set_marker(*marker_);
    std::uint64_t expected = 1;
    for (std::size_t i = 0; i < files.size(); ++i) {
        const Listed& listed = *files[i];
        // Names sort as numbers. A file that a rotation renamed while we listed is there all the
        // same.
        for (; expected < listed.number; ++expected) {
            const std::string missing = "wal/" + wal_file_name(expected);
            const auto there = env_.exists(path_of(missing));
            if (there.ok() && there.value()) continue;
            wal_damaged_ = true;
            report_damage(missing, FileKind::wal,
                          {Code::corrupt,
                           path_of(missing) + " is missing, and " + listed.name + " follows on it",
                           "records that were acknowledged are in it; put the file back, or "
                           "restore the directory from a copy"});
            expected = listed.number - 1;  // said once, however many there are
        }
        expected = listed.number + 1;
        begin(listed);
        VerifiedFile file;
        file.name = listed.name;
        const auto newer = i + 1 < files.size() ? std::optional<std::uint64_t>(files[i + 1]->number)
                                                : std::nullopt;
        verifier.check(listed.number, newer, file);
        if (file.finding == FileFinding::damaged) wal_damaged_ = true;
        end(listed);
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
    if (wal_damaged_) return;  // what it says of the end of the log is not the whole truth
    const std::string store =
        verifier.newest() ? hex(verifier.newest()->info.header.store_uuid) : std::string();
    for (const Claim& claim : claims_) {
        const FileKind kind = claim.name.ends_with(kKeyIndex) ? FileKind::key_index : FileKind::run;
        const bool stranger = claim.store_uuid != store && !claim.store_uuid.empty();
        if (stranger && !store.empty()) {
            report_damage(claim.name, kind,
                          {Code::corrupt, path_of(claim.name) + ": it belongs to another store",
                           std::string(kRebuilt)});
        } else if (claim.upto > verifier.last_seq(claim.log)) {
            report_damage(
                claim.name, kind,
                {Code::corrupt,
                 path_of(claim.name) + " knows seq " + std::to_string(claim.upto.value) +
                     ", but the log ends at " + std::to_string(verifier.last_seq(claim.log).value),
                 "records that were acknowledged are missing from wal/: put the missing "
                 "files back, or restore the directory from a copy"});
        }
    }
}

// Indexes come before the log, since a daemon that goes on writing must not seem to have indexed
// what is not there.
Result<VerifyReport> Verification::run() {
    const Error none{Code::no_input, options_.dir + " holds no log of klog's",
                     "klog config show --origin says where the data directory is"};
    KLOG_TRY_ASSIGN(const bool there, env_.exists(path_of("wal")));
    if (!there) return none;
    List top;
    List indexes;
    KLOG_TRY(list_top(top));
    KLOG_TRY(list_index(indexes));
    measure(indexes);
    List early;
    KLOG_TRY(list_wal(early));
    measure(early);
    for (const Listed& listed : top) report_plain(listed);
    read_marker();
    for (const Listed& listed : indexes) check_index(listed);
    List files;
    KLOG_TRY(list_wal(files));
    for (Listed& listed : files) {
        const auto known = std::find_if(early.begin(), early.end(), [&](const Listed& other) {
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
