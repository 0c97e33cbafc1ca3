// Runs of the key index: listing them together, and merging them.
//
// Threads: one at a time.
#ifndef KLOG_INDEX_KEY_INDEX_RUNS_H
#define KLOG_INDEX_KEY_INDEX_RUNS_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/key_index_tables.h"

namespace klog::key_index_db {

// The first string, byte by byte, behind all that start with prefix; empty: there is none. It
// need not be UTF-8: SQLite compares bytes.
[[nodiscard]] std::string prefix_end(std::string_view prefix);

// In byte order, without repeats. Precondition: in one look() or transact().
[[nodiscard]] Result<std::vector<std::string>> list_keys(Database& database, std::string_view space,
                                                         std::string_view prefix,
                                                         std::string_view after, std::size_t limit);

// As many runs of one level become one of the next. Of a level at most this many wait, and as
// many again are being merged.
inline constexpr std::size_t kFanIn = 8;

// What one step of a merge did.
struct MergeStep {
    std::uint64_t keys = 0;  // taken from runs; 0: there was nothing to merge
    bool finished = false;   // a merge came to its end
};
// Moves about `keys_max` keys from runs to the one that they are merged into, in one transaction:
// in between each key stands in one of them. Lower levels come first.
[[nodiscard]] Result<MergeStep> merge_step(Database& database, std::uint64_t keys_max);

}  // namespace klog::key_index_db

#endif  // KLOG_INDEX_KEY_INDEX_RUNS_H
