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
    const auto far_behind = [&](Seq listed) {
        const Seq covered = watermark.covered_upto;
        return covered.value - std::min(listed, covered).value > options_.rebuild_later_records;
    };
    core.list_wanted = far_behind(Seq{});
    if (!there) return {};
    KLOG_TRY_ASSIGN(const Seq listed, core.key_index->watermark());
    core.list_wanted = far_behind(listed);
    for (std::string& notice : core.key_index->take_notices()) {
        report_.notices.push_back(std::move(notice));
    }
    if (listed > last) return lost("the key index " + path, listed, last);
    core.pending_after.store(std::max(watermark.covered_upto, listed).value);
    return {};
}

// The checkpoint's records lead from the last one to the first, and all are as of the same seq.
Result<Seq> StoreImpl::recover_checkpoint(LogCore& core, Seq checkpoint) {
    FrameSource source(core.id, *wal_, catalog_, core.tail);
    Seq as_of;
    for (Seq at = checkpoint; at != Seq{};) {
        std::optional<CheckpointRecord> held;
        const auto visit = [&](const RecordView& record) -> Status {
            if (record.topic != kCheckpointTopic) return {};
            KLOG_TRY_ASSIGN(held, decode_checkpoint(record.value, record.seq));
            return {};
        };
        KLOG_TRY(for_each_record(source, Seq{at.value - 1}, at, nullptr, visit));
        if (!held) {
            return Error{Code::corrupt,
                         "seq " + std::to_string(at.value) +
                             ", which should be a checkpoint of settings, is something else",
                         "restore wal/ and seg/ from the same copy"};
        }
        as_of = held->as_of;
        at = held->previous;
        checkpoint_bytes_[static_cast<std::size_t>(core.id)] += held->consumers.size();
        KLOG_TRY(core.sequencer.restore_checkpoint(*std::move(held)));
    }
    return as_of;
}

Status StoreImpl::recover_settings(LogCore& core, const RunWatermark& watermark, Seq upto) {
    const Seq checkpoint{checkpoints_[static_cast<std::size_t>(core.id)]};
    if (checkpoint > core.tail.head()) {
        return lost("a WAL header or the clean marker", checkpoint, core.tail.head());
    }
    KLOG_TRY_ASSIGN(const Seq as_of, recover_checkpoint(core, checkpoint));
    core.sequencer.restore_position({watermark.covered_upto, watermark.last_time, as_of.value});
    core.sequencer.restore_own(watermark.settings_seq, as_of);
    if (upto <= watermark.covered_upto && watermark.settings_seq <= as_of.value) return {};
    FrameSource source(core.id, *wal_, catalog_, core.tail);
    const std::vector<std::string> own = {"$klog/>"};
    KLOG_TRY_ASSIGN(const FilterSet filter, FilterSet::parse(own, {}));
    return for_each_record(source, as_of, upto, &filter, [&](const RecordView& record) {
        return core.sequencer.replay_own(record);
    });
}

Status StoreImpl::recover_log(LogCore& core) {
    const RunWatermark watermark = core.runs->watermark();
    const Seq last = core.tail.head();
    const bool later = last.value - watermark.covered_upto.value > options_.rebuild_later_records;
    KLOG_TRY(recover_settings(core, watermark, later ? last : watermark.covered_upto));
    if (later) {
        core.settings_seq.store(core.sequencer.durable().settings_seq);
        rebuilder_->begin(core, watermark.covered_upto);
        return {};
    }
    const Seq listed{core.pending_after.load()};
    FrameSource source(core.id, *wal_, catalog_, core.tail);
    std::uint64_t replayed = 0;
    const auto visit = [&](const RecordView& record) -> Status {
        KLOG_TRY(core.sequencer.replay(record, wal_->hash_key(), false, record.seq <= listed));
        if (++replayed % kReplayStepRecords == 0 && flusher_->due()) return flusher_->flush();
        return {};
    };
    KLOG_TRY(for_each_record(source, watermark.covered_upto, last, nullptr, visit));
    report_.records_replayed += replayed;
    const Sequencer::Position& durable = core.sequencer.durable();
    if (durable.last_seq != last) return lost("a file index", last, durable.last_seq);
    core.settings_seq.store(durable.settings_seq);
    return {};
}

}  // namespace klog
