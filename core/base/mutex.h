// A mutex that clang's thread-safety analysis understands (-Wthread-safety).
#ifndef KLOG_BASE_MUTEX_H
#define KLOG_BASE_MUTEX_H

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define KLOG_TSA(x) __attribute__((x))
#else
#define KLOG_TSA(x)
#endif

#define KLOG_CAPABILITY(x) KLOG_TSA(capability(x))
#define KLOG_SCOPED_CAPABILITY KLOG_TSA(scoped_lockable)
#define KLOG_GUARDED_BY(x) KLOG_TSA(guarded_by(x))
#define KLOG_PT_GUARDED_BY(x) KLOG_TSA(pt_guarded_by(x))
#define KLOG_REQUIRES(...) KLOG_TSA(requires_capability(__VA_ARGS__))
#define KLOG_ACQUIRE(...) KLOG_TSA(acquire_capability(__VA_ARGS__))
#define KLOG_RELEASE(...) KLOG_TSA(release_capability(__VA_ARGS__))
#define KLOG_TRY_ACQUIRE(...) KLOG_TSA(try_acquire_capability(__VA_ARGS__))
#define KLOG_EXCLUDES(...) KLOG_TSA(locks_excluded(__VA_ARGS__))
#define KLOG_NO_ANALYSIS KLOG_TSA(no_thread_safety_analysis)

namespace klog {

class KLOG_CAPABILITY("mutex") Mutex {
public:
    void lock() KLOG_ACQUIRE() { mutex_.lock(); }
    void unlock() KLOG_RELEASE() { mutex_.unlock(); }
    bool try_lock() KLOG_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
    [[nodiscard]] std::mutex& native() { return mutex_; }

private:
    std::mutex mutex_;
};

class KLOG_SCOPED_CAPABILITY MutexLock {
public:
    explicit MutexLock(Mutex& mutex) KLOG_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() KLOG_RELEASE() { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& mutex_;
};

}  // namespace klog

#endif  // KLOG_BASE_MUTEX_H
