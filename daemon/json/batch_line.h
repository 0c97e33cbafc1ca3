// The lines of an atomic batch: envelopes, guards, acks.
#ifndef KLOG_DAEMON_JSON_BATCH_LINE_H
#define KLOG_DAEMON_JSON_BATCH_LINE_H

#include <cstddef>
#include <cstdint>

#include "klog/result.h"
#include "klog/write.h"

namespace klog::json {

// One line, into a record, a guard or an ack at the end of the batch:
//   an envelope
//   {"guard":{"space":S,"key":K,"expect":E}}
//   {"guard":{"none":[F…],"not":[F…],"after":N}}
//   {"ack":{"consumer":C,"seq":N,"lease":L,"result":…}}, of which the last two may be left out
// Views point into the line, which may be changed in place, or are kept by the batch; `line` of
// what was added is set. Errors, which add nothing: as parse_envelope; bad_filter.
// Precondition: batch.atomic is there.
Status parse_batch_line(char* text, std::size_t size, std::size_t value_bytes_max,
                        WriteBatch& batch, std::uint64_t line);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_BATCH_LINE_H
