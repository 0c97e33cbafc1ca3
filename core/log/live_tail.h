// The newest durable frames of one log in memory, and who follows it.
//
// A group becomes visible here, in one step: its frames stand in the cache, the head moves, and
// followers whose filter or key matches get its records. What does not match costs a follower
// nothing. A follower that takes its records too slowly falls back to reading from the log.
//
// Threads: any; its own mutex.
#ifndef KLOG_LOG_LIVE_TAIL_H
#define KLOG_LOG_LIVE_TAIL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "klog/log.h"
#include "segment/wal_format.h"
#include "topic/filter_index.h"

namespace klog {

// A frame with its records decoded, shared by the followers that it was handed to. Its memory
// counts in `held` until the last of them lets go of it.
struct DecodedFrame {
    using Held = std::shared_ptr<std::atomic<std::size_t>>;  // bytes of all that are alive

    DecodedFrame(std::shared_ptr<const Frame> source, Held counter);
    ~DecodedFrame();
    DecodedFrame(const DecodedFrame&) = delete;
    DecodedFrame& operator=(const DecodedFrame&) = delete;

    const std::shared_ptr<const Frame> frame;
    std::vector<RecordView> records;

private:
    const Held held_;
    const std::size_t bytes_;
};

// What wakes a follower. When set() returns, the earlier function does not run any more, unless
// it is the one that called set().
class WakeCell {
public:
    void set(std::function<void()> wake);
    // Once: the function is gone afterwards.
    void run();

private:
    std::mutex mutex_;
    std::condition_variable ended_;
    std::function<void()> wake_;
    std::thread::id runner_;  // who is within wake_ just now
    bool again_ = false;
};

class LiveTail {
public:
    // What may wait for one follower; past it, it reads from the log instead.
    static constexpr std::size_t kPendingRecordsMax = 4096;
    // What may wait for all followers together, frames whole and counted once. Past it, those that
    // hold frames which the cache has let go of read from the log instead, so that stalled
    // followers of large records cost no more than this.
    static constexpr std::size_t kHeldBytesMax = 64U << 20U;

    struct Match {
        std::shared_ptr<const DecodedFrame> frame;
        std::uint32_t index = 0;
        [[nodiscard]] const RecordView& record() const { return frame->records[index]; }
    };
    struct Taken {
        std::vector<Match> matches;
        Seq read_to;
        Seq head;
        bool fell_behind = false;  // not live any more; read on from read_to
    };

    explicit LiveTail(std::size_t cache_bytes_max);

    // Recovery only.
    void restore_head(Seq head) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] Seq head() const KLOG_EXCLUDES(mutex_);

    // Frames of one durable group, in order. Returns the cells to run, outside any lock.
    [[nodiscard]] std::vector<std::shared_ptr<WakeCell>> publish(
        const std::vector<std::shared_ptr<const Frame>>& frames, Seq head) KLOG_EXCLUDES(mutex_);

    // The frame that holds seq, if the cache still has it.
    [[nodiscard]] std::shared_ptr<const Frame> frame_of(Seq seq) const KLOG_EXCLUDES(mutex_);

    // A follower that has read up to read_to, if that is the head: from here on it is handed what
    // matches. nullopt: the head is further, read on.
    [[nodiscard]] std::optional<std::uint64_t> follow(const FilterSet& set,
                                                      const std::optional<std::string>& key,
                                                      Seq read_to,
                                                      const std::shared_ptr<WakeCell>& cell)
        KLOG_EXCLUDES(mutex_);
    void unfollow(std::uint64_t follower) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] Taken take(std::uint64_t follower, std::size_t records_max, std::size_t bytes_max)
        KLOG_EXCLUDES(mutex_);
    // True: something waits, or it fell behind.
    [[nodiscard]] bool has_news(std::uint64_t follower) const KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::size_t followers() const KLOG_EXCLUDES(mutex_);
    // What frames that were handed out take in memory just now. Unit: bytes.
    [[nodiscard]] std::size_t held_bytes() const { return *held_; }

private:
    struct Follower {
        std::deque<Match> pending;
        Seq read_to;  // everything that matches up to here is taken or pending
        bool fell_behind = false;
        std::shared_ptr<WakeCell> cell;
    };
    void cache(const std::shared_ptr<const Frame>& frame) KLOG_REQUIRES(mutex_);
    void hand_out(const std::shared_ptr<const Frame>& frame,
                  std::vector<std::shared_ptr<WakeCell>>& wakes) KLOG_REQUIRES(mutex_);
    void drop_laggards() KLOG_REQUIRES(mutex_);

    const std::size_t cache_bytes_max_;
    const DecodedFrame::Held held_ = std::make_shared<std::atomic<std::size_t>>(0);
    mutable Mutex mutex_;
    std::deque<std::shared_ptr<const Frame>> frames_ KLOG_GUARDED_BY(mutex_);
    std::size_t cache_bytes_ KLOG_GUARDED_BY(mutex_) = 0;
    Seq head_ KLOG_GUARDED_BY(mutex_);
    FilterIndex index_ KLOG_GUARDED_BY(mutex_);
    std::unordered_map<std::uint64_t, Follower> followers_ KLOG_GUARDED_BY(mutex_);
    std::uint64_t next_follower_ KLOG_GUARDED_BY(mutex_) = 1;
    std::vector<FilterIndex::Follower> found_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog

#endif  // KLOG_LOG_LIVE_TAIL_H
