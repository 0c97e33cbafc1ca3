// Who reads as which consumer just now. At most one does: a new reading takes the place of the
// older one, which is told that it was fenced.
//
// Threads: any.
#ifndef KLOG_DAEMON_API_CONSUMER_READERS_H
#define KLOG_DAEMON_API_CONSUMER_READERS_H

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::api {

class ConsumerReaders {
public:
    // A place in the table. Guarded by the table's mutex.
    struct Place {
        std::string name;
        bool follow = false;
        std::string who;  // for people; may be empty
        Time since;
        std::uint64_t lease = 0;  // 0 until it is durable
        std::function<void(Error)> stop;
        std::optional<Error> stopped;  // before `stop` was there
        bool ended = false;
        std::shared_ptr<Place> before;  // whose place it took, until its lease is durable
    };
    using PlacePtr = std::shared_ptr<Place>;

    struct Claim {
        std::string name;
        bool follow = false;
        bool take_over = false;
        std::uint64_t known_lease = 0;  // of the one who reads on after a lost connection
        std::string who;                // for people; may be empty
        Time now;
    };
    // Errors: consumer_busy while somebody follows, unless take_over or it is the same reader.
    [[nodiscard]] Result<PlacePtr> claim(const Claim& claim) KLOG_EXCLUDES(mutex_);
    // The lease is durable: who was there before is fenced.
    void leased(const PlacePtr& place, std::uint64_t lease) KLOG_EXCLUDES(mutex_);
    // stop: see ReadObserver::begun.
    void begun(const PlacePtr& place, std::function<void(Error)> stop) KLOG_EXCLUDES(mutex_);
    void end(const PlacePtr& place) KLOG_EXCLUDES(mutex_);
    // Ends whoever reads, with that error.
    void stop(std::string_view name, const Error& error) KLOG_EXCLUDES(mutex_);

    [[nodiscard]] bool reading(std::string_view name) const KLOG_EXCLUDES(mutex_);
    // Errors: consumer_busy, saying who and since when.
    [[nodiscard]] Status check_free(std::string_view name) const KLOG_EXCLUDES(mutex_);

private:
    [[nodiscard]] static Error busy(const Place& place);
    static std::function<void()> stopping(const PlacePtr& place, const Error& error);

    mutable Mutex mutex_;
    std::map<std::string, PlacePtr, std::less<>> places_ KLOG_GUARDED_BY(mutex_);
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_CONSUMER_READERS_H
