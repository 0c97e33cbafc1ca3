// How the kernel shares processors among threads that wait more than they work.
#ifndef KLOG_DAEMON_SHORT_TURNS_H
#define KLOG_DAEMON_SHORT_TURNS_H

namespace klog {

// Asks for short turns on a processor, for the calling thread. A thread that serves requests runs
// for some microseconds and waits again; with the usual turns of some milliseconds, Linux from 6.6
// on lets it wait behind whoever computes, and a sync that is over is noticed late. Its share of
// the processor stays the same. Older kernels, and sandboxes that forbid the call, leave all as it
// was.
void ask_for_short_turns();

// Takes a smaller share of the processor for the calling thread than the threads that serve have: a
// fifth of it where both want all. For work that can wait, and must not wait for ever.
void yield_to_others();

}  // namespace klog

#endif  // KLOG_DAEMON_SHORT_TURNS_H
