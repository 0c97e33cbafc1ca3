#include "daemon/http/io_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "daemon/short_turns.h"

namespace klog::http {
namespace {

// The eventfd's name among the events; slots stay far below it.
constexpr std::uint64_t kWakeName = ~std::uint64_t{0};
// Strands that a thread runs from the queue before it looks for events again.
constexpr int kQueuedInARowMax = 16;
// Rounds of a strand before others get the thread.
constexpr int kRoundsMax = 16;
constexpr int kForever = -1;
// Before a thread goes to sleep it looks for so long whether something comes: being woken costs
// more than that, on virtual machines above all. Where it looked in vain it looks less often, at
// the least each 2^kLookRarestShift times, so that a daemon with little to do does not burn a
// processor.
constexpr std::chrono::microseconds kLookFor{50};
constexpr unsigned kLookRarestShift = 6;

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): one of each a thread
thread_local const Strand* running_strand = nullptr;
thread_local const IoLoop* thread_loop = nullptr;
// Strands that were queued by this thread for itself, without waking another.
thread_local bool left_to_this_thread = false;
thread_local unsigned looked_in_vain = 0;  // in a row
thread_local unsigned looks_to_skip = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

std::uint64_t name_of(IoLoop::Watch watch) {
    return (std::uint64_t{watch.generation} << 32U) | watch.slot;
}

}  // namespace

bool Strand::add_work(std::function<void()> work) {
    const MutexLock lock(mutex_);
    if (dropped_) return false;  // work ends with the call, outside the lock
    work_.push_back(std::move(work));
    return !std::exchange(scheduled_, true);
}

void Strand::post(std::function<void()> work) {
    if (add_work(std::move(work))) loop_.enqueue(shared_from_this());
}

void Strand::post_late(std::function<void()> work) {
    if (add_work(std::move(work))) loop_.enqueue(shared_from_this(), true);
}

void Strand::add_event(std::uint32_t event) noexcept {
    if (add_events(event)) loop_.enqueue(shared_from_this());
}

void Strand::begin() noexcept {
    {
        const MutexLock lock(mutex_);
        scheduled_ = !work_.empty() || events_ != 0;
        if (!scheduled_) return;
    }
    loop_.enqueue(shared_from_this());
}

bool Strand::running_in_this_thread() const { return running_strand == this; }

bool Strand::add_events(std::uint32_t epoll_events) {
    const MutexLock lock(mutex_);
    events_ |= epoll_events;
    return !std::exchange(scheduled_, true);
}

void Strand::drop() {
    std::vector<std::function<void()>> work;  // ends outside the lock: it may hold this strand
    const MutexLock lock(mutex_);
    dropped_ = true;
    work.swap(work_);
}

void Strand::run_waiting() {
    running_strand = this;
    for (int round = 0;; ++round) {
        std::vector<std::function<void()>> work;
        std::uint32_t events = 0;
        {
            const MutexLock lock(mutex_);
            if (work_.empty() && events_ == 0) {
                scheduled_ = false;
                running_strand = nullptr;
                return;
            }
            if (round == kRoundsMax || IoLoop::others_wait()) break;
            work.swap(work_);
            events = std::exchange(events_, 0);
        }
        if (events != 0) on_events(events);
        for (const auto& piece : work) run(piece);
    }
    running_strand = nullptr;
    loop_.enqueue(shared_from_this());
}

IoLoop::IoLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (epoll_ < 0 || wake_ < 0) return;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = kWakeName;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0) return;
    ::close(wake_);
    wake_ = -1;
}

IoLoop::~IoLoop() {
    KLOG_ASSERT(threads_.empty());
    if (epoll_ >= 0) ::close(epoll_);
    if (wake_ >= 0) ::close(wake_);
}

Status IoLoop::start(unsigned threads) {
    if (epoll_ < 0 || wake_ < 0) return Error{Code::io, "cannot make an epoll", "ulimit -n"};
    try {
        while (threads_.size() < threads) {
            threads_.emplace_back([this] { run(); });
        }
    } catch (const std::system_error& error) {
        return Error{Code::io, std::string("cannot start a thread: ") + error.what(), ""};
    }
    return {};
}

void IoLoop::stop() {
    stopping_ = true;
    wake_one();
    threads_.clear();
    std::vector<std::shared_ptr<Strand>> left;  // end outside the lock
    {
        const MutexLock lock(mutex_);
        for (Queue* queue : {&early_, &late_}) {
            while (queue->first) left.push_back(queue->pop());
        }
        for (Slot& slot : slots_) {
            if (slot.strand) left.push_back(std::move(slot.strand));
        }
    }
    for (const auto& strand : left) strand->drop();
}

Result<IoLoop::Watch> IoLoop::watch(int fd, std::shared_ptr<Strand> strand) {
    Watch watch;
    {
        const MutexLock lock(mutex_);
        if (free_slots_.empty()) {
            watch.slot = static_cast<std::uint32_t>(slots_.size());
            slots_.emplace_back();
            if (free_slots_.capacity() < slots_.size()) free_slots_.reserve(slots_.capacity());
        } else {
            watch.slot = free_slots_.back();
            free_slots_.pop_back();
        }
        watch.generation = slots_[watch.slot].generation;
        slots_[watch.slot].strand = std::move(strand);
    }
    epoll_event event{};
    event.events = EPOLLONESHOT;
    event.data.u64 = name_of(watch);
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) return watch;
    const int error = errno;
    unwatch(watch, -1);
    return Error{Code::io, "epoll: " + std::generic_category().message(error), ""};
}

void IoLoop::arm(Watch watch, int fd, std::uint32_t epoll_events) const {
    epoll_event event{};
    event.events = epoll_events | EPOLLONESHOT;
    event.data.u64 = name_of(watch);
    const int changed = ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
    KLOG_ASSERT(changed == 0);  // a descriptor that is watched and open can always be armed
}

void IoLoop::unwatch(Watch watch, int fd) {
    if (fd >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    std::shared_ptr<Strand> strand;  // ends outside the lock
    const MutexLock lock(mutex_);
    if (watch.slot >= slots_.size()) return;
    Slot& slot = slots_[watch.slot];
    if (slot.generation != watch.generation) return;
    strand = std::move(slot.strand);  // free_slots_ has room for each of slots_
    if (++slot.generation == 0) slot.generation = 1;
    free_slots_.push_back(watch.slot);
}

std::shared_ptr<Strand> IoLoop::owner(Watch watch) {
    const MutexLock lock(mutex_);
    if (watch.slot >= slots_.size()) return nullptr;
    const Slot& slot = slots_[watch.slot];
    return slot.generation == watch.generation ? slot.strand : nullptr;
}

bool IoLoop::others_wait() { return left_to_this_thread; }

// An io thread that queues one strand takes it itself, as soon as it returns: that is sooner than
// another thread would wake up. What comes on top is for others.
void IoLoop::enqueue(std::shared_ptr<Strand> strand, bool late) noexcept {
    bool news = true;
    {
        const MutexLock lock(mutex_);
        if (!stopping_) {
            // Of the late ones there is never more than one to take.
            news = !late || (!late_.first && !late_runs_);
            if (news) ++depth_;
            (late ? late_ : early_).push(std::move(strand));
            strand.reset();
        }
    }
    if (strand) {
        strand->drop();
        return;
    }
    if (!news) return;
    if (thread_loop == this && !left_to_this_thread) {
        left_to_this_thread = true;
    } else if (!looking_ && idle_ > 0) {
        wake_one();
    }
}

void IoLoop::Queue::push(std::shared_ptr<Strand> strand) noexcept {
    Strand* const newest = strand.get();
    (last == nullptr ? first : last->behind_) = std::move(strand);
    last = newest;
}

std::shared_ptr<Strand> IoLoop::Queue::pop() noexcept {
    std::shared_ptr<Strand> strand = std::move(first);
    first = std::move(strand->behind_);
    if (!first) last = nullptr;
    return strand;
}

std::shared_ptr<Strand> IoLoop::pop(bool& late) {
    late = may_run_late() && (!early_.first || early_in_a_row_ >= kEarlyInARowMax);
    if (!late && !early_.first) return nullptr;
    --depth_;
    late_runs_ = late_runs_ || late;
    early_in_a_row_ = late ? 0 : early_in_a_row_ + 1;
    return (late ? late_ : early_).pop();
}

void IoLoop::late_ended() {
    const MutexLock lock(mutex_);
    late_runs_ = false;
    if (late_.first) ++depth_;
}

bool IoLoop::run_queued() {
    left_to_this_thread = false;
    if (depth_ == 0) return false;
    bool late = false;
    std::shared_ptr<Strand> strand;
    {
        const MutexLock lock(mutex_);
        strand = pop(late);
    }
    if (!strand) return false;
    // Two calls may have woken only one thread.
    if (depth_ > 0 && idle_ > 0) wake_one();
    strand->run_waiting();
    // This thread looks for the next one itself.
    if (late) late_ended();
    return true;
}

void IoLoop::wake_one() const {
    if (wake_ < 0) return;  // it was never started, which start() told
    // It can only fail where the counter is full, and then somebody is being woken anyway.
    const int added = ::eventfd_write(wake_, 1);
    KLOG_ASSERT(added == 0 || errno == EAGAIN);
}

// True: an event came, or something was queued.
bool IoLoop::look(epoll_event& event) {
    if (looks_to_skip > 0) {
        --looks_to_skip;
        return false;
    }
    if (looking_.exchange(true)) return false;  // one thread is enough
    const auto until = std::chrono::steady_clock::now() + kLookFor;
    bool found = false;
    do {
        found = ::epoll_wait(epoll_, &event, 1, 0) == 1 || depth_ > 0 || stopping_;
        if (!found) std::this_thread::yield();
    } while (!found && std::chrono::steady_clock::now() < until);
    looking_ = false;
    looked_in_vain = found ? 0 : std::min(looked_in_vain + 1, kLookRarestShift);
    looks_to_skip = (1U << looked_in_vain) - 1;
    return found;
}

// Takes one event at a time: a strand may commit, and what lay behind it would wait that long.
void IoLoop::wait_for_event() {
    epoll_event event{};
    if (!look(event)) {
        // Whoever queues looks at looking_ and idle_ after depth_ was set, so one sees the other.
        ++idle_;
        if (depth_ == 0 && !stopping_) ::epoll_wait(epoll_, &event, 1, kForever);
        --idle_;
    }
    take(event);
}

void IoLoop::take(const epoll_event& event) {
    if (event.events == 0 || event.data.u64 == kWakeName) return;
    const Watch watch{static_cast<std::uint32_t>(event.data.u64),
                      static_cast<std::uint32_t>(event.data.u64 >> 32U)};
    // Who queued something meanwhile may have counted on this thread, which can be busy for long
    // now.
    if (depth_ > 0 && idle_ > 0) wake_one();
    const std::shared_ptr<Strand> strand = owner(watch);
    if (strand && strand->add_events(event.events)) strand->run_waiting();
}

void IoLoop::run() {
    ask_for_short_turns();
    thread_loop = this;
    int queued_in_a_row = 0;
    while (!stopping_) {
        const bool ran = run_queued();
        if (ran && ++queued_in_a_row < kQueuedInARowMax) continue;
        queued_in_a_row = 0;
        if (!ran) {
            wait_for_event();
            continue;
        }
        epoll_event event{};
        ::epoll_wait(epoll_, &event, 1, 0);
        take(event);
    }
    wake_one();  // the next thread
    thread_loop = nullptr;
}

}  // namespace klog::http
