// A group: everything that one sync makes durable. While a group is being synced the next one
// fills up; what is judged for it sees the states that the unfinished groups before it left.
#ifndef KLOG_LOG_GROUP_H
#define KLOG_LOG_GROUP_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "index/key_index.h"
#include "index/memtable.h"
#include "klog/log.h"
#include "log/consumers.h"
#include "segment/record_codec.h"
#include "segment/wal_format.h"

namespace klog {

inline constexpr std::size_t kLogs = 2;

// A frame that records are being added to.
struct FrameBuild {
    FrameBuild(LogId log, Seq first_seq, Time base_time);
    std::shared_ptr<Frame> frame;
    RecordEncoder encoder;
    Time last_time;
    std::vector<std::uint32_t> entities;  // entity_fingerprint of each record that has a key
    // An atomic batch goes on in the next frame: a crash leaves both or neither.
    bool joined = false;
};

// klog's own records, but for checkpoints: what a start has to read behind the newest checkpoint.
struct OwnRecords {
    std::uint64_t newest = 0;  // seq
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    std::uint64_t positions = 0;  // of the records

    void add(const RecordView& record);
    void add(const OwnRecords& others);
};

// What a group does to one log.
struct GroupPart {
    std::vector<FrameBuild> frames;
    // In order; the last one of a slot counts.
    std::vector<std::pair<HeadTable::Slot*, HeadEntry>> heads;
    std::vector<std::pair<IdTable::Slot*, IdEntry>> ids;
    std::vector<std::pair<SessionTable::Slot*, SessionEntry>> sessions;
    // Views into the batches' memory.
    std::vector<std::pair<std::string_view, std::string_view>> new_keys;
    std::unordered_map<std::string_view, TopicCount> topics;
    std::string_view last_topic;
    TopicCount* last_count = nullptr;
    std::vector<std::pair<std::string, std::string>> settings;  // topic, value
    std::uint64_t settings_seq = 0;
    ConsumerChanges consumers;
    OwnRecords own;
    Seq last_seq;
    Time last_time;
    std::uint64_t records = 0;
};

struct Group {
    std::uint64_t number = 0;
    std::array<GroupPart, kLogs> parts;
    std::vector<std::unique_ptr<WriteBatch>> batches;
    std::size_t bytes = 0;
    bool sealed = false;  // nothing may join any more
    [[nodiscard]] bool empty() const { return batches.empty(); }
};

}  // namespace klog

#endif  // KLOG_LOG_GROUP_H
