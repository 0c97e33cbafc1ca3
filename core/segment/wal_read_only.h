// A WAL of which nothing is written: what a crash left is judged as a start judges it, and served
// where it lies.
#ifndef KLOG_SEGMENT_WAL_READ_ONLY_H
#define KLOG_SEGMENT_WAL_READ_ONLY_H

#include "segment/wal.h"

namespace klog {

// Wal::open for WalOptions::read_only.
[[nodiscard]] Result<Wal::Opened> open_wal_read_only(Env& env, const WalOptions& options,
                                                     const SegmentSetState& set);

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_READ_ONLY_H
