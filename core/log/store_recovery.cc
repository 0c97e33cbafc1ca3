// What a start does behind the WAL's own recovery: file indexes, runs, settings, and the records
// that no run covers yet.
#include <algorithm>

#include "log/prepare.h"
#include "log/scan.h"
#include "log/store_impl.h"

namespace klog {
namespace {

// Between two looks at how much memory the replay has filled.
constexpr std::uint64_t kReplayStepRecords = 4096;

Error lost(std::string_view what, Seq claimed, Seq found) {
    return Error{Code::corrupt,
                 std::string(what) + " knows seq " + std::to_string(claimed.value) +
                     ", but the log ends at " + std::to_string(found.value) +
                     ": records that were acknowledged are missing from wal/",
                 "put the missing WAL files back, or restore the data directory from a copy"};
}

}  // namespace

Status StoreImpl::recover() {
    KLOG_TRY(catalog_.open(report_.notices));
    for (const auto& core : cores_) {
        KLOG_TRY(check_continues(*core));
        core->tail.restore_head(
            std::max(segments_->last_seq(core->id), catalog_.last_seq(core->id)));
        KLOG_TRY(open_indexes(*core));
        KLOG_TRY(recover_log(*core));
    }
    return {};
}

Status StoreImpl::check_continues(const LogCore& core) const {
    const Seq sealed = segments_->last_seq(core.id);
    const Seq first = catalog_.first_seq(core.id);
    if (first == Seq{} || first.value == sealed.value + 1) return {};
    return Error{Code::corrupt,
                 "the segments end at seq " + std::to_string(sealed.value) +
                     ", and the files in wal/ begin at seq " + std::to_string(first.value),
                 "restore wal/ and seg/ from the same copy"};
}

Status StoreImpl::open_indexes(LogCore& core) {
    const Seq last = core.tail.head();
    const std::string dir = index_dir(core.id);
    core.index_dir = dir;
    KLOG_TRY_ASSIGN(core.runs, RunSet::open(env_, dir, wal_->store_uuid(), report_.notices));
    const RunWatermark watermark = core.runs->watermark();
    if (watermark.covered_upto > last) return lost("a run in " + dir, watermark.covered_upto, last);
    if (clean_next_seqs_) {
        const std::uint64_t next = (*clean_next_seqs_)[static_cast<std::size_t>(core.id)];
        if (next != last.value + 1) return lost("the clean marker", Seq{next - 1}, last);
    }
    const std::string path = env_.database_path(dir + "/keys.db");
    core.key_index = KeyIndex::make(path, wal_->store_uuid());
    core.pending_after.store(watermark.covered_upto.value);
    // Opening SQLite costs a start more than all the rest, so an index that is not there is made
    // at its first use.
    KLOG_TRY_ASSIGN(const bool there, path == ":memory:" ? Result<bool>(false) : env_.exists(path));
    if (!there) return {};
    KLOG_TRY_ASSIGN(const Seq listed, core.key_index->watermark());
    for (std::string& notice : core.key_index->take_notices()) {
        report_.notices.push_back(std::move(notice));
    }
    if (listed > last) return lost("the key index " + path, listed, last);
    core.pending_after.store(std::max(watermark.covered_upto, listed).value);
    return {};
}

Status StoreImpl::recover_settings(LogCore& core, const RunWatermark& watermark) {
    const Seq checkpoint{checkpoints_[static_cast<std::size_t>(core.id)]};
    FrameSource source(core.id, *wal_, catalog_, core.tail);
    SettingsMap settings;
    std::uint64_t settings_seq = 0;
    const auto visit = [&](const RecordView& record) -> Status {
        if (record.kind != Kind::settings) return {};
        if (record.topic == kCheckpointTopic) {
            KLOG_TRY_ASSIGN(settings, decode_settings(record.value));
        } else {
            settings.insert_or_assign(std::string(record.topic), std::string(record.value));
        }
        settings_seq = record.seq.value;
        return {};
    };
    if (checkpoint > core.tail.head()) {
        return lost("a WAL header", checkpoint, core.tail.head());
    }
    if (checkpoint != Seq{}) {
        KLOG_TRY(for_each_record(source, Seq{checkpoint.value - 1}, checkpoint, nullptr, visit));
    }
    if (watermark.settings_seq > checkpoint.value) {
        const std::vector<std::string> own = {"$klog/>"};
        KLOG_TRY_ASSIGN(const FilterSet filter, FilterSet::parse(own, {}));
        KLOG_TRY(for_each_record(source, checkpoint, watermark.covered_upto, &filter, visit));
    }
    core.sequencer.restore_settings(std::move(settings));
    core.sequencer.restore_position({watermark.covered_upto, watermark.last_time,
                                     std::max(settings_seq, watermark.settings_seq)});
    return {};
}

Status StoreImpl::recover_log(LogCore& core) {
    const RunWatermark watermark = core.runs->watermark();
    KLOG_TRY(recover_settings(core, watermark));
    const Seq listed{core.pending_after.load()};
    const Seq last = core.tail.head();
    FrameSource source(core.id, *wal_, catalog_, core.tail);
    std::uint64_t replayed = 0;
    KLOG_TRY(for_each_record(
        source, watermark.covered_upto, last, nullptr, [&](const RecordView& record) -> Status {
            core.sequencer.replay(record, wal_->hash_key(), false, record.seq <= listed);
            if (++replayed % kReplayStepRecords == 0 && flusher_->due()) return flusher_->flush();
            return {};
        }));
    report_.records_replayed += replayed;
    const Sequencer::Position& durable = core.sequencer.durable();
    if (durable.last_seq != last) return lost("a file index", last, durable.last_seq);
    core.settings_seq.store(durable.settings_seq);
    return {};
}

}  // namespace klog
