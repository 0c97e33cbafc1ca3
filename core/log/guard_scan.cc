#include "log/guard_scan.h"

#include <algorithm>
#include <string>
#include <vector>

#include "log/scan.h"
#include "topic/recent_topics.h"
#include "topic/topic.h"

namespace klog {
namespace {

// What one pass over records may hold of their topics. Unit: bytes.
constexpr std::size_t kPassBytesMax = 64U << 20U;

Error too_wide() {
    return Error{Code::batch_too_large,
                 "the guards would be compared with more than " + std::to_string(kGuardTopicsMax) +
                     " topics",
                 "fewer guards, filters that begin with a name, or a later cursor"};
}

class GuardScan {
public:
    GuardScan(WriteBatch::Looked& looked, FrameSource source, const HashKey& key, Seq head)
        : source_(std::move(source)), key_(key), head_(head) {
        for (GuardLook& look : looked.guards) {
            if (!look.wants(head)) continue;
            // What it saw of unfinished groups may have been taken back since.
            look.seen = look.durable;
            open_.push_back(Open{&look, {}});
        }
    }

    // What is not sealed, in passes from the newest to the oldest: each tells everything behind the
    // floor that its memory allows.
    Status look_at_records(Seq sealed) {
        Seq least = head_;
        for (const Open& one : open_) least = std::min(least, one.look->seen.upto);
        least = std::max(least, sealed);
        // One guard alone says which files and frames need not be read.
        const FilterSet* filter = open_.size() == 1 ? &*open_.front().look->set : nullptr;
        for (Seq to = head_; to > least && !done();) {
            RecentTopics topics(least, kPassBytesMax, key_);
            KLOG_TRY(for_each_record(source_, least, to, filter, [&](const RecordView& record) {
                if (!is_reserved_topic(record.topic)) topics.add(record.topic, record.seq);
                return Status();
            }));
            for (Open& one : open_) look_in(topics, one);
            to = topics.floor();
        }
        return {};
    }

    Status look_at_segments(const SegmentCatalog::List& segments) {
        for (auto segment = segments.rbegin(); segment != segments.rend() && !done(); ++segment) {
            const SeqRange covered = segment->reader->stats().covered;
            for (Open& one : open_) {
                if (one.done() || one.look->seen.upto >= covered.last) continue;
                KLOG_TRY(look_at_segment(*segment->reader, one));
            }
        }
        return {};
    }

    // Error: of all that are not done.
    void finish(const Status& scanned) {
        for (Open& one : open_) {
            GuardLook& look = *one.look;
            if (!scanned && !one.done()) look.unseen = scanned.error();
            if (look.unseen) continue;
            if (one.found.found != Seq{}) {
                look.seen.found = one.found.found;
                look.seen.topic = std::move(one.found.topic);
            }
            look.seen.upto = head_;
            look.durable = look.seen;
        }
    }

private:
    struct Open {
        GuardLook* look;
        GuardLook::Seen found;
        [[nodiscard]] bool done() const { return found.found != Seq{} || look->unseen; }
    };
    [[nodiscard]] bool done() const {
        return std::all_of(open_.begin(), open_.end(), [](const Open& one) { return one.done(); });
    }

    void spend(Open& one, std::size_t topics) {
        if (topics > left_) one.look->unseen = too_wide();
        left_ -= std::min(left_, topics);
    }

    void look_in(const RecentTopics& topics, Open& one) {
        const Seq from = std::max(one.look->seen.upto, topics.floor());
        if (one.done() || from >= head_) return;
        RecentTopics::Found found = topics.newest(*one.look->set, from, left_);
        spend(one, found.steps);
        if (found.outcome == RecentTopics::Found::Outcome::gave_up) one.look->unseen = too_wide();
        if (found.outcome != RecentTopics::Found::Outcome::found) return;
        one.found.found = found.seq;
        one.found.topic = std::move(found.topic);
    }

    Status look_at_segment(SegmentReader& segment, Open& one) {
        const FilterSet& set = *one.look->set;
        GuardLook::Seen& found = one.found;
        for (const Filter& filter : set.filters()) {
            std::size_t visited = 0;
            KLOG_TRY(segment.each_topic(
                filter.literal_prefix(), {}, [&](std::string_view topic, const TopicCount& of) {
                    const bool newer = of.last_seq > std::max(found.found, one.look->seen.upto);
                    if (newer && filter.matches(topic) && !set.excludes(topic)) {
                        found.found = of.last_seq;
                        found.topic = topic;
                    }
                    return ++visited <= left_;
                }));
            spend(one, visited);
            if (one.look->unseen) return {};
        }
        return {};
    }

    FrameSource source_;
    const HashKey& key_;
    const Seq head_;
    std::vector<Open> open_;
    std::size_t left_ = kGuardTopicsMax;
};

}  // namespace

void look_closer(WriteBatch::Looked& looked, LogId log, FrameSource source,
                 const SegmentCatalog& segments, const HashKey& key, Seq head) {
    GuardScan scan(looked, std::move(source), key, head);
    Status scanned = scan.look_at_records(std::min(segments.last_seq(log), head));
    if (scanned) scanned = scan.look_at_segments(*segments.list(log));
    scan.finish(scanned);
}

}  // namespace klog
