// What readers are told where a read-only store has a hole.
#ifndef KLOG_LOG_HOLES_H
#define KLOG_LOG_HOLES_H

#include "klog/log.h"

namespace klog {

// Names the seqs, the file and what to do.
[[nodiscard]] Error hole_error(const Hole& hole);

}  // namespace klog

#endif  // KLOG_LOG_HOLES_H
