// What can be found out about an atomic batch as a whole before it is judged.
#ifndef KLOG_LOG_PREPARE_ATOMIC_H
#define KLOG_LOG_PREPARE_ATOMIC_H

#include <cstdint>

#include "base/siphash.h"
#include "klog/write.h"

namespace klog {

// Checks limits, that no id and no expected entity stands twice, and the guards; hashes the
// entities of those. Precondition: the records were prepared.
void prepare_atomic(WriteBatch& batch, const HashKey& key, std::uint64_t value_bytes_max);

}  // namespace klog

#endif  // KLOG_LOG_PREPARE_ATOMIC_H
