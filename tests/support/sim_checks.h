// Compares what a log shows with the model of it. Each check returns what is wrong, or nothing.
#ifndef KLOG_TESTS_SUPPORT_SIM_CHECKS_H
#define KLOG_TESTS_SUPPORT_SIM_CHECKS_H

#include <algorithm>
#include <string>
#include <vector>

#include "support/model_batch.h"
#include "support/naive_matcher.h"
#include "support/sim_workload.h"

namespace klog::test {

inline std::string say(const Error& error) {
    return std::string(code_name(error.code)) + ": " + error.message;
}

// Everything, klog's own records too.
inline ReadOptions read_everything(std::uint64_t after) {
    ReadOptions options;
    options.filters = {">", "$klog/>"};
    options.from.form = ReadFrom::Form::after;
    options.from.seq = Seq{after};
    return options;
}

inline bool model_matches(const ReadOptions& options, const ModelRecord& record) {
    if (options.key && record.put.key != *options.key) return false;
    return naive::set_matches(options.filters, options.not_filters, record.put.topic);
}

// The records of a chunk are exactly those that match in (after, read_to], byte for byte.
inline std::string check_chunk(const ModelLog& model, const ReadOptions& options,
                               std::uint64_t after, const ReadChunk& chunk) {
    if (chunk.read_to.value < after) return "read_to went back";
    if (chunk.head.value != model.head()) {
        return "the head is " + std::to_string(chunk.head.value) + ", not " +
               std::to_string(model.head());
    }
    auto got = chunk.records.begin();
    const std::uint64_t upto = std::min(chunk.read_to.value, model.head());
    for (std::uint64_t seq = after + 1; seq <= upto; ++seq) {
        if (!model_matches(options, model.records()[seq - 1])) continue;
        if (got == chunk.records.end()) {
            return "seq " + std::to_string(seq) + " matches and is left out, read_to is " +
                   std::to_string(chunk.read_to.value);
        }
        if (got->seq.value != seq || !model.is_record(*got)) {
            return "seq " + std::to_string(got->seq.value) + " stands where seq " +
                   std::to_string(seq) + " is due, or has other bytes";
        }
        ++got;
    }
    if (got == chunk.records.end()) return {};
    return "seq " + std::to_string(got->seq.value) + " does not match, or is not durable";
}

// A read of any kind, in pieces of any size, against the model.
inline std::string check_reading(Log& log, const ModelLog& model, SimDice& dice,
                                 ReadOptions options) {
    const std::uint64_t head = model.head();
    std::uint64_t begin = 0;
    switch (dice.below(5)) {
        case 0:
            break;
        case 1:
            begin = dice.below(head + 5);
            options.from = {ReadFrom::Form::after, Seq{begin}, {}, 0};
            break;
        case 2:
            begin = dice.below(head + 1);
            options.from = {ReadFrom::Form::from, Seq{begin + 1}, {}, 0};
            break;
        case 3: {
            const std::uint64_t count = dice.between(1, 30);
            std::uint64_t left = count;
            begin = head;
            while (begin > 0 && left > 0) {
                if (model_matches(options, model.records()[begin - 1])) --left;
                --begin;
            }
            if (left > 0) begin = 0;
            options.from = {ReadFrom::Form::last, {}, {}, count};
            break;
        }
        default: {
            if (head == 0) break;
            const std::int64_t time = model.records()[dice.below(head)].time;
            while (begin < head && model.records()[begin].time < time) ++begin;
            options.from = {ReadFrom::Form::time, {}, Time{time}, 0};
            break;
        }
    }
    std::uint64_t end = head;
    if (dice.chance(30) && options.from.form != ReadFrom::Form::last) {
        options.until_seq = Seq{dice.below(head + 1)};
        end = std::min(end, options.until_seq->value);
    }
    auto reader = log.read(options);
    if (!reader.ok()) return "a read cannot begin: " + say(reader.error());
    std::uint64_t at = (*reader)->begin_after().value;
    if (options.from.form != ReadFrom::Form::last && at != begin) {
        return "a read begins behind seq " + std::to_string(at) + ", not " + std::to_string(begin);
    }
    // The newest `count`: where it begins is its own business, as long as those are all.
    for (std::uint64_t seq = std::min(at, begin) + 1; seq <= std::min(std::max(at, begin), head);
         ++seq) {
        if (model_matches(options, model.records()[seq - 1])) return "--last begins wrongly";
    }
    for (;;) {
        auto chunk = (*reader)->read(dice.between(1, 20'000), dice.between(1, 50));
        if (!chunk.ok()) return "a read broke: " + say(chunk.error());
        std::string wrong = check_chunk(model, options, at, *chunk);
        if (!wrong.empty()) return wrong;
        at = std::max(at, chunk->read_to.value);
        if (chunk->end) break;
    }
    return at >= end ? ""
                     : "a read ended at seq " + std::to_string(at) + " of " + std::to_string(end);
}

inline std::string check_entity(Log& log, const ModelLog& model, const ModelLog::Entity& entity,
                                const ModelLog::Head& head) {
    const auto found = log.entity(entity.first, entity.second);
    if (!found.ok()) return "entity: " + say(found.error());
    const EntityState state = head.version == 0 ? EntityState::absent
                              : head.deleted    ? EntityState::deleted
                                                : EntityState::live;
    if (found->version.value != head.version || found->last_seq.value != head.last_seq ||
        found->state != state) {
        return "entity " + entity.first + " " + entity.second + " has version " +
               std::to_string(found->version.value) + ", not " + std::to_string(head.version);
    }
    const auto newest = log.get(entity.first, entity.second, std::nullopt);
    if (head.version == 0) {
        return !newest.ok() && newest.error().code == Code::not_found ? "" : "get made one up";
    }
    if (!newest.ok()) return "get: " + say(newest.error());
    if (newest->view.seq.value != head.last_seq || !model.is_record(newest->view)) {
        return "get shows another record than the newest";
    }
    return {};
}

inline std::string check_version(Log& log, const ModelLog& model, SimDice& dice) {
    if (model.head() == 0) return {};
    const ModelRecord& record = model.records()[dice.below(model.head())];
    if (record.put.key.empty()) return {};
    const auto got =
        log.get(space_of_topic(record.put.topic), record.put.key, Version{record.version});
    if (!got.ok()) return "get of a version: " + say(got.error());
    if (got->view.seq.value != record.seq || !model.is_record(got->view)) {
        return "get of a version shows another record";
    }
    return {};
}

inline std::string check_keys(Log& log, const ModelLog& model, const std::string& space,
                              const std::string& prefix, bool deleted, std::size_t limit) {
    std::string after;
    auto expected = model.heads().lower_bound({space, prefix});
    for (;;) {
        const auto page = log.keys(space, prefix, after, deleted, limit);
        if (!page.ok()) return "keys: " + say(page.error());
        for (const KeyRow& row : page->rows) {
            while (expected != model.heads().end() && expected->second.deleted && !deleted) {
                ++expected;
            }
            if (expected == model.heads().end() || expected->first.first != space ||
                expected->first.second != row.key ||
                expected->second.version != row.head.version.value ||
                expected->second.last_seq != row.head.last_seq.value ||
                expected->second.deleted != (row.head.state == EntityState::deleted)) {
                return "keys of " + space + " has a wrong row for " + row.key;
            }
            after = row.key;
            ++expected;
        }
        if (!page->more) break;
    }
    for (; expected != model.heads().end(); ++expected) {
        if (expected->first.first != space || !expected->first.second.starts_with(prefix)) break;
        if (deleted || !expected->second.deleted) {
            return "keys of " + space + " lacks " + expected->first.second;
        }
    }
    return {};
}

inline std::string check_topics(Log& log, const ModelLog& model, const std::string& filter,
                                std::size_t limit) {
    std::string after;
    std::uint64_t newest = 0;
    std::uint64_t records = 0;
    auto expected = model.topics().begin();
    const auto skip = [&] {
        while (expected != model.topics().end() && !naive::matches(filter, expected->first)) {
            ++expected;
        }
    };
    for (;;) {
        const auto page = log.topics(filter, after, limit);
        if (!page.ok()) return "topics: " + say(page.error());
        for (const TopicRow& row : page->rows) {
            skip();
            if (expected == model.topics().end() || expected->first != row.topic ||
                expected->second.records != row.records ||
                expected->second.last_seq != row.last_seq.value) {
                return "topics has a wrong row for " + row.topic + ": " +
                       std::to_string(row.records) + " records";
            }
            newest = std::max(newest, row.last_seq.value);
            records += row.records;
            after = row.topic;
            ++expected;
        }
        if (!page->more) break;
    }
    skip();
    if (expected != model.topics().end()) return "topics lacks " + expected->first;
    const auto head = log.head(filter);
    if (!head.ok()) return "head of a filter: " + say(head.error());
    if (head->value != newest) return "the head of " + filter + " is wrong";
    CountOptions all_of;
    all_of.filters = {filter};
    const auto count = log.count(all_of);
    if (!count.ok()) return "count: " + say(count.error());
    return *count == records ? "" : "the count of " + filter + " is " + std::to_string(*count);
}

inline std::string check_listings(Log& log, const ModelLog& model, SimDice& dice) {
    for (const std::string space : {"a", "b", "c", "s"}) {
        const std::string prefix = dice.chance(50) ? "" : "k" + std::to_string(dice.below(10));
        std::string wrong =
            check_keys(log, model, space, prefix, dice.chance(50), dice.between(1, 200));
        if (!wrong.empty()) return wrong;
    }
    static const std::vector<std::string> kFilters = {">", "a/>", "b/*", "$klog/>", "s/1"};
    return check_topics(log, model, dice.pick(kFilters), dice.between(1, 10));
}

// Every record of the log, settings and every entity, after a start. Takes into the model what
// turns out to have been written of what was unknown.
inline std::string check_recovered(Log& log, ModelLog& model) {
    auto reader = log.read(read_everything(0));
    if (!reader.ok()) return "a read cannot begin: " + say(reader.error());
    const std::uint64_t known = model.head();
    std::uint64_t at = 0;
    for (bool end = false; !end;) {
        auto chunk = (*reader)->read(256U * 1024, 1000);
        if (!chunk.ok()) return "a read broke: " + say(chunk.error());
        for (const RecordView& record : chunk->records) {
            if (record.seq.value != ++at) return "a hole before seq " + std::to_string(at);
            if (at <= known) {
                if (!model.is_record(record)) {
                    return "seq " + std::to_string(at) + " has other bytes than were acknowledged";
                }
                continue;
            }
            std::string wrong = model.adopt_found(record);
            if (!wrong.empty()) return wrong;
        }
        end = chunk->end;
    }
    if (at < known) {
        return "acknowledged records are lost: the log ends at " + std::to_string(at) + ", not " +
               std::to_string(known);
    }
    if (std::string wrong = model.found_all(); !wrong.empty()) return wrong;
    if (log.head().value != at) return "the head is not the newest seq";
    for (const auto& [name, value] : model.settings()) {
        if (log.setting(name) != value) return "setting " + name + " has another value";
    }
    for (const auto& [entity, head] : model.heads()) {
        std::string wrong = check_entity(log, model, entity, head);
        if (!wrong.empty()) return wrong;
    }
    return {};
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_SIM_CHECKS_H
