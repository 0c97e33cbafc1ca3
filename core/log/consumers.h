// The consumers of one log: what is judged about them, what is durable, and the forms in which they
// stand in the log (schemas/wal.md, "Consumers").
//
// Each change is a step of a batch, judged in the order of the log: judge() changes what later
// judgements see, publish() what everybody sees. An acknowledgement of its own changes both at
// once, in memory; it is dirty until a gathered record that holds it was judged.
//
// Threads: none of its own; the pipeline's mutex guards it.
#ifndef KLOG_LOG_CONSUMERS_H
#define KLOG_LOG_CONSUMERS_H

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "klog/consumer.h"
#include "klog/types.h"

namespace klog {

inline constexpr std::string_view kConsumerTopicPrefix = "$klog/settings/consumer/";
inline constexpr std::string_view kPositionsTopic = "$klog/positions";

// Where a consumer stands.
struct ConsumerState {
    Seq position;
    std::uint64_t lease = 0;
    Time active;
    std::string result;
};

struct ConsumerEntry {
    const std::string* name = nullptr;              // the key in the table
    std::string definition;                         // encoded; the latest one
    std::unique_ptr<std::string> shown_definition;  // where an unfinished group changed it
    ConsumerState latest;                           // unfinished groups included
    ConsumerState shown;
    std::uint32_t pending = 0;   // changes in unfinished groups
    std::uint32_t restarts = 0;  // those of them behind which a position begins anew
    bool exists = false;         // unfinished groups included
    bool exists_shown = false;
    bool dirty = false;  // `shown` holds more than the log, and is to be gathered
    Seq recorded;        // the position in the log, at least
};

// One step, and what it came to. A batch of steps has a record for each.
struct ConsumerStep {
    enum class What : std::uint8_t { put, remove, reset, lease, gather };
    What what = What::gather;
    std::string name;
    std::string definition;           // put: encoded
    Seq seq;                          // put: where it starts; reset: the position
    std::optional<Time> idle_before;  // remove: only if it was not active since then
    std::string value;                // of the record
};

// What a group does to a consumer when it becomes durable.
struct ConsumerChange {
    enum class What : std::uint8_t { put, remove, reset, lease, ack, gathered };
    What what = What::gathered;
    ConsumerEntry* entry = nullptr;
    ConsumerState state = {};     // what of it counts depends on `what`
    std::string definition = {};  // put
};
using ConsumerChanges = std::vector<ConsumerChange>;

// A consumer's definition.
struct ConsumerDefinition {
    std::vector<std::string> filters;
    std::vector<std::string> not_filters;
    Time created;
    Seq start;
};
[[nodiscard]] std::string encode_definition(const ConsumerDefinition& definition);
// The value that says that a consumer was removed.
[[nodiscard]] std::string encode_removal();
// nullopt: removed. Errors: corrupt.
[[nodiscard]] Result<std::optional<ConsumerDefinition>> decode_definition(std::string_view value);
// The same filters, in whatever order.
[[nodiscard]] bool same_filters(const ConsumerDefinition& a, const ConsumerDefinition& b);

// A line of a positions record.
struct PositionLine {
    std::string_view name;
    Seq position;
    Time active;
    bool exact = false;  // back as well; else a position only grows
    std::optional<std::uint64_t> lease;
    std::string_view result;
};
[[nodiscard]] std::string encode_positions(const std::vector<PositionLine>& lines);
// Views into value. Errors: corrupt.
[[nodiscard]] Result<std::vector<PositionLine>> decode_positions(std::string_view value);

class ConsumerTable {
public:
    // Moving past what does not match is worth a record only if it spares a reader so many seqs:
    // else idle readers would keep each other's positions moving.
    static constexpr std::uint64_t kPassedSeqsMin = 4096;
    // A gathered record holds about so much at most.
    static constexpr std::size_t kRecordBytesMax = 256 * 1024;

    // bytes_max: what all consumers may take in memory; past it no more are made.
    explicit ConsumerTable(std::size_t bytes_max = Limits::kConsumersBytesMax)
        : bytes_max_(bytes_max) {}

    // What is to be written for a step. True: step.value, under topic_of(step), with that seq.
    // False: nothing; it holds already. Errors: as Consumers says.
    [[nodiscard]] Result<bool> judge(ConsumerStep& step, Seq seq, Seq head, Time now,
                                     ConsumerChanges& changes);
    [[nodiscard]] static std::string topic_of(const ConsumerStep& step);

    // Acks of an atomic batch. The error, or nullopt. head: the newest seq before the batch.
    [[nodiscard]] std::optional<Error> check_ack(std::string_view name, Seq seq,
                                                 std::optional<std::uint64_t> lease,
                                                 Seq head) const;
    // … and once all of the batch holds: the value of one record for all of them.
    [[nodiscard]] std::string judge_acks(const std::vector<BatchAck>& acks, Time now,
                                         ConsumerChanges& changes);

    // All changes of a group, in their order. drop: all unfinished groups, oldest first, and then
    // dropped() once.
    void publish(ConsumerChanges& changes);
    void drop(ConsumerChanges& changes);
    void dropped();

    // See Consumers. head: the newest durable seq.
    [[nodiscard]] Result<Seq> ack(std::string_view name, Seq seq,
                                  std::optional<std::uint64_t> lease, std::string_view result,
                                  Seq head, Time now);
    [[nodiscard]] Status pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to,
                              Time now);

    [[nodiscard]] Result<ConsumerInfo> find(std::string_view name) const;
    [[nodiscard]] Page<ConsumerInfo> page(std::string_view after, std::size_t limit) const;
    [[nodiscard]] std::size_t size() const { return shown_; }

    // What a gathered record would hold.
    [[nodiscard]] std::size_t dirty_bytes() const { return dirty_bytes_; }

    // Recovery. Errors: corrupt.
    [[nodiscard]] Status replay_definition(std::string_view name, std::string_view value);
    [[nodiscard]] Status replay_positions(std::string_view value);
    void clear();

    // A part of a checkpoint: consumers behind `after`, which moves on, of about kRecordBytesMax.
    // Appends to out. True: there are more.
    [[nodiscard]] bool checkpoint_part(std::string& after, std::string& out) const;
    [[nodiscard]] Status restore_part(std::string_view part);

private:
    using Entries = std::map<std::string, ConsumerEntry, std::less<>>;

    // What an entry takes beside its texts, about.
    static constexpr std::size_t kEntryBytes = 256;

    [[nodiscard]] ConsumerEntry* entry_of(std::string_view name);
    [[nodiscard]] const ConsumerEntry* entry_of(std::string_view name) const;
    ConsumerEntry& obtain(std::string_view name);
    void erase(ConsumerEntry& entry);
    void define(ConsumerEntry& entry, std::string definition);
    void show(ConsumerEntry& entry, bool exists);
    void soil(ConsumerEntry& entry);
    void clean(ConsumerEntry& entry);
    [[nodiscard]] Result<bool> judge_put(ConsumerStep& step, Seq head, Time now,
                                         ConsumerChanges& changes);
    [[nodiscard]] Result<bool> judge_remove(ConsumerStep& step, ConsumerChanges& changes);
    [[nodiscard]] Result<bool> judge_position(ConsumerStep& step, Seq seq, Seq head, Time now,
                                              ConsumerChanges& changes);
    [[nodiscard]] bool judge_gather(ConsumerStep& step, Time now, ConsumerChanges& changes);

    Entries entries_;
    std::size_t shown_ = 0;
    std::unordered_set<ConsumerEntry*> dirty_;
    std::size_t dirty_bytes_ = 0;
    std::vector<ConsumerEntry*> doomed_;  // made by groups that were dropped
    const std::size_t bytes_max_;
    std::size_t bytes_ = 0;  // of all entries
};

}  // namespace klog

#endif  // KLOG_LOG_CONSUMERS_H
