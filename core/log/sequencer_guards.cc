// Guards over filters: what the sequencer looks at in memory.
#include <algorithm>
#include <utility>

#include "log/sequencer_call.h"
#include "topic/topic.h"

namespace klog {
namespace {

// What the topics of recent records may take in memory. Unit: bytes.
constexpr std::size_t kRecentTopicsBytesMax = 32U << 20U;
// Without a guard for so long, topics are watched no more. Unit: microseconds.
constexpr std::int64_t kWatchMicros = 60'000'000;
// A literal filter has at most about so many, with room for what is new.
constexpr std::size_t kStepsOfOne = 32;

void note(GuardLook& look, RecentTopics::Found found, Seq upto) {
    if (found.outcome == RecentTopics::Found::Outcome::found) {
        look.seen.found = found.seq;
        look.seen.topic = std::move(found.topic);
    }
    look.seen.upto = upto;
}

}  // namespace

void Sequencer::watch_topics(std::span<const Group* const> unfinished, const HashKey& key,
                             Time now) noexcept {
    guarded_at_ = now;
    recent_.emplace(durable_.last_seq, kRecentTopicsBytesMax, key);
    std::vector<std::pair<Seq, std::string_view>> topics;
    for (const Group* group : unfinished) {
        for (const auto& [topic, count] : group->parts[static_cast<std::size_t>(log_)].topics) {
            if (!is_reserved_topic(topic)) topics.emplace_back(count.last_seq, topic);
        }
    }
    std::sort(topics.begin(), topics.end());
    for (const auto& [seq, topic] : topics) recent_->add(topic, seq);
}

void Sequencer::stop_watching(const Call& call) {
    if (call.batch.looked) {
        guarded_at_ = call.now;
    } else if (recent_ && guarded_at_.micros + kWatchMicros < call.now.micros) {
        recent_.reset();
    }
}

bool Sequencer::look(WriteBatch::Looked& looked, std::size_t steps_max) {
    if (looked.drops != drops_) {
        looked.drops = drops_;
        for (GuardLook& look : looked.guards) look.seen = look.durable;
    }
    std::size_t steps_left = steps_max + kStepsOfOne * looked.guards.size();
    bool all = true;
    for (GuardLook& look : looked.guards) {
        if (!look.wants(latest_.last_seq)) continue;
        if (look.seen.upto < recent_->floor()) {
            all = false;
            continue;
        }
        RecentTopics::Found found = recent_->newest(*look.set, look.seen.upto, steps_left);
        steps_left -= std::min(steps_left, found.steps);
        if (found.outcome == RecentTopics::Found::Outcome::gave_up) {
            all = false;
        } else {
            note(look, std::move(found), latest_.last_seq);
        }
    }
    return all;
}

std::optional<Violation> Sequencer::judge_guard(Call& call, GuardLook& look) {
    if (look.error) return Violation{0, *look.error, {}, {}};
    if (look.unseen) return Violation{0, *look.unseen, {}, {}};
    if (look.guard->after > latest_.last_seq) {
        return Violation{
            0,
            Error{Code::guard_unknown,
                  "the guard's cursor " + std::to_string(look.guard->after.value) +
                      " lies ahead of the head " + std::to_string(latest_.last_seq.value),
                  "klog head prints the newest cursor"},
            {},
            {}};
    }
    if (look.seen.upto < latest_.last_seq) {
        if (!recent_ || look.seen.upto < recent_->floor()) {
            return Violation{0, looked_in_vain(), {}, {}};
        }
        RecentTopics::Found found = recent_->newest(*look.set, look.seen.upto, call.guard_steps);
        call.guard_steps -= std::min(call.guard_steps, found.steps);
        if (found.outcome == RecentTopics::Found::Outcome::gave_up) {
            return Violation{0, looked_in_vain(), {}, {}};
        }
        note(look, std::move(found), latest_.last_seq);
    }
    if (look.seen.found == Seq{}) return std::nullopt;
    GuardConflict conflict = guard_conflict(look);
    Error error = guard_error(conflict);
    return Violation{0, std::move(error), {}, std::move(conflict)};
}

}  // namespace klog
