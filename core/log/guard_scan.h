// The closer look at the log for guards over filters, where the topics of recent records do not
// tell.
#ifndef KLOG_LOG_GUARD_SCAN_H
#define KLOG_LOG_GUARD_SCAN_H

#include "base/siphash.h"
#include "log/frame_source.h"
#include "log/guards.h"
#include "log/segment_catalog.h"

namespace klog {

// Looks at everything up to head, which is durable, for all guards at once: what is not sealed is
// read once, and sealed segments are asked by the topics in their footers, newest first. A guard
// that cannot be looked at has an error in `unseen` afterwards: corrupt, io; batch_too_large where
// more topics would have to be compared than kGuardTopicsMax.
inline constexpr std::size_t kGuardTopicsMax = 50'000'000;
void look_closer(WriteBatch::Looked& looked, LogId log, FrameSource source,
                 const SegmentCatalog& segments, const HashKey& key, Seq head);

}  // namespace klog

#endif  // KLOG_LOG_GUARD_SCAN_H
