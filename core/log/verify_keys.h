// For a deep look at a data directory: whether the key index lists the keys of the log, no more and
// no fewer.
#ifndef KLOG_LOG_VERIFY_KEYS_H
#define KLOG_LOG_VERIFY_KEYS_H

#include <string>

#include "base/siphash.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "log/verify_versions.h"

namespace klog {

// `versions` has seen the whole log: see VersionVerifier::whole. Reads the key index at `path`
// again, which nobody may write meanwhile. upto: its watermark; a key whose newest record lies
// behind it may stand in it or not. Errors: corrupt (a key that the log does not have, or how many
// the index lacks), not_found, locked, io.
[[nodiscard]] Status verify_keys(Env& env, const std::string& path, LogId log, const HashKey& key,
                                 Seq upto, const VersionVerifier& versions);

}  // namespace klog

#endif  // KLOG_LOG_VERIFY_KEYS_H
