// How the results of writes are shown: acknowledgements, refusals, conflicts.
#ifndef KLOG_DAEMON_API_ACKS_H
#define KLOG_DAEMON_API_ACKS_H

#include <cstdint>
#include <string>
#include <string_view>

#include "klog/log.h"

namespace klog::api {

// {"line":N,"status":201,"seq":S,"version":V} with its line feed. Precondition: written or
// duplicate.
void append_ack(std::string& out, std::uint64_t line, const WriteResult& result);

// {"line":N,"status":S,"code":…,"detail":…} without a line feed. record may be null where there is
// no conflict.
void append_refusal(std::string& out, std::uint64_t line, const Error& error,
                    const WriteRecord* record, const Conflict* conflict);

// "violations":[{…}] of one version conflict. last_id: empty where it is not known.
[[nodiscard]] std::string violations_text(std::uint64_t line, const WriteRecord& record,
                                          const Conflict& conflict, std::string_view last_id);

// Why a record was not written. Precondition: refused, unknown or stale_settings.
[[nodiscard]] Error error_of(const WriteResult& result);

[[nodiscard]] std::string_view state_name(EntityState state);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_ACKS_H
