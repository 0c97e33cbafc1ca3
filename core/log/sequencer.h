// The sequencer of one log: judges ids and expected versions, assigns seq, version and time, and
// encodes what is accepted into the open group.
//
// It judges against the latest state of each entity, which may belong to a group that is not
// synced yet. Whatever it answers is given out only when the group that the answer was judged in
// is durable; if a group fails, drop() takes all unfinished groups back.
//
// Threads: none of its own; the pipeline's mutex guards it.
#ifndef KLOG_LOG_SEQUENCER_H
#define KLOG_LOG_SEQUENCER_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "index/memtable.h"
#include "klog/log.h"
#include "log/group.h"
#include "log/pending_index.h"
#include "log/prepare.h"

namespace klog {

// Under $klog/, so that no user's topic can meet them.
inline constexpr std::string_view kSettingsTopicPrefix = "$klog/settings/";
inline constexpr std::string_view kCheckpointTopic = "$klog/checkpoint";

using SettingsMap = std::map<std::string, std::string, std::less<>>;

// A checkpoint's value: all settings that are alive.
[[nodiscard]] std::string encode_settings(const SettingsMap& settings);
[[nodiscard]] Result<SettingsMap> decode_settings(std::string_view value);

class Sequencer {
public:
    struct Position {
        Seq last_seq;
        Time last_time;
        std::uint64_t settings_seq = 0;
    };
    struct Counters {
        std::uint64_t written = 0;
        std::uint64_t refused = 0;
        std::uint64_t duplicates = 0;
    };

    Sequencer(LogId log, std::uint64_t session_seconds, PendingIndex& pending);

    // Fills every result of the batch and adds what is accepted to the group. Precondition: the
    // batch was prepared and looked up against the runs as they are now.
    void judge(WriteBatch& batch, Group& group, Time now);

    // The group is durable: its states are what readers and later judgements build on.
    void publish(Group& group);
    // None of the unfinished groups will become durable. They must all be given.
    void drop(Group& group);
    void reset_to_durable();

    // Recovery: one record of the log, in order. heads_known: the runs cover it already;
    // listed: the key index does.
    void replay(const RecordView& record, const HashKey& key, bool heads_known, bool listed);
    void restore_position(const Position& position);

    [[nodiscard]] Memtable& memtable() { return memtable_; }
    [[nodiscard]] const Memtable& memtable() const { return memtable_; }
    [[nodiscard]] const Position& durable() const { return durable_; }
    [[nodiscard]] const SettingsMap& settings() const { return settings_; }
    [[nodiscard]] const Counters& counters() const { return counters_; }
    void restore_settings(SettingsMap settings) { settings_ = std::move(settings); }

private:
    struct Call;
    void judge_record(Call& call, std::size_t index);
    [[nodiscard]] bool known_line(Call& call, const WriteRecord& record, WriteResult& result);
    [[nodiscard]] bool known_id(const WriteRecord& record, const PreparedRecord& prepared,
                                WriteResult& result);
    void write(Call& call, const WriteRecord& record, const PreparedRecord& prepared,
               HeadTable::Slot* entity, WriteResult& result);
    void apply_setting(std::string_view topic, std::string_view value);

    LogId log_;
    std::int64_t session_micros_;
    PendingIndex& pending_;
    Memtable memtable_;
    Position durable_;
    Position latest_;
    SettingsMap settings_;
    Counters counters_;
};

}  // namespace klog

#endif  // KLOG_LOG_SEQUENCER_H
