// For a deep look at a data directory: whether the heads that a run holds are those of the log.
#ifndef KLOG_LOG_VERIFY_HEADS_H
#define KLOG_LOG_VERIFY_HEADS_H

#include <cstdint>
#include <string>

#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "log/verify_versions.h"

namespace klog {

// `versions` has seen the whole log: see VersionVerifier::whole. Errors: corrupt (the first head
// that contradicts the log, or how many the run lacks), not_found (it was merged away), io.
[[nodiscard]] Status verify_heads(Env& env, const std::string& path, std::uint64_t number,
                                  LogId log, const VersionVerifier& versions);

}  // namespace klog

#endif  // KLOG_LOG_VERIFY_HEADS_H
