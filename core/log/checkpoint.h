// A checkpoint: all settings and consumers that are alive, as records of the log, so that a start
// need not read what made them.
//
// It stands in one or several records. Each names the one before it, and the last one is what the
// headers of WAL files and the clean marker point at: one that was broken off is never found. It
// says as of which seq it is; a start applies what stands behind that. It may know more than that
// already, which is then applied again and comes to the same.
#ifndef KLOG_LOG_CHECKPOINT_H
#define KLOG_LOG_CHECKPOINT_H

#include <map>
#include <string>
#include <string_view>

#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// Under $klog/, so that no user's topic can meet them.
inline constexpr std::string_view kSettingsTopicPrefix = "$klog/settings/";
inline constexpr std::string_view kCheckpointTopic = "$klog/checkpoint";

using SettingsMap = std::map<std::string, std::string, std::less<>>;  // topic to value

struct CheckpointRecord {
    SettingsMap settings;  // of the first one
    Seq as_of;
    Seq previous;           // 0: this is the first one
    std::string consumers;  // see ConsumerTable::checkpoint_part
};
[[nodiscard]] std::string encode_checkpoint(const CheckpointRecord& record);
// seq: its own, which is what an older form without consumers is as of. Errors: corrupt.
[[nodiscard]] Result<CheckpointRecord> decode_checkpoint(std::string_view value, Seq seq);

}  // namespace klog

#endif  // KLOG_LOG_CHECKPOINT_H
