#include "daemon/api/consumer_readers.h"

#include <utility>
#include <vector>

#include "daemon/json/record_json.h"

namespace klog::api {

Error ConsumerReaders::busy(const Place& place) {
    std::string since;
    json::append_time(since, place.since);
    std::string message = place.who.empty() ? "somebody" : place.who;
    message += " reads as \"" + place.name + "\" since " + since;
    if (place.lease != 0) message += ", with the lease " + std::to_string(place.lease);
    return {Code::consumer_busy, std::move(message),
            "end that reader, or fence it with --take-over (take_over=true)"};
}

Result<ConsumerReaders::PlacePtr> ConsumerReaders::claim(const Claim& claim) {
    MutexLock lock(mutex_);
    PlacePtr& place = places_[claim.name];
    if (place != nullptr && place->follow && !claim.take_over) {
        const bool same = claim.known_lease != 0 && claim.known_lease == place->lease;
        if (!same) return busy(*place);
    }
    auto mine = std::make_shared<Place>();
    mine->name = claim.name;
    mine->follow = claim.follow;
    mine->who = claim.who;
    mine->since = claim.now;
    mine->before = std::exchange(place, mine);
    return mine;
}

// What ends it, to be called without the mutex.
std::function<void()> ConsumerReaders::stopping(const PlacePtr& place, const Error& error) {
    if (place == nullptr || place->ended || place->stopped) return [] {};
    place->stopped = error;
    return place->stop ? [stop = place->stop, error] { stop(error); } : std::function([] {});
}

void ConsumerReaders::leased(const PlacePtr& place, std::uint64_t lease) {
    std::vector<std::function<void()>> stops;
    {
        MutexLock lock(mutex_);
        place->lease = lease;
        const Error fenced{Code::fenced,
                           "somebody else reads as \"" + place->name + "\" now, with the lease " +
                               std::to_string(lease),
                           "klog consumer show " + place->name};
        for (PlacePtr at = std::exchange(place->before, nullptr); at != nullptr;
             at = std::exchange(at->before, nullptr)) {
            stops.push_back(stopping(at, fenced));
        }
    }
    for (const auto& stop : stops) stop();
}

void ConsumerReaders::begun(const PlacePtr& place, std::function<void(Error)> stop) {
    std::optional<Error> stopped;
    {
        MutexLock lock(mutex_);
        stopped = place->stopped;
        place->stop = stop;
    }
    if (stopped) stop(*stopped);
}

void ConsumerReaders::end(const PlacePtr& place) {
    MutexLock lock(mutex_);
    place->ended = true;
    place->stop = nullptr;
    const auto at = places_.find(place->name);
    // Whoever took its place fences those before it as well.
    if (at == places_.end() || at->second != place) return;
    PlacePtr before = std::exchange(place->before, nullptr);
    while (before != nullptr && before->ended) before = std::exchange(before->before, nullptr);
    // It never got its lease, so who was there is the reader still.
    if (before != nullptr) {
        at->second = std::move(before);
    } else {
        places_.erase(at);
    }
}

void ConsumerReaders::stop(std::string_view name, const Error& error) {
    std::function<void()> stop;
    {
        MutexLock lock(mutex_);
        const auto at = places_.find(name);
        if (at == places_.end()) return;
        stop = stopping(at->second, error);
    }
    stop();
}

bool ConsumerReaders::reading(std::string_view name) const {
    MutexLock lock(mutex_);
    return places_.find(name) != places_.end();
}

Status ConsumerReaders::check_free(std::string_view name) const {
    MutexLock lock(mutex_);
    const auto at = places_.find(name);
    if (at == places_.end()) return {};
    return busy(*at->second);
}

}  // namespace klog::api
