// The threads that serve connections: they wait on one epoll and run strands.
//
// Asio's scheduler wakes a second thread for each event that a thread takes, so that somebody waits
// while a handler runs. Here all threads wait in the kernel, which wakes one of them for an event,
// and the thread that took it runs the strand itself: reading, committing and answering one record
// needs no wake-up in between. See core/README.md, "What a record costs".
#ifndef KLOG_DAEMON_HTTP_IO_LOOP_H
#define KLOG_DAEMON_HTTP_IO_LOOP_H

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "klog/result.h"

namespace klog::http {

class IoLoop;

// What runs one piece of work at a time, on whichever io thread is free. Until begin() whoever made
// it has it for himself; what is posted meanwhile waits.
class Strand : public std::enable_shared_from_this<Strand> {
public:
    explicit Strand(IoLoop& loop) : loop_(loop) {}
    virtual ~Strand() = default;
    Strand(const Strand&) = delete;
    Strand& operator=(const Strand&) = delete;

    // From any thread, within any lock that no work takes: runs later, in the order of the calls.
    // Without memory for it std::bad_alloc comes out, and nothing has changed.
    void post(std::function<void()> work) KLOG_EXCLUDES(mutex_);
    // The same, but where others wait for a thread they go first: see IoLoop::kEarlyInARowMax.
    void post_late(std::function<void()> work) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool running_in_this_thread() const;

protected:
    // On the strand. What may throw has to be caught within.
    virtual void run(const std::function<void()>& work) = 0;
    virtual void on_events(std::uint32_t epoll_events) = 0;
    void begin() noexcept KLOG_EXCLUDES(mutex_);
    // From any thread: on_events() runs later. Takes no memory.
    void add_event(std::uint32_t event) noexcept KLOG_EXCLUDES(mutex_);
    // What waits, and what is still posted, never runs.
    void drop() KLOG_EXCLUDES(mutex_);
    [[nodiscard]] IoLoop& loop() const { return loop_; }

private:
    friend class IoLoop;
    // True: nobody runs this strand, so it has to be queued.
    [[nodiscard]] bool add_work(std::function<void()> work) KLOG_EXCLUDES(mutex_);
    // True: nobody runs this strand, so the caller has to.
    [[nodiscard]] bool add_events(std::uint32_t epoll_events) KLOG_EXCLUDES(mutex_);
    // Runs what waits. Only for who was told to.
    void run_waiting() KLOG_EXCLUDES(mutex_);

    IoLoop& loop_;
    std::shared_ptr<Strand> behind_;  // in the loop's queue, guarded by the loop's mutex
    Mutex mutex_;
    std::vector<std::function<void()>> work_ KLOG_GUARDED_BY(mutex_);
    std::uint32_t events_ KLOG_GUARDED_BY(mutex_) = 0;
    bool scheduled_ KLOG_GUARDED_BY(mutex_) = true;  // queued, or run by somebody
    bool dropped_ KLOG_GUARDED_BY(mutex_) = false;
};

// Any thread may call anything here.
class IoLoop {
public:
    // Names a watched descriptor. A number is used again only after 2^32 others.
    struct Watch {
        std::uint32_t slot = 0;
        std::uint32_t generation = 0;  // 0: none
    };

    IoLoop();
    ~IoLoop();  // the threads must have been stopped
    IoLoop(const IoLoop&) = delete;
    IoLoop& operator=(const IoLoop&) = delete;

    // Code::io where the kernel gave no epoll, which only start() tells.
    Status start(unsigned threads);
    // Returns when no thread runs any more. What waits is dropped.
    void stop();

    // Holds the strand until unwatch(). Nothing is waited for yet. Errors: io.
    Result<Watch> watch(int fd, std::shared_ptr<Strand> strand) KLOG_EXCLUDES(mutex_);
    // Once: the strand gets on_events() when one of these comes true (EPOLLIN, EPOLLOUT).
    void arm(Watch watch, int fd, std::uint32_t epoll_events) const;
    // Before fd is closed.
    void unwatch(Watch watch, int fd) KLOG_EXCLUDES(mutex_);

    // News for ten thousand readers must not hold up who writes: strands that were posted late wait
    // while others do, but one of them goes after so many others, and one thread at a time runs
    // them.
    static constexpr int kEarlyInARowMax = 8;

    // True if work for another strand waits for the calling thread to return. It should soon.
    [[nodiscard]] static bool others_wait();

private:
    friend class Strand;
    struct Slot {
        std::shared_ptr<Strand> strand;
        std::uint32_t generation = 1;
    };

    // Strands that wait for a thread. One stands in a queue once at most, so they are linked to
    // each other: to queue one takes no memory, and so cannot fail when its work was taken already.
    struct Queue {
        std::shared_ptr<Strand> first;
        Strand* last = nullptr;
        void push(std::shared_ptr<Strand> strand) noexcept;
        [[nodiscard]] std::shared_ptr<Strand> pop() noexcept;
    };

    void enqueue(std::shared_ptr<Strand> strand, bool late = false) noexcept KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool may_run_late() const KLOG_REQUIRES(mutex_) {
        return late_.first && !late_runs_;
    }
    // late: it came from there, so late_ended() has to be told.
    [[nodiscard]] std::shared_ptr<Strand> pop(bool& late) KLOG_REQUIRES(mutex_);
    void late_ended() KLOG_EXCLUDES(mutex_);
    // Of the next strand in the queues; false where there is none for this thread.
    bool run_queued() KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::shared_ptr<Strand> owner(Watch watch) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] bool look(epoll_event& event);
    void wait_for_event() KLOG_EXCLUDES(mutex_);
    // Runs the strand that the event is for.
    void take(const epoll_event& event) KLOG_EXCLUDES(mutex_);
    void run() KLOG_EXCLUDES(mutex_);
    void wake_one() const;

    int epoll_ = -1;
    int wake_ = -1;  // an eventfd
    std::atomic<bool> stopping_{false};
    std::atomic<bool> looking_{false};   // a thread looks before it sleeps
    std::atomic<unsigned> idle_{0};      // threads that sleep, or are about to
    std::atomic<std::size_t> depth_{0};  // what threads may take, to look at without the lock
    Mutex mutex_;
    Queue early_ KLOG_GUARDED_BY(mutex_);
    Queue late_ KLOG_GUARDED_BY(mutex_);
    int early_in_a_row_ KLOG_GUARDED_BY(mutex_) = 0;
    bool late_runs_ KLOG_GUARDED_BY(mutex_) = false;
    std::vector<Slot> slots_ KLOG_GUARDED_BY(mutex_);
    std::vector<std::uint32_t> free_slots_ KLOG_GUARDED_BY(mutex_);
    std::vector<std::jthread> threads_;
};

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_IO_LOOP_H
