// What lies in a data directory, by its names alone.
#ifndef KLOG_LOG_VERIFY_NAMES_H
#define KLOG_LOG_VERIFY_NAMES_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "klog/verify.h"

namespace klog {

inline constexpr std::string_view kKeyIndexName = "keys.db";

struct ListedFile {
    std::string name;  // relative to the data directory
    FileKind kind = FileKind::unknown;
    std::uint64_t number = 0;  // of a WAL file, a run, the index of a WAL file, a segment
    LogId log = LogId::default_log;
    std::uint64_t size = 0;
};
using FileList = std::vector<ListedFile>;

// All append what they find; a folder that is missing holds nothing. Errors: io, not_allowed.

// But for the folders that the others look into.
Status list_top(Env& env, const std::string& dir, FileList& list);
Status list_index(Env& env, const std::string& dir, FileList& list);
// Segments and the manifest.
Status list_segments(Env& env, const std::string& dir, FileList& list);
// But for the clean marker.
Status list_wal(Env& env, const std::string& dir, FileList& list);

}  // namespace klog

#endif  // KLOG_LOG_VERIFY_NAMES_H
