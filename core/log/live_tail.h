// The newest durable frames of one log in memory, and who follows it.
//
// A group becomes visible here, in one step: its frames stand in the cache, the head moves, and
// followers whose filter or key matches get its records. What does not match costs a follower
// nothing. A follower that takes its records too slowly falls back to reading from the log.
//
// Threads: any; its own mutexes.
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
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/fifo.h"
#include "base/mutex.h"
#include "klog/log.h"
#include "segment/wal_format.h"
#include "topic/filter_index.h"

namespace klog {

// What the followers of a record are found by.
struct RecordLabel {
    std::string_view topic;
    std::string_view key;
    bool has_key = false;
    std::size_t bytes = 0;  // of topic and value
};

// A frame shared by the followers that it was handed to. The first of them that looks at a record
// decodes it. Its memory counts in `held` until the last of them lets go of it.
class DecodedFrame {
public:
    using Held = std::shared_ptr<std::atomic<std::size_t>>;  // bytes of all that are alive

    DecodedFrame(std::shared_ptr<const Frame> source, Held counter);
    ~DecodedFrame();
    DecodedFrame(const DecodedFrame&) = delete;
    DecodedFrame& operator=(const DecodedFrame&) = delete;

    [[nodiscard]] Seq first_seq() const { return frame_->header.first_seq; }
    // From any thread.
    [[nodiscard]] const std::vector<RecordView>& records() const;

private:
    const std::shared_ptr<const Frame> frame_;
    const Held held_;
    const std::size_t bytes_;
    mutable std::once_flag once_;
    mutable std::vector<RecordView> records_;  // written within once_
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
        std::uint32_t bytes = 0;  // of topic and value
        // The seqs of a frame that was just written have no holes.
        [[nodiscard]] Seq seq() const { return Seq{frame->first_seq().value + index}; }
        [[nodiscard]] const RecordView& record() const { return frame->records()[index]; }
    };
    struct Taken {
        std::vector<Match> matches;
        Seq read_to;
        Seq head;
        bool fell_behind = false;  // not live any more; read on from read_to
    };

    // Which followers get what of a group that is about to become visible.
    struct Matched {
        struct Hit {
            std::uint64_t follower = 0;
            std::uint32_t frame = 0;
            std::uint32_t record = 0;
            std::uint32_t bytes = 0;
        };
        std::vector<std::shared_ptr<const Frame>> frames;
        std::vector<RecordLabel> labels;
        std::vector<std::shared_ptr<const DecodedFrame>> wanted;  // of each frame; null: no hit
        std::vector<Hit> hits;                                    // in the order of the records
        std::uint64_t additions = 0;                              // followers that were known
    };
    using Wakes = std::vector<std::shared_ptr<WakeCell>>;

    explicit LiveTail(std::size_t cache_bytes_max);

    // Recovery only.
    void restore_head(Seq head) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] Seq head() const { return Seq{head_.load(std::memory_order_acquire)}; }

    // Frames of one group, in order, durable or about to be. This is the longer part of handing
    // them out, and nobody who writes or reads waits for it. The labels are those of all their
    // records, in order, and what they point to stays until publish() returns; where there are
    // none, they are read from the frames.
    [[nodiscard]] Matched match(std::vector<std::shared_ptr<const Frame>> frames,
                                std::vector<RecordLabel> labels = {}) KLOG_EXCLUDES(index_mutex_);
    // They are durable. Groups are published in order, by one thread at a time. Returns the cells
    // to run, outside any lock.
    [[nodiscard]] Wakes publish(Matched matched, Seq head) KLOG_EXCLUDES(mutex_, index_mutex_);
    [[nodiscard]] Wakes publish(std::vector<std::shared_ptr<const Frame>> frames, Seq head)
        KLOG_EXCLUDES(mutex_, index_mutex_) {
        return publish(match(std::move(frames)), head);
    }

    // The frame that holds seq, if the cache still has it.
    [[nodiscard]] std::shared_ptr<const Frame> frame_of(Seq seq) const KLOG_EXCLUDES(mutex_);

    // A follower that has read up to read_to, if that is the head or lies ahead of it: it is handed
    // what matches behind read_to. nullopt: the head is further, read on.
    [[nodiscard]] std::optional<std::uint64_t> follow(const FilterSet& set,
                                                      const std::optional<std::string>& key,
                                                      Seq read_to,
                                                      const std::shared_ptr<WakeCell>& cell)
        KLOG_EXCLUDES(mutex_, index_mutex_);
    void unfollow(std::uint64_t follower) KLOG_EXCLUDES(mutex_, index_mutex_);
    [[nodiscard]] Taken take(std::uint64_t follower, std::size_t records_max, std::size_t bytes_max)
        KLOG_EXCLUDES(mutex_);
    // True: something waits, or it fell behind.
    [[nodiscard]] bool has_news(std::uint64_t follower) KLOG_EXCLUDES(mutex_);
    [[nodiscard]] std::size_t followers() const KLOG_EXCLUDES(mutex_);
    // Whether labels are of use just now. Who comes meanwhile is found without them.
    [[nodiscard]] bool followed() const { return followed_.load(std::memory_order_relaxed); }
    // What frames that were handed out take in memory just now. Unit: bytes.
    [[nodiscard]] std::size_t held_bytes() const { return *held_; }

private:
    struct Follower {
        std::uint64_t id = 0;
        Fifo<Match> pending;
        Seq read_to;  // everything that matches up to here is taken or pending
        bool fell_behind = false;
        std::shared_ptr<WakeCell> cell;
    };
    [[nodiscard]] Matched match_now(std::vector<std::shared_ptr<const Frame>> frames,
                                    std::vector<RecordLabel> labels) KLOG_REQUIRES(index_mutex_);
    void find_hits(Matched& matched) KLOG_REQUIRES(index_mutex_);
    void cache(const std::shared_ptr<const Frame>& frame) KLOG_REQUIRES(mutex_);
    void hand_out(const Matched& matched, Wakes& wakes) KLOG_REQUIRES(mutex_);
    void drop_laggards() KLOG_REQUIRES(mutex_);
    // Null where it follows no more.
    [[nodiscard]] Follower* find(std::uint64_t id) KLOG_REQUIRES(mutex_);
    [[nodiscard]] Follower& known(std::uint64_t id) KLOG_REQUIRES(mutex_);

    const std::size_t cache_bytes_max_;
    const DecodedFrame::Held held_ = std::make_shared<std::atomic<std::size_t>>(0);
    std::atomic<std::uint64_t> head_{0};  // changed under mutex_
    mutable Mutex mutex_;
    std::deque<std::shared_ptr<const Frame>> frames_ KLOG_GUARDED_BY(mutex_);
    std::size_t cache_bytes_ KLOG_GUARDED_BY(mutex_) = 0;
    // An id's lower half is its place here, so that handing out needs no search.
    std::vector<std::unique_ptr<Follower>> followers_ KLOG_GUARDED_BY(mutex_);
    std::vector<std::uint32_t> free_places_ KLOG_GUARDED_BY(mutex_);
    std::uint32_t next_serial_ KLOG_GUARDED_BY(mutex_) = 1;

    // Within mutex_ where both are held.
    mutable Mutex index_mutex_;
    FilterIndex index_ KLOG_GUARDED_BY(index_mutex_);
    std::vector<FilterIndex::Follower> of_topic_ KLOG_GUARDED_BY(index_mutex_);
    std::vector<FilterIndex::Follower> of_key_ KLOG_GUARDED_BY(index_mutex_);
    std::atomic<bool> followed_{false};  // changed under index_mutex_
    std::uint64_t additions_ KLOG_GUARDED_BY(index_mutex_) = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_LIVE_TAIL_H
