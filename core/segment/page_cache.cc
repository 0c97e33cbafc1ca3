#include "segment/page_cache.h"

#include <list>
#include <map>
#include <utility>

#include "base/mutex.h"

namespace klog {
namespace {

// The nodes of list and map, the frame itself, what the allocator adds.
constexpr std::uint64_t kBookkeepingBytes = 512;
constexpr std::uint64_t kLargestPart = 4;

class PageCacheImpl final : public PageCache {
public:
    explicit PageCacheImpl(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

    [[nodiscard]] std::shared_ptr<const Frame> find(const Key& key) override {
        const MutexLock lock(mutex_);
        const auto found = pages_.find(key);
        if (found == pages_.end()) {
            ++stats_.misses;
            return nullptr;
        }
        ++stats_.hits;
        recent_.splice(recent_.begin(), recent_, found->second);
        return found->second->page;
    }

    void put(const Key& key, std::shared_ptr<const Frame> page) override {
        const std::uint64_t bytes = page->bytes.capacity() + kBookkeepingBytes;
        std::list<Entry> gone;  // freed behind the lock
        const MutexLock lock(mutex_);
        ++stats_.puts;
        if (bytes > bytes_max_ / kLargestPart) return;
        if (pages_.contains(key)) return;
        recent_.push_front({key, std::move(page), bytes});
        pages_.emplace(key, recent_.begin());
        stats_.bytes += bytes;
        while (stats_.bytes > bytes_max_) {
            ++stats_.evictions;
            take_out(std::prev(recent_.end()), gone);
        }
    }

    void forget(std::uint64_t segment_id) override {
        std::list<Entry> gone;
        const MutexLock lock(mutex_);
        auto at = pages_.lower_bound({segment_id, 0, 0});
        while (at != pages_.end() && at->first.segment_id == segment_id) {
            const auto entry = at->second;
            ++at;
            take_out(entry, gone);
        }
    }

    [[nodiscard]] Stats stats() const override {
        const MutexLock lock(mutex_);
        return stats_;
    }

private:
    struct Entry {
        Key key;
        std::shared_ptr<const Frame> page;
        std::uint64_t bytes = 0;
    };

    void take_out(std::list<Entry>::iterator entry, std::list<Entry>& gone) KLOG_REQUIRES(mutex_) {
        stats_.bytes -= entry->bytes;
        pages_.erase(entry->key);
        gone.splice(gone.begin(), recent_, entry);
    }

    const std::uint64_t bytes_max_;
    mutable Mutex mutex_;
    Stats stats_ KLOG_GUARDED_BY(mutex_);
    std::list<Entry> recent_ KLOG_GUARDED_BY(mutex_);  // the most recent first
    std::map<Key, std::list<Entry>::iterator> pages_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<PageCache> PageCache::make(std::uint64_t bytes_max) {
    return std::make_shared<PageCacheImpl>(bytes_max);
}

}  // namespace klog
