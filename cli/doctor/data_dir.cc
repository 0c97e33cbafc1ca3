#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cli/doctor/checks.h"
#include "cli/human.h"

namespace klog::cli {
namespace {

namespace fs = std::filesystem;

struct Size {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
    void add(std::uint64_t more) {
        ++files;
        bytes += more;
    }
};

struct Sizes {
    Size wal, spares, segments, runs, file_indexes, key_index, others;
};

Size& place_of(Sizes& sizes, const fs::path& path) {
    const std::string name = path.filename().string();
    const std::string folder = path.parent_path().filename().string();
    if (folder == "wal" && name.ends_with(".wal")) return sizes.wal;
    if (folder == "wal" && name.starts_with("spare-")) return sizes.spares;
    if (name.ends_with(".seg")) return sizes.segments;
    if (name.ends_with(".run")) return sizes.runs;
    if (name.ends_with(".idx")) return sizes.file_indexes;
    if (name.starts_with("keys.db")) return sizes.key_index;
    return sizes.others;
}

// What goes while we look is none of a log's: a daemon renames and removes files as it works.
Sizes measure(const std::string& dir) {
    Sizes sizes;
    std::error_code failure;
    fs::recursive_directory_iterator at(dir, fs::directory_options::skip_permission_denied,
                                        failure);
    for (; !failure && at != fs::recursive_directory_iterator(); at.increment(failure)) {
        std::error_code gone;
        if (!at->is_regular_file(gone)) continue;
        const std::uint64_t bytes = at->file_size(gone);
        if (!gone) place_of(sizes, at->path()).add(bytes);
    }
    return sizes;
}

void add_sizes(const Sizes& sizes, Findings& findings) {
    const auto add = [&findings](const char* name, const Size& size) {
        findings.fine("data", name,
                      fmt::format("{} in {}", human_bytes(size.bytes), counted(size.files, "file")),
                      size.bytes);
    };
    if (sizes.wal.files >= kWalFilesMany) {
        findings.attention(
            "data", "wal",
            fmt::format("{} in {} files", human_bytes(sizes.wal.bytes), sizes.wal.files),
            "each start reads the header of every one of them, so starts become slow",
            "a data directory of its own for what grows fastest: klog daemon --data-dir D",
            sizes.wal.bytes);
    } else {
        add("wal", sizes.wal);
    }
    add("spares", sizes.spares);
    add("segment_files", sizes.segments);
    add("runs", sizes.runs);
    add("wal_indexes", sizes.file_indexes);
    add("key_index", sizes.key_index);
    if (sizes.others.files > 0) add("others", sizes.others);
}

void check_disk(const std::string& dir, Findings& findings) {
    struct statvfs disk = {};
    if (::statvfs(dir.c_str(), &disk) != 0) {
        findings.attention("disk", "free", "",
                           "the disk cannot be asked: " + std::generic_category().message(errno),
                           "look at the mount of " + dir);
        return;
    }
    const std::uint64_t free = disk.f_bavail * disk.f_frsize;
    const std::uint64_t all = disk.f_blocks * disk.f_frsize;
    const std::string value = human_bytes(free) + " of " + human_bytes(all);
    if (free < kDiskFreeBytesMin || free / kDiskFreePercentMin < all / 100) {
        findings.attention(
            "disk", "free", value,
            "the disk is nearly full; once it is, writes are refused (disk_full) and "
            "reads go on",
            "make room on the disk of " + dir, free);
    } else {
        findings.fine("disk", "free", value, free);
    }
    if (disk.f_files == 0) return;  // this file system has no such limit
    const std::string inodes = fmt::format("{} of {}", disk.f_favail, disk.f_files);
    if (disk.f_favail / kInodesFreePercentMin < disk.f_files / 100) {
        findings.attention("disk", "inodes", inodes, "the disk has hardly any names left to give",
                           "remove small files on the disk of " + dir, disk.f_favail);
    } else {
        findings.fine("disk", "inodes", inodes, disk.f_favail);
    }
}

// The folder that exists and holds what is to be made.
std::string existing_parent(std::string dir) {
    std::error_code ignored;
    while (dir.size() > 1 && !fs::exists(dir, ignored)) {
        dir = fs::path(dir).parent_path().string();
        if (dir.empty()) return ".";
    }
    return dir;
}

// False where there is nothing to measure.
bool check_folder(const std::string& dir, Findings& findings) {
    struct stat info = {};
    if (::stat(dir.c_str(), &info) != 0) {
        if (errno == ENOENT) {
            findings.fine("data", "directory", dir + " (none yet; a daemon makes it)");
        } else {
            findings.attention("data", "directory", dir,
                               "it cannot be looked at: " + std::generic_category().message(errno),
                               "ls -ld " + dir);
        }
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        findings.attention("data", "directory", dir, "a file stands where the directory should",
                           "another place: klog daemon --data-dir D");
        return false;
    }
    if (::access(dir.c_str(), R_OK | X_OK) == 0 && ::access(dir.c_str(), W_OK) != 0) {
        findings.attention("data", "directory", dir,
                           "you may not write it, so your daemons can only serve what is there",
                           "klog daemon --read-only, or run as its owner");
        return true;
    }
    if (::access(dir.c_str(), R_OK | W_OK | X_OK) != 0) {
        findings.attention("data", "directory", dir,
                           "you may not read and write it, so no daemon of yours can open it",
                           "run as its owner, or take another: klog daemon --data-dir D");
        return false;
    }
    constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
    if ((info.st_mode & kOthers) != 0) {
        findings.attention("data", "directory", dir,
                           fmt::format("other users may enter it (mode {:04o})",
                                       info.st_mode & static_cast<mode_t>(07777)),
                           "chmod 700 " + dir);
    } else {
        findings.fine("data", "directory", dir);
    }
    return true;
}

}  // namespace

void check_data_dir(const std::string& dir, Findings& findings) {
    if (dir.empty()) {
        findings.attention("data", "directory", "", "there is no HOME, so no directory is known",
                           "name one: KLOG_DATA_DIR or --data-dir");
        return;
    }
    if (check_folder(dir, findings)) {
        add_sizes(measure(dir), findings);
        check_segments(dir, findings);
    }
    check_disk(existing_parent(dir), findings);
}

void check_system(Findings& findings) {
    struct rlimit limit = {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;  // a system that does not say has none
    const std::uint64_t most = limit.rlim_max;
    const std::string value =
        limit.rlim_max == RLIM_INFINITY ? "no limit" : fmt::format("{}", most);
    if (most < kDescriptorsMin) {
        findings.attention("limits", "open_files", value,
                           "a daemon started from here can serve fewer connections than that",
                           "raise the hard limit: ulimit -Hn, or LimitNOFILE= of its service",
                           most);
    } else {
        findings.fine("limits", "open_files", value, most);
    }
}

}  // namespace klog::cli
