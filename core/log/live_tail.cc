#include "log/live_tail.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "segment/record_codec.h"

namespace klog {
namespace {

// What a cached frame costs beside its bytes, about.
constexpr std::size_t kFrameOverheadBytes = 256;

std::vector<RecordView> decode(const Frame& frame) {
    std::vector<RecordView> records;
    records.reserve(frame.header.count);
    RecordDecoder decoder(frame.payload(), frame.header.first_seq, frame.header.base_time,
                          frame.header.count);
    RecordView record;
    for (;;) {
        Result<bool> more = decoder.next(record);
        // This process encoded the frame itself a moment ago.
        KLOG_ASSERT(more.ok());
        if (!*more) return records;
        records.push_back(record);
    }
}

std::vector<RecordLabel> read_labels(const std::vector<std::shared_ptr<const Frame>>& frames) {
    std::vector<RecordLabel> labels;
    for (const auto& frame : frames) {
        for (const RecordView& record : decode(*frame)) {
            labels.push_back(RecordLabel{record.topic, record.key, record.has_key,
                                         record.topic.size() + record.value.size()});
        }
    }
    return labels;
}

}  // namespace

DecodedFrame::DecodedFrame(std::shared_ptr<const Frame> source, Held counter)
    : frame_(std::move(source)),
      held_(std::move(counter)),
      bytes_(frame_->bytes.capacity() + frame_->header.count * sizeof(RecordView)) {
    *held_ += bytes_;
}

DecodedFrame::~DecodedFrame() { *held_ -= bytes_; }

const std::vector<RecordView>& DecodedFrame::records() const {
    std::call_once(once_, [this] { records_ = decode(*frame_); });
    return records_;
}

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
    head_.store(head.value, std::memory_order_release);
}

void LiveTail::cache(const std::shared_ptr<const Frame>& frame) {
    frames_.push_back(frame);
    cache_bytes_ += frame->bytes.capacity() + kFrameOverheadBytes;
    while (cache_bytes_ > cache_bytes_max_ && frames_.size() > 1) {
        cache_bytes_ -= frames_.front()->bytes.capacity() + kFrameOverheadBytes;
        frames_.pop_front();
    }
}

// One topic after another tends to be the same.
void LiveTail::find_hits(Matched& matched) {
    const RecordLabel* label = matched.labels.data();
    std::string_view last_topic;
    for (std::uint32_t number = 0; number < matched.frames.size(); ++number) {
        const std::size_t before = matched.hits.size();
        const std::uint32_t count = matched.frames[number]->header.count;
        for (std::uint32_t i = 0; i < count; ++i, ++label) {
            if (label->topic != last_topic) {
                last_topic = label->topic;
                of_topic_.clear();
                index_.find_by_topic(last_topic, of_topic_);
            }
            of_key_.clear();
            if (label->has_key) index_.find_by_key(last_topic, label->key, of_key_);
            const auto bytes = static_cast<std::uint32_t>(label->bytes);
            for (const auto* found : {&of_topic_, &of_key_}) {
                for (const FilterIndex::Follower id : *found) {
                    matched.hits.push_back(Matched::Hit{id, number, i, bytes});
                }
            }
        }
        if (matched.hits.size() == before) continue;
        matched.wanted[number] = std::make_shared<DecodedFrame>(matched.frames[number], held_);
    }
}

LiveTail::Matched LiveTail::match_now(std::vector<std::shared_ptr<const Frame>> frames,
                                      std::vector<RecordLabel> labels) {
    Matched matched;
    matched.frames = std::move(frames);
    matched.labels = std::move(labels);
    matched.wanted.resize(matched.frames.size());
    matched.additions = additions_;
    if (index_.empty()) return matched;
    if (matched.labels.empty()) matched.labels = read_labels(matched.frames);
    find_hits(matched);
    return matched;
}

LiveTail::Matched LiveTail::match(std::vector<std::shared_ptr<const Frame>> frames,
                                  std::vector<RecordLabel> labels) {
    MutexLock lock(index_mutex_);
    return match_now(std::move(frames), std::move(labels));
}

void LiveTail::hand_out(const Matched& matched, Wakes& wakes) {
    for (const Matched::Hit& hit : matched.hits) {
        Follower* const follower = find(hit.follower);
        if (follower == nullptr || follower->fell_behind) continue;
        // A cursor ahead of the head is handed nothing that it wants to skip.
        const Seq first = matched.frames[hit.frame]->header.first_seq;
        if (first.value + hit.record <= follower->read_to.value) continue;
        if (follower->pending.empty()) wakes.push_back(follower->cell);
        if (follower->pending.size() >= kPendingRecordsMax) {
            // It goes on from behind what it holds by reading the log.
            follower->read_to = follower->pending.back().seq();
            follower->fell_behind = true;
            continue;
        }
        follower->pending.push_back(Match{matched.wanted[hit.frame], hit.record, hit.bytes});
    }
}

// Each goes on by reading the log, from behind what it has taken.
void LiveTail::drop_laggards() {
    const Seq oldest = frames_.front()->header.first_seq;
    for (const auto& follower : followers_) {
        if (!follower || follower->pending.empty()) continue;
        const Seq next = follower->pending.front().seq();
        if (next >= oldest) continue;
        follower->pending.clear();
        follower->read_to = Seq{next.value - 1};
        follower->fell_behind = true;
    }
}

LiveTail::Wakes LiveTail::publish(Matched matched, Seq head) {
    Wakes wakes;
    MutexLock lock(mutex_);
    {
        // Who came since then has read up to the head that this group moves.
        MutexLock index_lock(index_mutex_);
        if (additions_ != matched.additions) {
            matched = match_now(std::move(matched.frames), std::move(matched.labels));
        }
    }
    for (const auto& frame : matched.frames) cache(frame);
    hand_out(matched, wakes);
    matched.wanted.clear();  // what nobody was handed is not held
    if (*held_ > kHeldBytesMax) drop_laggards();
    head_.store(head.value, std::memory_order_release);
    return wakes;
}

std::shared_ptr<const Frame> LiveTail::frame_of(Seq seq) const {
    MutexLock lock(mutex_);
    if (frames_.empty() || seq < frames_.front()->header.first_seq || seq > head()) return nullptr;
    const auto behind = std::upper_bound(
        frames_.begin(), frames_.end(), seq,
        [](Seq value, const auto& frame) { return value < frame->header.first_seq; });
    return *std::prev(behind);
}

std::optional<std::uint64_t> LiveTail::follow(const FilterSet& set,
                                              const std::optional<std::string>& key, Seq read_to,
                                              const std::shared_ptr<WakeCell>& cell) {
    auto made = std::make_unique<Follower>();
    made->read_to = read_to;
    made->cell = cell;
    MutexLock lock(mutex_);
    if (read_to < head()) return std::nullopt;
    if (free_places_.empty()) {
        followers_.emplace_back();
        // Room for all of them, so that none that leaves needs memory.
        if (free_places_.capacity() < followers_.size())
            free_places_.reserve(followers_.capacity());
        free_places_.push_back(static_cast<std::uint32_t>(followers_.size() - 1));
    }
    const std::uint32_t place = free_places_.back();
    const std::uint64_t id = (std::uint64_t{next_serial_} << 32U) | place;
    made->id = id;
    {
        MutexLock index_lock(index_mutex_);
        index_.add(id, set, key);
        followed_ = true;
        ++additions_;
    }
    ++next_serial_;
    free_places_.pop_back();
    followers_[place] = std::move(made);
    return id;
}

void LiveTail::unfollow(std::uint64_t id) {
    {
        MutexLock lock(index_mutex_);
        index_.remove(id);
        followed_ = !index_.empty();
    }
    std::unique_ptr<Follower> gone;  // ends outside the lock: it may be the last to hold frames
    MutexLock lock(mutex_);
    if (find(id) == nullptr) return;
    const auto place = static_cast<std::uint32_t>(id);
    free_places_.push_back(place);
    gone = std::move(followers_[place]);
}

LiveTail::Follower* LiveTail::find(std::uint64_t id) {
    const auto place = static_cast<std::uint32_t>(id);
    if (place >= followers_.size()) return nullptr;
    Follower* const follower = followers_[place].get();
    return follower != nullptr && follower->id == id ? follower : nullptr;
}

LiveTail::Follower& LiveTail::known(std::uint64_t id) {
    Follower* const follower = find(id);
    KLOG_ASSERT(follower != nullptr);
    return *follower;
}

LiveTail::Taken LiveTail::take(std::uint64_t id, std::size_t records_max, std::size_t bytes_max) {
    Taken taken;
    MutexLock lock(mutex_);
    Follower& follower = known(id);
    std::size_t bytes = 0;
    while (!follower.pending.empty() && taken.matches.size() < records_max && bytes < bytes_max) {
        Match& match = follower.pending.front();
        bytes += match.bytes;
        taken.read_to = match.seq();
        taken.matches.push_back(std::move(match));
        follower.pending.pop_front();
    }
    taken.head = head();
    if (!follower.pending.empty()) return taken;
    taken.fell_behind = follower.fell_behind;
    taken.read_to = follower.fell_behind ? follower.read_to : head();
    return taken;
}

bool LiveTail::has_news(std::uint64_t id) {
    MutexLock lock(mutex_);
    const Follower& follower = known(id);
    return !follower.pending.empty() || follower.fell_behind;
}

std::size_t LiveTail::followers() const {
    MutexLock lock(mutex_);
    return followers_.size() - free_places_.size();
}

}  // namespace klog
