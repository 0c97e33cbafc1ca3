// Opening a store of which nothing is written: what is missing or damaged becomes a hole, and what
// no index on disk says is made in memory.
#include <algorithm>
#include <utility>

#include "env/read_only_env.h"
#include "log/holes.h"
#include "log/scan.h"
#include "log/store_impl.h"

namespace klog {
namespace {

// Between two looks at how much memory the heads have filled.
constexpr std::uint64_t kReplayStepRecords = 4096;
constexpr std::size_t kCopyBytes = 1U << 20U;

bool is_damage(const Error& error) { return error.code == Code::corrupt || error.code == Code::io; }

Status copy_file(Env& env, const std::string& from, const std::string& to) {
    KLOG_TRY_ASSIGN(const bool there, env.exists(from));
    if (!there) return {};
    KLOG_TRY_ASSIGN(const auto source, env.open(from, OpenMode::read));
    KLOG_TRY_ASSIGN(const auto target, env.open(to, OpenMode::create_new));
    std::string buffer(kCopyBytes, '\0');
    for (std::uint64_t at = 0;;) {
        KLOG_TRY_ASSIGN(const std::size_t got, source->read_at(at, buffer));
        if (got == 0) return {};
        KLOG_TRY(target->write_at(at, std::string_view(buffer).substr(0, got)));
        at += got;
    }
}

// The database with the journal of a process that was killed, which SQLite takes up in the copy.
Status copy_database(Env& env, const std::string& from, const std::string& to) {
    for (const char* suffix : {"", "-wal"}) {
        Status copied = copy_file(env, from + suffix, to + suffix);
        if (copied.ok()) continue;
        // Half of it is worse than nothing; the index is then made anew from the log.
        for (const char* part : {"", "-wal"}) static_cast<void>(env.remove(to + part));
        return copied;
    }
    return {};
}

Error heads_error(const Error& cause) {
    return Error{cause.code, "what is newest of this key is not known: " + cause.message,
                 cause.hint};
}

}  // namespace

Result<std::unique_ptr<Store>> StoreImpl::open_read_only(Env& env, const StoreOptions& options) {
    auto guard = std::make_unique<ReadOnlyEnv>(env, options.scratch_dir);
    auto lock = guard->lock(options.dir + "/klog.lock");
    if (!lock.ok() && lock.error().code == Code::not_found) {
        return Error{Code::no_input, "there is no data directory " + options.dir,
                     "name the one to read: --data-dir D"};
    }
    if (!lock.ok()) return std::move(lock).error();
    WalOptions wal;
    wal.dir = options.dir;
    wal.read_only = true;
    KLOG_TRY_ASSIGN(std::unique_ptr<SegmentSet> set,
                    SegmentSet::open(*guard, options.dir, wal.writer));
    auto segments = std::make_unique<SegmentCatalog>(
        *guard, options.dir, options.segment_cache_bytes, SegmentCatalog::Damage::is_a_hole);
    KLOG_TRY(segments->follow(*set->state()));
    KLOG_TRY_ASSIGN(Wal::Opened opened, Wal::open(*guard, wal, *set->state()));
    std::vector<WalDamage> damages = std::move(opened.damages);
    const bool end_lost = opened.end_lost;
    auto store = std::make_unique<StoreImpl>(*guard, options, std::move(*lock), std::move(set),
                                             std::move(segments), std::move(opened));
    store->guard_ = std::move(guard);
    KLOG_TRY(store->recover_read_only(std::move(damages), end_lost));
    return std::unique_ptr<Store>(std::move(store));
}

Status StoreImpl::recover_read_only(std::vector<WalDamage> damages, bool end_lost) {
    KLOG_TRY(catalog_.open(report_.notices, &damages));
    std::stable_sort(damages.begin(), damages.end(),
                     [](const WalDamage& a, const WalDamage& b) { return a.wal_id < b.wal_id; });
    const std::vector<WalFileInfo> files = wal_->files();
    end_lost = end_lost || (!damages.empty() && !files.empty() &&
                            damages.back().wal_id >= files.back().header.wal_id);
    report_.holes = segments_->holes();
    for (const auto& core : cores_) {
        KLOG_TRY(open_indexes_read_only(*core));
        Seq known = std::max(core->runs->watermark().covered_upto, Seq{core->pending_after.load()});
        if (clean_next_seqs_) {
            const std::uint64_t next = (*clean_next_seqs_)[static_cast<std::size_t>(core->id)];
            known = std::max(known, Seq{next - std::min<std::uint64_t>(next, 1)});
        }
        KLOG_TRY(find_holes(*core, damages, end_lost, known));
    }
    catalog_.set_holes(report_.holes);
    for (const auto& core : cores_) KLOG_TRY(recover_heads_read_only(*core, end_lost));
    std::stable_sort(report_.holes.begin(), report_.holes.end(), [](const Hole& a, const Hole& b) {
        return std::pair(a.log, a.first) < std::pair(b.log, b.first);
    });
    return {};
}

// pending_after is what the key index holds, until the end of the log is known.
Status StoreImpl::open_indexes_read_only(LogCore& core) {
    core.index_dir = index_dir(core.id);
    core.index_dir_made = true;  // or it would be made
    KLOG_TRY_ASSIGN(core.runs,
                    RunSet::open(env_, core.index_dir, wal_->store_uuid(), report_.notices));
    const std::string copy = options_.scratch_dir + "/keys-" +
                             std::to_string(static_cast<std::uint32_t>(core.id)) + ".db";
    std::string path = env_.database_path(copy);
    if (path == copy) {
        const Status done = copy_database(env_, core.index_dir + "/keys.db", copy);
        if (!done.ok()) {
            report_.notices.push_back("the key index is made anew, in memory: " +
                                      done.error().message);
            path = ":memory:";
        }
    }
    core.key_index = KeyIndex::make(path, wal_->store_uuid());
    KLOG_TRY_ASSIGN(const bool there, path == copy ? env_.exists(copy) : Result<bool>(false));
    if (!there) return {};
    KLOG_TRY_ASSIGN(const Seq listed, core.key_index->watermark());
    for (std::string& notice : core.key_index->take_notices()) {
        report_.notices.push_back(std::move(notice));
    }
    core.pending_after.store(listed.value);
    return {};
}

// What neither a segment nor a WAL file holds of the seqs up to known_upto, at least.
Status StoreImpl::find_holes(const LogCore& core, const std::vector<WalDamage>& damages,
                             bool end_lost, Seq known_upto) {
    // What stands in the way between the file that ended last and the next one.
    const auto cause = [&](std::uint64_t from_wal_id) {
        const auto found =
            std::find_if(damages.begin(), damages.end(),
                         [&](const WalDamage& damage) { return damage.wal_id >= from_wal_id; });
        if (found != damages.end()) return found->why;
        return options_.dir + ": an index or the clean marker knows seq " +
               std::to_string(known_upto.value) + ", which no file holds";
    };
    Seq next{segments_->last_seq(core.id).value + 1};
    std::uint64_t wal_id = 0;
    for (const FileCatalog::Range& range : catalog_.ranges(core.id)) {
        if (range.first < next) {
            return Error{Code::corrupt,
                         options_.dir + ": WAL file " + std::to_string(range.wal_id) +
                             " begins at seq " + std::to_string(range.first.value) +
                             ", where what comes before it ends at seq " +
                             std::to_string(next.value - 1),
                         "restore wal/ and seg/ from the same copy"};
        }
        if (range.first > next) {
            report_.holes.push_back(
                Hole{core.id, next, Seq{range.first.value - 1}, false, cause(wal_id)});
        }
        next = Seq{range.last.value + 1};
        wal_id = range.wal_id;
    }
    // A log that never had a record lost none.
    const bool used = core.id == LogId::default_log || next.value > 1;
    const bool lost = (end_lost && used) || known_upto >= next;
    if (lost) {
        report_.holes.push_back(
            Hole{core.id, next, std::max(next, known_upto), true, cause(wal_id)});
        next = Seq{report_.holes.back().last.value + 1};
    }
    cores_[static_cast<std::size_t>(core.id)]->tail.restore_head(Seq{next.value - 1});
    return {};
}

// Where reading can go on behind seq, which could not be read.
Seq StoreImpl::end_of_damage(const LogCore& core, Seq seq) const {
    if (const Hole* hole = catalog_.hole_at(core.id, seq)) return hole->last;
    if (const auto segment = segments_->find(core.id, seq)) {
        const Seq last = segment->stats().covered.last;
        const auto block = segment->find_block(seq);
        if (!block.ok() || *block >= segment->blocks()) return last;
        const auto info = segment->block_info(*block);
        return info.ok() ? std::max(seq, info->held.last) : last;
    }
    const auto place = catalog_.find(core.id, seq);
    return std::max(seq, place ? place->last_seq : core.tail.head());
}

// Settings and consumers as far as they can be read: what is damaged is told, and passed over.
Status StoreImpl::recover_settings_read_only(LogCore& core) {
    const Seq last = core.tail.head();
    const auto tell = [&](const Error& error) {
        report_.notices.push_back("settings and consumers may be older than they were: " +
                                  error.message);
    };
    Seq after;
    const Seq checkpoint{checkpoints_[static_cast<std::size_t>(core.id)]};
    if (checkpoint != Seq{} && checkpoint <= last) {
        const Result<Seq> as_of = recover_checkpoint(core, checkpoint);
        if (as_of) {
            after = *as_of;
        } else if (is_damage(as_of.error())) {
            tell(as_of.error());
            core.sequencer.consumers().clear();
        } else {
            return as_of.error();
        }
    }
    const std::vector<std::string> own = {"$klog/>"};
    KLOG_TRY_ASSIGN(const FilterSet filter, FilterSet::parse(own, {}));
    const auto visit = [&](const RecordView& record) {
        after = record.seq;
        return core.sequencer.replay_own(record);
    };
    // Where it is damaged is known only to who reads every record.
    for (const FilterSet* wanted = &filter; after < last;) {
        FrameSource source(core.id, *wal_, catalog_, core.tail);
        Status read = for_each_record(source, after, last, wanted, visit);
        if (read.ok()) return {};
        if (!is_damage(read.error())) return read;
        if (wanted == nullptr) {
            tell(read.error());
            after = end_of_damage(core, Seq{after.value + 1});
        }
        wanted = wanted == nullptr ? &filter : nullptr;
    }
    return {};
}

// Ids and sessions are for judging writes.
Status StoreImpl::recover_heads_read_only(LogCore& core, bool end_lost) {
    const RunWatermark watermark = core.runs->watermark();
    const Seq last = core.tail.head();
    Memtable& memtable = core.sequencer.memtable();
    core.sequencer.restore_position(
        {watermark.covered_upto, watermark.last_time, watermark.settings_seq});
    KLOG_TRY(recover_settings_read_only(core));
    std::uint64_t replayed = 0;
    bool too_many = false;
    Seq after = watermark.covered_upto;
    while (after < last) {
        FrameSource source(core.id, *wal_, catalog_, core.tail);
        const auto visit = [&](const RecordView& record) -> Status {
            KLOG_TRY(core.sequencer.replay(record, wal_->hash_key(), true, true));
            after = record.seq;
            if (++replayed % kReplayStepRecords != 0) return {};
            memtable.forget_ids();
            if (memtable.heads.bytes() <= options_.read_only_heads_bytes_max) return {};
            too_many = true;
            return Error{Code::io,
                         "the runs in " + core.index_dir + " end at seq " +
                             std::to_string(watermark.covered_upto.value) +
                             ", and the keys behind it are too many for memory",
                         "a daemon without --read-only writes the runs"};
        };
        const Status read = for_each_record(source, after, last, nullptr, visit);
        if (read.ok()) break;
        const Error& error = read.error();
        if (too_many) {
            memtable.heads = {};
            core.unknown_heads = LogCore::UnknownHeads{last, heads_error(error)};
            report_.notices.push_back(error.message);
            break;
        }
        if (!is_damage(error)) return error;
        const Seq bad{after.value + 1};
        after = end_of_damage(core, bad);
        core.unknown_heads = LogCore::UnknownHeads{after, heads_error(error)};
        if (catalog_.hole_at(core.id, bad) == nullptr) {
            report_.holes.push_back(Hole{core.id, bad, after, false, error.message});
        }
    }
    // Runs that reach behind the lost end need not know all that was written there.
    if (const Hole* hole = catalog_.hole_at(core.id, last);
        end_lost && !core.unknown_heads && hole != nullptr) {
        core.unknown_heads = LogCore::UnknownHeads{last, heads_error(hole_error(*hole))};
    }
    memtable.forget_ids();
    report_.records_replayed += replayed;
    // The key index is brought up to here when somebody lists keys or topics.
    core.pending_after.store(last.value);
    return {};
}

}  // namespace klog
