#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <system_error>

#include "cli/doctor/checks.h"
#include "cli/human.h"
#include "klog/env.h"
#include "segment/segment_set.h"
#include "segment/wal_recovery.h"

namespace klog::cli {
namespace {

namespace fs = std::filesystem;

void show_log(const SegmentSetState& set, LogId log, const char* name, Findings& findings) {
    const auto& entries = set.logs[static_cast<std::size_t>(log)];
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
    for (const SegmentEntry& entry : entries) {
        bytes += entry.file_bytes;
        records += entry.records;
    }
    std::string value = counted(entries.size(), "segment") + ", " + human_bytes(bytes);
    if (!entries.empty()) {
        value += fmt::format(", {} up to seq {}", counted(records, "record"),
                             entries.back().covered.last.value);
    }
    findings.fine("data", name, std::move(value), bytes);
}

// Files that are not sealed; what goes while we look was sealed.
void show_unsealed(const std::string& dir, std::uint64_t sealed_wal_id, Findings& findings) {
    std::uint64_t bytes = 0;
    std::uint64_t files = 0;
    std::error_code failure;
    for (fs::directory_iterator at(dir + "/wal", failure);
         !failure && at != fs::directory_iterator(); at.increment(failure)) {
        const auto id = wal_id_of(at->path().filename().string());
        if (!id || *id <= sealed_wal_id) continue;
        std::error_code gone;
        const std::uint64_t size = at->file_size(gone);
        if (gone) continue;
        bytes += size;
        ++files;
    }
    const std::string value =
        fmt::format("{} in {}", human_bytes(bytes), counted(files, "WAL file"));
    if (bytes >= kUnsealedBytesMax / 100 * kLimitPercentNear) {
        findings.attention(
            "data", "unsealed", value,
            "sealing is behind; past " + human_bytes(kUnsealedBytesMax) + " writers wait for it",
            kSealHint, bytes);
    } else {
        findings.fine("data", "unsealed", value, bytes);
    }
}

}  // namespace

void check_segments(const std::string& dir, Findings& findings) {
    const auto env = make_posix_env();
    const auto set = SegmentSet::open(*env, dir, "");
    if (!set.ok()) {
        findings.attention("data", "segments", "", set.error().message,
                           "klog verify --data-dir " + dir + " says what else is damaged");
        return;
    }
    const auto state = set.value()->state();
    if (!state->logs[0].empty()) {
        show_log(*state, LogId::system, "system_log", findings);
    }
    show_log(*state, LogId::default_log, "segments", findings);
    show_unsealed(dir, state->sealed.wal_id, findings);
}

}  // namespace klog::cli
