// What the allocator keeps for later, given back to the operating system.
#ifndef KLOG_BASE_MEMORY_H
#define KLOG_BASE_MEMORY_H

namespace klog {

// After work that needed much memory for a short time. Takes some milliseconds, during which other
// threads may wait for memory. Does nothing where the C library has no such call.
void give_memory_back();

}  // namespace klog

#endif  // KLOG_BASE_MEMORY_H
