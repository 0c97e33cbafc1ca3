// Stands in a log's set for a segment that cannot be read.
#ifndef KLOG_SEGMENT_MISSING_SEGMENT_H
#define KLOG_SEGMENT_MISSING_SEGMENT_H

#include <memory>
#include <string>

#include "segment/segment_reader.h"

namespace klog {

// Its stats() are what the set of segments says, it has no blocks, and whatever it is asked it
// answers `error`: a reader that needs to know anything of these seqs fails instead of passing
// over them.
[[nodiscard]] std::shared_ptr<SegmentReader> make_missing_segment(std::string path,
                                                                  const SegmentEntry& entry,
                                                                  Error error);

}  // namespace klog

#endif  // KLOG_SEGMENT_MISSING_SEGMENT_H
