// What a log keeps in records of its own: settings and consumers.
#include <algorithm>

#include "base/assert.h"
#include "log/sequencer.h"

namespace klog {
namespace {

std::string_view consumer_of(std::string_view topic) {
    return topic.substr(kConsumerTopicPrefix.size());
}

}  // namespace

bool is_own(const RecordView& record) {
    if (record.kind == Kind::positions) return record.topic == kPositionsTopic;
    return record.kind == Kind::settings && record.topic != kCheckpointTopic;
}

void OwnRecords::add(const RecordView& record) {
    newest = record.seq.value;
    ++records;
    bytes += record.topic.size() + record.value.size();
    if (record.kind == Kind::positions) ++positions;
}

void OwnRecords::add(const OwnRecords& others) {
    newest = std::max(newest, others.newest);
    records += others.records;
    bytes += others.bytes;
    positions += others.positions;
}

void Sequencer::write_own(GroupPart& part, Group& group, const RecordView& view) {
    part.own.add(view);
    if (view.kind != Kind::settings || view.topic.starts_with(kConsumerTopicPrefix)) return;
    part.settings.emplace_back(view.topic, view.value);
    part.settings_seq = view.seq.value;
    latest_.settings_seq = view.seq.value;
    group.sealed = true;  // what comes after is judged under the new settings
}

void Sequencer::apply_setting(std::string_view topic, std::string_view value) {
    settings_.insert_or_assign(std::string(topic), std::string(value));
}

void Sequencer::restore_own(std::uint64_t newest, Seq as_of) {
    own_.newest = std::max(own_.newest, newest);
    checkpoint_as_of_ = as_of;
}

Status Sequencer::restore_checkpoint(CheckpointRecord record) {
    settings_.merge(std::move(record.settings));
    return record.consumers.empty() ? Status{} : consumers_.restore_part(record.consumers);
}

Status Sequencer::replay_own(const RecordView& record) {
    // The checkpoint knows what came of those before it, and may know more.
    if (!is_own(record) || record.seq <= checkpoint_as_of_) return {};
    own_.add(record);
    if (record.kind == Kind::positions) return consumers_.replay_positions(record.value);
    if (record.topic.starts_with(kConsumerTopicPrefix)) {
        return consumers_.replay_definition(consumer_of(record.topic), record.value);
    }
    apply_setting(record.topic, record.value);
    durable_.settings_seq = std::max(durable_.settings_seq, record.seq.value);
    return {};
}

}  // namespace klog
