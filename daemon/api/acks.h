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

// {"line":N,"status":S,"code":…,"detail":…} without a line feed. violations: what stands against
// it, as violations_text gives it; empty: nothing.
void append_refusal(std::string& out, std::uint64_t line, const Error& error,
                    std::string_view violations);

// Why a record was not written. Precondition: refused, unknown or stale_settings.
[[nodiscard]] Error error_of(const WriteResult& result);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_ACKS_H
