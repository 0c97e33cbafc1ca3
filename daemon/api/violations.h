// What stands against a write, as problem documents and lines of a stream show it.
#ifndef KLOG_DAEMON_API_VIOLATIONS_H
#define KLOG_DAEMON_API_VIOLATIONS_H

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klog/log.h"

namespace klog::api {

// What only the disk knows about a violation. What is missing is not shown.
struct ViolationDetails {
    std::string last_id;             // of the newest record of the entity
    std::optional<std::string> key;  // of the record that stands against a guard
};
// One for each violation. Reads the disk; what cannot be read stays unknown.
[[nodiscard]] std::vector<ViolationDetails> violation_details(
    Log& log, std::span<const Violation> violations);

// Why one record was not written. Both, where its version and its guard stand against it; empty
// where it is neither.
[[nodiscard]] std::vector<Violation> violations_of(std::uint64_t line, const WriteRecord& record,
                                                   const WriteResult& result);

// Of a batch whose records stand on their own: by the index of a record that was refused for its
// version or its guard, one for each of violations_of.
using ConflictDetails = std::map<std::size_t, std::vector<ViolationDetails>>;
[[nodiscard]] bool has_conflict(const WriteBatch& batch);
// Of the first kConflictsMax such records. Reads the disk.
inline constexpr std::size_t kConflictsMax = 100;
[[nodiscard]] ConflictDetails conflict_details(Log& log, const WriteBatch& batch);

// "violations":[{…},…] and, where some are left out, "violations_left_out":N. Details may be fewer
// than violations.
[[nodiscard]] std::string violations_text(std::span<const Violation> violations,
                                          std::span<const ViolationDetails> details = {},
                                          std::uint64_t left_out = 0);

[[nodiscard]] std::string_view state_name(EntityState state);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_VIOLATIONS_H
