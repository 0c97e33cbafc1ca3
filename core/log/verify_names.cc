#include "log/verify_names.h"

#include <utility>

#include "index/run_format.h"
#include "segment/segment_set.h"
#include "segment/wal_recovery.h"

namespace klog {
namespace {

constexpr std::string_view kTemporary = ".tmp";
constexpr std::string_view kIndexSuffix = ".idx";

Result<std::vector<std::string>> names_in(Env& env, const std::string& folder) {
    auto names = env.list_dir(folder);
    if (!names.ok() && names.error().code == Code::not_found) return std::vector<std::string>();
    return names;
}

// Takes ".tmp" off its end.
bool take_temporary(std::string_view& name) {
    if (!name.ends_with(kTemporary)) return false;
    name.remove_suffix(kTemporary.size());
    return true;
}

bool is_log(const std::string& folder) { return folder == "0" || folder == "1"; }

LogId log_of(const std::string& folder) {
    return folder == "0" ? LogId::system : LogId::default_log;
}

ListedFile unknown(std::string name) {
    return {std::move(name), FileKind::unknown, 0, LogId::default_log, 0};
}

ListedFile name_run(const std::string& folder, const std::string& name, LogId log) {
    ListedFile listed = unknown(folder + "/" + name);
    listed.log = log;
    std::string_view plain = name;
    const bool temporary = take_temporary(plain);
    if (run_number_of(plain) != 0) {
        listed.kind = temporary ? FileKind::left_over : FileKind::run;
        listed.number = run_number_of(plain);
    } else if (plain == kKeyIndexName || plain == "keys.db-wal" || plain == "keys.db-shm" ||
               plain == "keys.db-journal") {
        listed.kind = FileKind::key_index;
    }
    return listed;
}

ListedFile name_wal_index(const std::string& folder, const std::string& name) {
    ListedFile listed = unknown(folder + "/" + name);
    std::string_view plain = name;
    const bool temporary = take_temporary(plain);
    if (!plain.ends_with(kIndexSuffix)) return listed;
    plain.remove_suffix(kIndexSuffix.size());
    if (const auto id = wal_id_of(std::string(plain) + ".wal")) {
        listed.number = *id;
        listed.kind = temporary ? FileKind::left_over : FileKind::wal_index;
    }
    return listed;
}

ListedFile name_segment(const std::string& folder, const std::string& name, LogId log) {
    ListedFile listed = unknown(folder + "/" + name);
    listed.log = log;
    if (const auto id = segment_id_of(name)) {
        listed.kind = FileKind::segment;
        listed.number = *id;
    } else if (name.ends_with(kTemporary)) {
        listed.kind = FileKind::left_over;
    }
    return listed;
}

}  // namespace

Status list_top(Env& env, const std::string& dir, FileList& list) {
    KLOG_TRY_ASSIGN(const auto names, names_in(env, dir));
    for (const std::string& name : names) {
        if (name == "wal" || name == "index" || name == kSegmentDirName) continue;
        ListedFile listed = unknown(name);
        const bool ours = name == "klog.lock" || name == "daemon.pid" || name == "klog.sock" ||
                          name == "ephemeral.lock";
        if (ours) listed.kind = FileKind::process;
        list.push_back(std::move(listed));
    }
    return {};
}

Status list_index(Env& env, const std::string& dir, FileList& list) {
    KLOG_TRY_ASSIGN(const auto folders, names_in(env, dir + "/index"));
    for (const std::string& folder : folders) {
        const std::string where = "index/" + folder;
        if (!is_log(folder) && folder != "wal") {
            list.push_back(unknown(where));
            continue;
        }
        KLOG_TRY_ASSIGN(const auto names, names_in(env, dir + "/" + where));
        for (const std::string& name : names) {
            list.push_back(is_log(folder) ? name_run(where, name, log_of(folder))
                                          : name_wal_index(where, name));
        }
    }
    return {};
}

Status list_segments(Env& env, const std::string& dir, FileList& list) {
    const std::string top = kSegmentDirName;
    KLOG_TRY_ASSIGN(const auto folders, names_in(env, dir + "/" + top));
    for (const std::string& folder : folders) {
        const std::string where = top + "/" + folder;
        if (!is_log(folder)) {
            ListedFile listed = unknown(where);
            if (folder == kManifestName) listed.kind = FileKind::manifest;
            if (folder == kManifestTemporaryName) listed.kind = FileKind::left_over;
            list.push_back(std::move(listed));
            continue;
        }
        KLOG_TRY_ASSIGN(const auto names, names_in(env, dir + "/" + where));
        for (const std::string& name : names) {
            list.push_back(name_segment(where, name, log_of(folder)));
        }
    }
    return {};
}

Status list_wal(Env& env, const std::string& dir, FileList& list) {
    KLOG_TRY_ASSIGN(const auto names, names_in(env, dir + "/wal"));
    for (const std::string& name : names) {
        ListedFile listed = unknown("wal/" + name);
        if (const auto id = wal_id_of(name)) {
            listed.kind = FileKind::wal;
            listed.number = *id;
        } else if (name.starts_with(kSparePrefix)) {
            listed.kind = FileKind::spare;
        } else if (name == kCleanMarkerName) {
            continue;
        } else if (name == kCleanMarkerTemporaryName) {
            listed.kind = FileKind::left_over;
        }
        list.push_back(std::move(listed));
    }
    return {};
}

}  // namespace klog
