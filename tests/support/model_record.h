// What the model of a log knows of a record, a stream and a batch.
#ifndef KLOG_TESTS_SUPPORT_MODEL_RECORD_H
#define KLOG_TESTS_SUPPORT_MODEL_RECORD_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/log_helpers.h"

namespace klog::test {

inline constexpr std::string_view kModelSettings = "$klog/settings/";
inline constexpr std::string_view kModelCheckpoint = "$klog/checkpoint";

struct ModelRecord {
    std::uint64_t seq = 0;
    std::uint64_t version = 0;
    std::int64_t time = 0;
    Put put;
    SessionId session;
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

struct SentBatch {
    std::vector<Put> puts;
    std::shared_ptr<ModelStream> stream;
};

inline bool environment_code(Code code) {
    return code == Code::disk_full || code == Code::io || code == Code::backpressure ||
           code == Code::stopping || code == Code::outcome_unknown || code == Code::corrupt;
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_MODEL_RECORD_H
