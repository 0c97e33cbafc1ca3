// Whether what a write expects of its entity holds, and what is said where it does not.
#ifndef KLOG_LOG_EXPECTATION_H
#define KLOG_LOG_EXPECTATION_H

#include "index/runs.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

[[nodiscard]] bool holds(const Expect& expect, const HeadEntry& head);
[[nodiscard]] Error conflict_error(const Expect& expect, const HeadEntry& head);
[[nodiscard]] Error closed_error();

}  // namespace klog

#endif  // KLOG_LOG_EXPECTATION_H
