#include "log/live_tail.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "segment/record_codec.h"

namespace klog {
namespace {

// What a cached frame costs beside its bytes, about.
constexpr std::size_t kFrameOverheadBytes = 256;

std::shared_ptr<const DecodedFrame> decode(const std::shared_ptr<const Frame>& frame,
                                           const DecodedFrame::Held& held) {
    auto decoded = std::make_shared<DecodedFrame>(frame, held);
    decoded->records.reserve(frame->header.count);
    RecordDecoder decoder(frame->payload(), frame->header.first_seq, frame->header.base_time,
                          frame->header.count);
    RecordView record;
    for (;;) {
        Result<bool> more = decoder.next(record);
        // This process encoded the frame itself a moment ago.
        KLOG_ASSERT(more.ok());
        if (!*more) return decoded;
        decoded->records.push_back(record);
    }
}

}  // namespace

DecodedFrame::DecodedFrame(std::shared_ptr<const Frame> source, Held counter)
    : frame(std::move(source)),
      held_(std::move(counter)),
      bytes_(frame->bytes.capacity() + frame->header.count * sizeof(RecordView)) {
    *held_ += bytes_;
}

DecodedFrame::~DecodedFrame() { *held_ -= bytes_; }

void WakeCell::set(std::function<void()> wake) {
    std::unique_lock lock(mutex_);
    const std::thread::id self = std::this_thread::get_id();
    ended_.wait(lock, [&] { return runner_ == std::thread::id{} || runner_ == self; });
    wake_ = std::move(wake);
}

void WakeCell::run() {
    std::unique_lock lock(mutex_);
    const std::thread::id self = std::this_thread::get_id();
    if (runner_ == self) {  // called from within the function: run the new one when that returns
        again_ = true;
        return;
    }
    ended_.wait(lock, [&] { return runner_ == std::thread::id{}; });
    runner_ = self;
    do {
        again_ = false;
        const std::function<void()> wake = std::exchange(wake_, nullptr);
        if (!wake) break;
        lock.unlock();
        wake();  // may call set(), so no lock is held
        lock.lock();
    } while (again_);
    runner_ = std::thread::id{};
    ended_.notify_all();
}

LiveTail::LiveTail(std::size_t cache_bytes_max) : cache_bytes_max_(cache_bytes_max) {}

void LiveTail::restore_head(Seq head) {
    MutexLock lock(mutex_);
    head_ = head;
}

Seq LiveTail::head() const {
    MutexLock lock(mutex_);
    return head_;
}

void LiveTail::cache(const std::shared_ptr<const Frame>& frame) {
    frames_.push_back(frame);
    cache_bytes_ += frame->bytes.capacity() + kFrameOverheadBytes;
    while (cache_bytes_ > cache_bytes_max_ && frames_.size() > 1) {
        cache_bytes_ -= frames_.front()->bytes.capacity() + kFrameOverheadBytes;
        frames_.pop_front();
    }
}

void LiveTail::hand_out(const std::shared_ptr<const Frame>& frame,
                        std::vector<std::shared_ptr<WakeCell>>& wakes) {
    const std::shared_ptr<const DecodedFrame> decoded = decode(frame, held_);
    for (std::uint32_t i = 0; i < decoded->records.size(); ++i) {
        const RecordView& record = decoded->records[i];
        found_.clear();
        index_.find(record.topic, record.has_key, record.key, found_);
        for (const FilterIndex::Follower id : found_) {
            Follower& follower = followers_.at(id);
            if (follower.fell_behind) continue;
            if (follower.pending.empty()) wakes.push_back(follower.cell);
            if (follower.pending.size() >= kPendingRecordsMax) {
                // It goes on from behind what it holds by reading the log.
                follower.read_to = follower.pending.back().record().seq;
                follower.fell_behind = true;
                continue;
            }
            follower.pending.push_back(Match{decoded, i});
        }
    }
}

// Each goes on by reading the log, from behind what it has taken.
void LiveTail::drop_laggards() {
    const Seq oldest = frames_.front()->header.first_seq;
    for (auto& [id, follower] : followers_) {
        if (follower.pending.empty()) continue;
        const Seq next = follower.pending.front().record().seq;
        if (next >= oldest) continue;
        follower.pending.clear();
        follower.read_to = Seq{next.value - 1};
        follower.fell_behind = true;
    }
}

std::vector<std::shared_ptr<WakeCell>> LiveTail::publish(
    const std::vector<std::shared_ptr<const Frame>>& frames, Seq head) {
    std::vector<std::shared_ptr<WakeCell>> wakes;
    MutexLock lock(mutex_);
    for (const auto& frame : frames) {
        cache(frame);
        if (index_.empty()) continue;
        hand_out(frame, wakes);
        if (*held_ > kHeldBytesMax) drop_laggards();
    }
    head_ = head;
    return wakes;
}

std::shared_ptr<const Frame> LiveTail::frame_of(Seq seq) const {
    MutexLock lock(mutex_);
    if (frames_.empty() || seq < frames_.front()->header.first_seq || seq > head_) return nullptr;
    const auto behind = std::upper_bound(
        frames_.begin(), frames_.end(), seq,
        [](Seq value, const auto& frame) { return value < frame->header.first_seq; });
    return *std::prev(behind);
}

std::optional<std::uint64_t> LiveTail::follow(const FilterSet& set,
                                              const std::optional<std::string>& key, Seq read_to,
                                              const std::shared_ptr<WakeCell>& cell) {
    MutexLock lock(mutex_);
    // A cursor ahead of the head waits: it must not be handed what it wants to skip.
    if (read_to != head_) return std::nullopt;
    const std::uint64_t id = next_follower_++;
    index_.add(id, set, key);
    Follower& follower = followers_[id];
    follower.read_to = read_to;
    follower.cell = cell;
    return id;
}

void LiveTail::unfollow(std::uint64_t follower) {
    MutexLock lock(mutex_);
    index_.remove(follower);
    followers_.erase(follower);
}

LiveTail::Taken LiveTail::take(std::uint64_t id, std::size_t records_max, std::size_t bytes_max) {
    Taken taken;
    MutexLock lock(mutex_);
    Follower& follower = followers_.at(id);
    std::size_t bytes = 0;
    while (!follower.pending.empty() && taken.matches.size() < records_max && bytes < bytes_max) {
        const Match& match = follower.pending.front();
        bytes += match.record().value.size() + match.record().topic.size();
        taken.read_to = match.record().seq;
        taken.matches.push_back(match);
        follower.pending.pop_front();
    }
    taken.head = head_;
    if (!follower.pending.empty()) return taken;
    taken.fell_behind = follower.fell_behind;
    taken.read_to = follower.fell_behind ? follower.read_to : head_;
    return taken;
}

bool LiveTail::has_news(std::uint64_t id) const {
    MutexLock lock(mutex_);
    const Follower& follower = followers_.at(id);
    return !follower.pending.empty() || follower.fell_behind;
}

std::size_t LiveTail::followers() const {
    MutexLock lock(mutex_);
    return followers_.size();
}

}  // namespace klog
