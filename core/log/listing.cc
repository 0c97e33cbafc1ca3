// Listings: the key index and what it does not hold yet, merged.
#include <algorithm>
#include <iterator>

#include "log/log_impl.h"
#include "log/prepare.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::size_t kStepGrowth = 4;

Status check_limit(std::size_t limit) {
    if (limit >= 1 && limit <= LogImpl::kPageRowsMax) return {};
    return Error{Code::bad_option,
                 "a page has 1 to " + std::to_string(LogImpl::kPageRowsMax) + " rows, not " +
                     std::to_string(limit),
                 {}};
}

}  // namespace

// A broken key index deletes itself and says so once; filled again, it answers.
template <class Answer>
Result<Answer> LogImpl::with_key_index(const std::function<Result<Answer>()>& list) {
    // While heads are made anew, what is pending is not there either.
    for (;;) {
        const std::uint64_t finished = core_.heads.finished();
        KLOG_TRY(core_.heads.check());
        Result<Answer> page = list();
        if (!page.ok() && page.error().code == Code::corrupt) page = list();
        KLOG_TRY(core_.heads.check());
        if (core_.heads.finished() == finished) return page;
    }
}

Result<Page<KeyRow>> LogImpl::keys(std::string_view space, std::string_view prefix,
                                   std::string_view after, bool deleted, std::size_t limit) {
    KLOG_TRY(check_space(space));
    KLOG_TRY(check_limit(limit));
    return with_key_index<Page<KeyRow>>(
        [&] { return key_page(space, prefix, after, deleted, limit); });
}

// Names behind `after`, at most `limit`. Memory is asked before the index: what moves to it between
// the two calls is seen twice, not never. What is left to the log instead (Flusher::apply_pending)
// is missed by both, and then the index does not reach up to pending_after.
Result<std::vector<std::string>> LogImpl::key_names(std::string_view space, std::string_view prefix,
                                                    std::string_view after, std::size_t limit) {
    for (;;) {
        KLOG_TRY(flusher_.ready_to_list(core_));
        const std::vector<std::string> pending = core_.pending.keys(space, prefix, after, limit);
        const Seq pending_after{core_.pending_after.load()};
        KLOG_TRY_ASSIGN(const Listed<std::string> indexed,
                        core_.key_index->keys(space, prefix, after, limit));
        if (indexed.upto < pending_after) continue;
        std::vector<std::string> names;
        std::set_union(pending.begin(), pending.end(), indexed.rows.begin(), indexed.rows.end(),
                       std::back_inserter(names));
        if (names.size() > limit) names.resize(limit);
        return names;
    }
}

Result<Page<KeyRow>> LogImpl::key_page(std::string_view space, std::string_view prefix,
                                       std::string_view after, bool deleted, std::size_t limit) {
    Page<KeyRow> page;
    std::string cursor(after);
    for (;;) {
        KLOG_TRY_ASSIGN(const std::vector<std::string> names,
                        key_names(space, prefix, cursor, limit + 1));
        if (names.empty()) return page;
        std::vector<Hash128> hashes;
        hashes.reserve(names.size());
        for (const std::string& name : names) {
            hashes.push_back(entity_hash(wal_.hash_key(), space, name));
        }
        std::vector<HeadEntry> heads;
        KLOG_TRY(heads_of(hashes, heads));
        for (std::size_t i = 0; i < names.size(); ++i) {
            const HeadEntry& head = heads[i];
            if (head.state == EntityState::absent) continue;
            if (head.state == EntityState::deleted && !deleted) continue;
            if (page.rows.size() == limit) {
                page.more = true;
                return page;
            }
            page.rows.push_back(
                KeyRow{names[i], EntityHead{head.state, head.version, head.last_seq}});
        }
        if (names.size() <= limit) return page;
        cursor = names.back();
    }
}

Result<LogImpl::TopicCounts> LogImpl::topic_page(std::string_view prefix, std::string_view after,
                                                 std::size_t limit) {
    return with_key_index<TopicCounts>([&] { return merged_topics(prefix, after, limit); });
}

Result<LogImpl::TopicCounts> LogImpl::merged_topics(std::string_view prefix, std::string_view after,
                                                    std::size_t limit) {
    // Counts are added, so the two parts must be of one moment: a flush between the two calls is
    // seen by the watermark or by what left memory, and the page is read again.
    for (;;) {
        KLOG_TRY(flusher_.ready_to_list(core_));
        const std::uint64_t departures = core_.pending.departures();
        const std::uint64_t before = core_.pending_after.load();
        auto pending = core_.pending.topics(prefix, after, limit);
        KLOG_TRY_ASSIGN(auto listed, core_.key_index->topics(prefix, after, limit));
        if (core_.pending_after.load() != before || listed.upto.value != before) continue;
        if (core_.pending.departures() != departures) continue;
        TopicCounts& indexed = listed.rows;
        TopicCounts rows;
        auto a = indexed.begin();
        auto b = pending.begin();
        while ((a != indexed.end() || b != pending.end()) && rows.size() < limit) {
            if (b == pending.end() || (a != indexed.end() && a->first < b->first)) {
                rows.push_back(std::move(*a++));
            } else if (a == indexed.end() || b->first < a->first) {
                rows.push_back(std::move(*b++));
            } else {
                add_count(a->second, b->second);
                rows.push_back(std::move(*a++));
                ++b;
            }
        }
        return rows;
    }
}

Result<Page<TopicRow>> LogImpl::topics(std::string_view filter, std::string_view after,
                                       std::size_t limit) {
    KLOG_TRY_ASSIGN(const Filter compiled, Filter::parse(filter));
    KLOG_TRY(check_limit(limit));
    const std::string prefix = compiled.literal_prefix();
    Page<TopicRow> page;
    std::string cursor(after);
    // One more than asked for tells whether there are more. Where few match, steps grow.
    std::size_t step = std::min(limit + 1, kPageRowsMax);
    for (;; step = std::min(step * kStepGrowth, kPageRowsMax)) {
        KLOG_TRY_ASSIGN(const auto rows, topic_page(prefix, cursor, step));
        for (const auto& [topic, count] : rows) {
            if (!compiled.matches(topic)) continue;
            if (page.rows.size() == limit) {
                page.more = true;
                return page;
            }
            page.rows.push_back(TopicRow{topic, count.records, count.last_seq});
        }
        if (rows.size() < step) return page;
        cursor = rows.back().first;
    }
}

Result<Seq> LogImpl::head(std::string_view filter) {
    KLOG_TRY_ASSIGN(const Filter compiled, Filter::parse(filter));
    const std::string prefix = compiled.literal_prefix();
    Seq newest;
    std::string cursor;
    for (;;) {
        KLOG_TRY_ASSIGN(const auto rows, topic_page(prefix, cursor, kPageRowsMax));
        for (const auto& [topic, count] : rows) {
            if (count.last_seq > newest && compiled.matches(topic)) newest = count.last_seq;
        }
        if (rows.size() < kPageRowsMax) return newest;
        cursor = rows.back().first;
    }
}

}  // namespace klog
