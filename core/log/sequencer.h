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
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/memtable.h"
#include "klog/log.h"
#include "log/checkpoint.h"
#include "log/consumers.h"
#include "log/group.h"
#include "log/guards.h"
#include "log/pending_index.h"
#include "log/prepare.h"
#include "topic/recent_topics.h"

namespace klog {

// A settings or positions record, which a start has to apply.
[[nodiscard]] bool is_own(const RecordView& record);

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
        std::uint64_t positions = 0;  // records of them
    };

    Sequencer(LogId log, std::uint64_t session_seconds, PendingIndex& pending);

    // Fills every result of the batch and adds what is accepted to the group. Precondition: the
    // batch was prepared and looked up against the runs as they are now; where it has guards over
    // filters, look() was called in the same hold of the mutex.
    void judge(WriteBatch& batch, Group& group, Time now);

    // Looks at all that guards ask about and nobody looked at yet, up to the newest record that was
    // judged, in memory. False: for some of them memory does not reach far enough back, or it would
    // take more than about steps_max together; see look_closer(). Precondition: watches_topics().
    [[nodiscard]] bool look(WriteBatch::Looked& looked, std::size_t steps_max);
    // Topics are watched from the first guard on, and until none came for a minute. `unfinished`:
    // the groups that are not durable, oldest first.
    [[nodiscard]] bool watches_topics() const { return recent_.has_value(); }
    void watch_topics(std::span<const Group* const> unfinished, const HashKey& key,
                      Time now) noexcept;
    // How often unfinished groups were taken back.
    [[nodiscard]] std::uint64_t drops() const { return drops_; }
    [[nodiscard]] const RecentTopics* recent_topics() const {
        return recent_ ? &*recent_ : nullptr;
    }

    // The group is durable: its states are what readers and later judgements build on.
    void publish(Group& group);
    // None of the unfinished groups will become durable. They must all be given.
    void drop(Group& group);
    void reset_to_durable();

    // Recovery: one record of the log, in order. settings_known: restore_settings gave them
    // already; listed: the key index holds its key and topic.
    Status replay(const RecordView& record, const HashKey& key, bool settings_known, bool listed);
    // Back to before the first record, but for the settings. Precondition: no group is unfinished.
    void forget_heads();
    void restore_position(const Position& position);

    [[nodiscard]] Memtable& memtable() { return memtable_; }
    [[nodiscard]] const Memtable& memtable() const { return memtable_; }
    [[nodiscard]] const Position& durable() const { return durable_; }
    [[nodiscard]] const SettingsMap& settings() const { return settings_; }
    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] ConsumerTable& consumers() { return consumers_; }
    [[nodiscard]] const ConsumerTable& consumers() const { return consumers_; }
    // Of those that are durable; what was recovered is part of it.
    [[nodiscard]] const OwnRecords& own() const { return own_; }

    // Recovery of what klog keeps in its own records. Errors: corrupt. newest: at least there is
    // one with that seq.
    Status restore_checkpoint(CheckpointRecord record);
    Status replay_own(const RecordView& record);
    // as_of: of the checkpoint, whose records do not count in own().
    void restore_own(std::uint64_t newest, Seq as_of);

private:
    struct Call;
    void judge_record(Call& call, std::size_t index);
    [[nodiscard]] HeadTable::Slot& entity_of(const PreparedRecord& prepared);
    [[nodiscard]] std::optional<Violation> judge_guard(Call& call, GuardLook& look);
    void stop_watching(const Call& call);
    void judge_atomic(Call& call);
    [[nodiscard]] std::size_t judge_ids(Call& call, std::vector<Violation>& violations);
    void judge_expectations(Call& call, std::vector<Violation>& violations);
    void write_all(Call& call);
    void write_acks(Call& call);
    [[nodiscard]] bool known_line(Call& call, const WriteRecord& record, WriteResult& result);
    [[nodiscard]] bool known_id(const WriteRecord& record, const PreparedRecord& prepared,
                                WriteResult& result);
    void write(Call& call, const WriteRecord& record, const PreparedRecord& prepared,
               HeadTable::Slot* entity, WriteResult& result);
    void apply_setting(std::string_view topic, std::string_view value);
    void judge_step(Call& call, std::size_t index);
    void write_own(GroupPart& part, Group& group, const RecordView& view);

    LogId log_;
    std::int64_t session_micros_;
    PendingIndex& pending_;
    Memtable memtable_;
    Position durable_;
    Position latest_;
    SettingsMap settings_;
    ConsumerTable consumers_;
    OwnRecords own_;
    Seq checkpoint_as_of_;  // of the one that was recovered
    Counters counters_;
    std::optional<RecentTopics> recent_;  // of all that was judged, unfinished groups included
    Time guarded_at_;                     // when a guard was judged last
    std::uint64_t drops_ = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_SEQUENCER_H
