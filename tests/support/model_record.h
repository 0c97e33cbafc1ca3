// What the model of a log knows of a record, a stream and a batch.
#ifndef KLOG_TESTS_SUPPORT_MODEL_RECORD_H
#define KLOG_TESTS_SUPPORT_MODEL_RECORD_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/log_helpers.h"

namespace klog::test {

inline constexpr std::string_view kModelSettings = "$klog/settings/";
// Checkpoints, consumers and their positions: klog writes them without anybody's record.
inline bool written_by_itself(std::string_view topic) {
    return topic == "$klog/checkpoint" || topic == "$klog/positions" ||
           topic.starts_with("$klog/settings/consumer/");
}

struct ModelRecord {
    std::uint64_t seq = 0;
    std::uint64_t version = 0;
    std::int64_t time = 0;
    Put put;
    SessionId session;
    // Of an atomic batch whose outcome is unknown: which one, and how many records it has. 0: none.
    std::uint64_t batch = 0;
    std::size_t batch_index = 0;
    std::size_t batch_records = 0;
    [[nodiscard]] bool internal() const { return put.topic.starts_with('$'); }
};

inline std::string space_of_topic(const std::string& topic) {
    return topic.substr(0, topic.find('/'));
}

// A stream as its client sees it.
struct ModelStream {
    std::shared_ptr<WriteStream> stream = std::make_shared<WriteStream>();
    bool stopped = false;
};

// A guard of an atomic batch; of filters where `filters` is there.
struct SentGuard {
    std::optional<FilterGuard> filters;
    std::string space;
    std::string key;
    Expect expect;
};

struct SentBatch {
    std::vector<Put> puts;
    std::shared_ptr<ModelStream> stream;
    bool atomic = false;            // then lines are numbered from 1, guards behind records
    std::vector<SentGuard> guards;  // of an atomic one
};

// What the log answered.
struct GivenAnswer {
    std::vector<WriteResult> results;
    std::shared_ptr<AtomicPart> atomic;  // null unless it was
};

inline std::unique_ptr<WriteBatch> make_batch(const SentBatch& sent) {
    auto batch = make_batch(sent.puts, sent.stream ? sent.stream->stream : nullptr);
    if (!sent.atomic) return batch;
    batch->atomic = std::make_unique<AtomicPart>();
    std::uint64_t line = 0;
    for (WriteRecord& record : batch->records) record.line = ++line;
    for (const SentGuard& guard : sent.guards) {
        BatchGuard out;
        out.line = ++line;
        if (guard.filters) {
            out.filters = batch->keep(*guard.filters);
        } else {
            out.space = batch->keep(guard.space);
            out.key = batch->keep(guard.key);
            out.expect = guard.expect;
        }
        batch->atomic->guards.push_back(out);
    }
    return batch;
}

inline bool environment_code(Code code) {
    return code == Code::disk_full || code == Code::io || code == Code::backpressure ||
           code == Code::stopping || code == Code::outcome_unknown || code == Code::corrupt;
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_MODEL_RECORD_H
