// A store around one log in memory, and that log's readers.
#ifndef KLOG_TESTS_SUPPORT_FAKE_STORE_H
#define KLOG_TESTS_SUPPORT_FAKE_STORE_H

#include <algorithm>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "klog/log.h"
#include "support/fake_log.h"

namespace klog::test {

class FakeReader final : public Reader {
public:
    FakeReader(FakeLog& log, ReadOptions options, HistoryOptions versions = {})
        : log_(log), options_(std::move(options)), versions_(std::move(versions)) {
        ++log_.readers_;
        const Seq head = log_.head();
        begin_ = Seq{0};
        switch (options_.from.form) {
            case ReadFrom::Form::start:
                break;
            case ReadFrom::Form::end:
                begin_ = head;
                break;
            case ReadFrom::Form::after:
                begin_ = options_.from.seq;
                break;
            case ReadFrom::Form::from:
                begin_.value = options_.from.seq.value == 0 ? 0 : options_.from.seq.value - 1;
                break;
            case ReadFrom::Form::time:
                while (begin_ < head &&
                       log_.records_[begin_.value]->view.time < options_.from.time) {
                    ++begin_.value;
                }
                break;
            case ReadFrom::Form::last: {
                begin_ = head;
                std::uint64_t left = options_.from.count;
                while (begin_.value > 0 && left > 0) {
                    if (matches(*log_.records_[--begin_.value])) --left;
                }
            }
        }
        end_ = options_.until_seq ? std::min(*options_.until_seq, head) : head;
        at_ = begin_;
    }
    ~FakeReader() override { --log_.readers_; }

    [[nodiscard]] bool ready_in_memory() override { return !log_.disk_reads_; }
    [[nodiscard]] Result<ReadChunk> read(std::size_t bytes_max, std::size_t records_max) override {
        if (log_.read_error_) return *log_.read_error_;
        ReadChunk chunk;
        chunk.head = log_.head();
        Seq end = options_.follow ? chunk.head : end_;
        if (options_.until_seq) end = std::min(end, *options_.until_seq);
        std::size_t bytes = 0;
        std::size_t looked = 0;
        while (at_ < end && bytes < bytes_max && chunk.records.size() < records_max &&
               looked < log_.scan_step_) {
            const StoredRecord& stored = *log_.records_[at_.value++];
            ++looked;
            if (!matches(stored) || (options_.newest_per_key && replaced(stored))) continue;
            chunk.records.push_back(stored.view);
            bytes += stored.value.size();
        }
        chunk.read_to = at_;
        chunk.end = options_.follow ? options_.until_seq && at_ >= *options_.until_seq : at_ >= end;
        return chunk;
    }
    void on_ready(std::function<void()> wake) override {
        log_.wakes_.clear();
        if (wake && log_.head() > at_) return wake();
        if (wake) log_.wakes_.push_back(std::move(wake));
    }
    [[nodiscard]] Seq begin_after() const override { return begin_; }
    [[nodiscard]] Seq end_at() const override { return end_; }

private:
    // What is newer up to where the reader was opened.
    [[nodiscard]] bool replaced(const StoredRecord& stored) const {
        const auto space = [](const StoredRecord& of) {
            return std::string_view(of.topic).substr(0, of.topic.find('/'));
        };
        return stored.view.has_key &&
               std::any_of(log_.records_.begin(), log_.records_.end(), [&](const auto& other) {
                   return other->view.seq > stored.view.seq && other->view.seq <= end_ &&
                          other->key == stored.key && space(*other) == space(stored) &&
                          matches(*other);
               });
    }
    [[nodiscard]] bool matches(const StoredRecord& stored) const {
        if (stored.view.has_key &&
            (stored.view.version < versions_.first || stored.view.version > versions_.last)) {
            return false;
        }
        if (options_.key && (!stored.view.has_key || stored.key != *options_.key)) return false;
        const auto hit = [&](const std::string& filter) {
            return naive_match(filter, stored.topic);
        };
        return std::any_of(options_.filters.begin(), options_.filters.end(), hit) &&
               std::none_of(options_.not_filters.begin(), options_.not_filters.end(), hit);
    }
    FakeLog& log_;
    ReadOptions options_;
    HistoryOptions versions_;
    Seq begin_;
    Seq end_;
    Seq at_;
};

inline Result<std::unique_ptr<Reader>> FakeLog::read(const ReadOptions& options) {
    for (const std::string& filter : options.filters) {
        if (filter.find(' ') != std::string::npos || filter.empty()) {
            return Error{Code::bad_filter, "bad filter (column 1)", {}};
        }
    }
    return std::unique_ptr<Reader>(std::make_unique<FakeReader>(*this, options));
}

inline Result<std::unique_ptr<Reader>> FakeLog::history(const HistoryOptions& options) {
    KLOG_TRY_ASSIGN(const EntityHead head, entity(options.space, options.key));
    if (head.version == Version{}) return Error{Code::not_found, "no such key", {}};
    HistoryOptions versions = options;
    versions.last = std::min(versions.last, head.version);
    if (versions.newest <= versions.last.value) {
        const Version first{versions.last.value - versions.newest + 1};
        versions.first = std::max(versions.first, first);
    }
    ReadOptions read;
    read.filters = {options.space, options.space + "/>"};
    read.key = options.key;
    return std::unique_ptr<Reader>(std::make_unique<FakeReader>(*this, read, versions));
}

// Looks at scan_step_ seqs a step, as the reader does.
class FakeCounter final : public Counter {
public:
    explicit FakeCounter(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}
    [[nodiscard]] bool ready_in_memory() override { return reader_->ready_in_memory(); }
    [[nodiscard]] Result<bool> step() override {
        KLOG_TRY_ASSIGN(const ReadChunk chunk, reader_->read(~0ULL, ~0ULL));
        records_ += chunk.records.size();
        return chunk.end;
    }
    [[nodiscard]] std::uint64_t records() const override { return records_; }

private:
    std::unique_ptr<Reader> reader_;
    std::uint64_t records_ = 0;
};

inline Result<std::unique_ptr<Counter>> FakeLog::counter(const CountOptions& options) {
    ReadOptions range;
    range.filters = options.filters;
    range.not_filters = options.not_filters;
    range.key = options.key;
    range.from.form = ReadFrom::Form::after;
    range.from.seq = options.after;
    range.until_seq = options.until_seq;
    range.until_time = options.until_time;
    KLOG_TRY_ASSIGN(std::unique_ptr<Reader> reader, read(range));
    return std::unique_ptr<Counter>(std::make_unique<FakeCounter>(std::move(reader)));
}

inline Result<Page<KeyRow>> FakeLog::keys(std::string_view space, std::string_view prefix,
                                          std::string_view after, bool deleted, std::size_t limit) {
    std::map<std::string, EntityHead> heads;
    for (const auto& stored : records_) {
        if (stored->view.has_key && same_entity(*stored, space, stored->key)) {
            heads[stored->key] = *entity(space, stored->key);
        }
    }
    Page<KeyRow> page;
    for (const auto& [key, head] : heads) {
        const bool shown =
            key > after && key.starts_with(prefix) && (deleted || head.state == EntityState::live);
        if (!shown) continue;
        if (page.rows.size() == limit) page.more = true;
        if (!page.more) page.rows.push_back({key, head});
    }
    return page;
}

inline Result<Page<TopicRow>> FakeLog::topics(std::string_view filter, std::string_view after,
                                              std::size_t limit) {
    std::map<std::string, TopicRow> rows;
    for (const auto& stored : records_) {
        if (!naive_match(filter, stored->topic) || stored->topic <= after) continue;
        TopicRow& row = rows[stored->topic];
        row = {stored->topic, row.records + 1, stored->view.seq};
    }
    Page<TopicRow> page;
    page.more = rows.size() > limit;
    for (const auto& [topic, row] : rows) {
        if (page.rows.size() < limit) page.rows.push_back(row);
    }
    return page;
}

class FakeStore final : public Store {
public:
    FakeLog log_;
    StoreStats stats_;
    RecoveryReport report_;

    [[nodiscard]] Log& system_log() override { return log_; }
    [[nodiscard]] Log& default_log() override { return log_; }
    void run_writer(std::stop_token) override {}
    void run_maintenance(std::stop_token) override {}
    void run_sealer(std::stop_token) override {}
    Status maintain() override { return {}; }
    Status close() override { return {}; }
    [[nodiscard]] StoreStats stats() const override { return stats_; }
    std::vector<std::string> take_notices() override { return {}; }
    [[nodiscard]] const RecoveryReport& recovery() const override { return report_; }
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_FAKE_STORE_H
