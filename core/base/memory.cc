#include "base/memory.h"

#include <malloc.h>

namespace klog {

void give_memory_back() {
#ifdef __GLIBC__
    static_cast<void>(malloc_trim(0));
#endif
}

}  // namespace klog
