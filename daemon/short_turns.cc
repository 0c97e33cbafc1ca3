#include "daemon/short_turns.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace klog {
namespace {

// nice(2): each step is a fifth less.
constexpr int kYieldingNice = 7;

// The shortest that the kernel takes.
constexpr std::uint64_t kTurnNanoseconds = 100'000;

// struct sched_attr of sched_setattr(2), which glibc does not declare.
struct SchedAttributes {
    std::uint32_t size = sizeof(SchedAttributes);
    std::uint32_t policy = 0;  // SCHED_OTHER
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0;  // with SCHED_OTHER, the length of a turn
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
    std::uint32_t util_min = 0;
    std::uint32_t util_max = 0;
};

}  // namespace

void ask_for_short_turns() {
    SchedAttributes attributes;
    // A daemon that was started with nice(1), or in another class, stays as it is.
    if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
    if (attributes.policy != 0) return;
    attributes.size = sizeof attributes;
    attributes.flags = 0;
    attributes.runtime = kTurnNanoseconds;
    // A wish: where it is refused nothing is lost but time.
    static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0));
}

void yield_to_others() {
    // On Linux a thread has a priority of its own. A wish, too.
    static_cast<void>(
        ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kYieldingNice));
}

}  // namespace klog
