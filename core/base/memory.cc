#include "base/memory.h"

#include <malloc.h>

namespace klog {

void give_memory_back() {
#ifdef __GLIBC__
    static_cast<void>(malloc_trim(0));
#endif
}

void share_heaps() {
#ifdef __GLIBC__
    constexpr int kHeaps = 2;
    static_cast<void>(mallopt(M_ARENA_MAX, kHeaps));
#endif
}

}  // namespace klog
