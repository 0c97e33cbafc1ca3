#include "log/pipeline.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"
#include "log/guard_scan.h"
#include "log/prepare.h"

namespace klog {
namespace {

constexpr std::uint64_t kMemoryCheckedFromBytes = 1U << 20U;
// A frame, and the two of it that there are while it grows.
constexpr std::uint64_t kFrameCopiesMax = 3;
// Runs are asked so often while nobody waits for it; only then while everybody does.
constexpr int kLookUpsOutsideMax = 3;
// Steps that one batch's guards may take while nobody else can judge, and while it is judged: then
// it is too late to look elsewhere. See RecentTopics::newest().
constexpr std::size_t kGuardStepsMax = 8192;
constexpr std::size_t kGuardStepsAtJudgeMax = 131'072;
// The log is looked at so often before a guard is refused.
constexpr int kGuardLooksMax = 4;

void answer(WriteBatch::Prepared& prepared, WriteBatch& batch, WriteResult::Outcome outcome,
            const Error& error) {
    for (std::size_t i = 0; i < batch.results.size(); ++i) {
        WriteResult& result = batch.results[i];
        // What is wrong with a record itself stays what it was.
        if (prepared.records[i].error && result.outcome == WriteResult::Outcome::refused &&
            !batch.atomic) {
            continue;
        }
        if (result.outcome == WriteResult::Outcome::skipped &&
            outcome == WriteResult::Outcome::refused && i > 0 && !batch.atomic) {
            continue;
        }
        result = WriteResult{};
        result.outcome = outcome;
        result.error = error;
    }
    if (batch.stream && batch.stream->stop_on_error) batch.stream->stopped = true;
    if (!batch.atomic) return;
    batch.atomic->outcome = outcome;
    batch.atomic->error = error;
    batch.atomic->violations.clear();
    batch.atomic->violations_left_out = 0;
}

void finish(std::unique_ptr<WriteBatch> batch) {
    auto done = std::move(batch->done);
    batch->prepared.reset();
    batch->looked.reset();
    if (done) done(std::move(batch));
}

// A record that is none of the batch's own stands behind them.
bool moves_consumers(const WriteBatch& batch) {
    return batch.atomic && batch.atomic->outcome == WriteResult::Outcome::written &&
           !batch.atomic->acks.empty();
}

Error no_relief() {
    return Error{
        Code::backpressure,
        "indexes or segments cannot be written, and what they would hold is waiting already",
        "make room on the disk, or look at its errors, then try again"};
}

Error sync_failed_earlier() {
    return Error{Code::io, "a sync of the log failed earlier, so nothing is written any more",
                 "look at the disk, then start the daemon again"};
}

}  // namespace

Pipeline::Pipeline(Env& env, const StoreOptions& options, Wal& wal, FileCatalog& catalog,
                   std::array<LogCore*, kLogs> logs)
    : env_(env),
      group_bytes_max_(options.group_bytes_max),
      queue_bytes_max_(options.queue_bytes_max),
      value_bytes_max_(options.value_bytes_max),
      wal_(wal),
      catalog_(catalog),
      logs_(logs),
      open_(std::make_unique<Group>()),
      durable_point_{wal.end(), 0} {
    open_->number = 1;
}

std::vector<bool> Pipeline::known_in_memory(LogCore& log, WriteBatch& batch) const {
    Memtable& memtable = log.sequencer.memtable();
    batch.prepared->evictions = memtable.evictions;
    const WriteBatch::Prepared& prepared = *batch.prepared;
    std::vector<bool> known(batch.records.size() + prepared.guards.size(), false);
    for (const PreparedRecord& record : prepared.records) memtable.heads.prefetch(record.entity);
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        known[i] =
            batch.records[i].has_key && memtable.heads.find(prepared.records[i].entity) != nullptr;
    }
    for (std::size_t i = 0; i < prepared.guards.size(); ++i) {
        const PreparedGuard& guard = prepared.guards[i];
        known[batch.records.size() + i] =
            guard.of_entity && memtable.heads.find(guard.record.entity) != nullptr;
    }
    return known;
}

std::optional<Error> Pipeline::look_up_runs(LogCore& log, WriteBatch& batch) {
    std::vector<bool> in_memory;
    if (!log.heads.known()) return log.heads.refusal();
    {
        MutexLock lock(mutex_);
        if (log.runs->runs() == 0) {
            batch.prepared->runs_generation = log.runs->generation();
            batch.prepared->evictions = log.sequencer.memtable().evictions;
            return std::nullopt;
        }
        in_memory = known_in_memory(log, batch);
    }
    Status found = log.looked_up(klog::look_up(batch, *log.runs, in_memory));
    if (found) return std::nullopt;
    return std::move(found).error();
}

// Whether there is room for the frame that a large batch becomes, and for its growth, as long as
// nothing was judged that would have to be taken back.
std::optional<Error> Pipeline::check_memory(const WriteBatch::Prepared& prepared) {
    if (prepared.bytes < kMemoryCheckedFromBytes) return std::nullopt;
    try {
        const std::unique_ptr<char[]> room(new char[prepared.bytes * kFrameCopiesMax]);
        *static_cast<volatile char*>(room.get()) = 0;  // or a compiler leaves both calls out
        return std::nullopt;
    } catch (const std::bad_alloc&) {
        return Error{Code::backpressure, "there is not enough memory for this request",
                     "try again later"};
    }
}

std::optional<Error> Pipeline::refusal(const WriteBatch& batch, bool may_wait) const {
    if (failed()) return sync_failed_earlier();
    if (stopping_) return Error{Code::stopping, "the log is being closed", "try again later"};
    if (held_back_ && (!may_wait || (lagging_ & relief_failed_) != 0)) {
        return no_relief();
    }
    if (waiting_bytes_ + batch.prepared->bytes > queue_bytes_max_ && !waiting_.empty()) {
        return Error{Code::backpressure,
                     std::to_string(waiting_bytes_) + " bytes are waiting to be written already",
                     "try again in a moment"};
    }
    return std::nullopt;
}

bool Pipeline::open_is_full() const {
    return open_->sealed || open_->bytes >= group_bytes_max_ || held_back_;
}

// A run was written since the look-up, or what it holds has left memory since then. A run is there
// a little before that: the look-up may have been in between.
bool Pipeline::look_up_is_stale(const WriteBatch& batch) const {
    const LogCore& log = *logs_[static_cast<std::size_t>(batch.prepared->log)];
    return batch.prepared->runs_generation != log.runs->generation() ||
           batch.prepared->evictions != log.sequencer.memtable().evictions;
}

bool Pipeline::look_in_memory(LogCore& log, WriteBatch& batch, std::size_t steps_max) {
    if (!log.sequencer.watches_topics()) {
        std::vector<const Group*> unfinished;
        if (committing_ != nullptr) unfinished.push_back(committing_);
        unfinished.push_back(open_.get());
        log.sequencer.watch_topics(unfinished, wal_.hash_key(), env_.now());
    }
    return log.sequencer.look(*batch.looked, steps_max);
}

bool Pipeline::guards_in_memory(LogId log, WriteBatch& batch) {
    compile_guards(batch);
    if (!batch.looked) return true;
    LogCore& core = *logs_[static_cast<std::size_t>(log)];
    MutexLock lock(mutex_);
    // While heads are made anew the batch is going to be refused.
    return !core.heads.known() || look_in_memory(core, batch, kGuardStepsMax);
}

void Pipeline::look_at_guards(LogId log, WriteBatch& batch) {
    LogCore& core = *logs_[static_cast<std::size_t>(log)];
    for (int looks = 0; looks < kGuardLooksMax && !guards_in_memory(log, batch); ++looks) {
        look_closer(*batch.looked, log, FrameSource(log, wal_, catalog_, core.tail),
                    catalog_.segments(), wal_.hash_key(), core.tail.head());
    }
}

void Pipeline::judge(std::unique_ptr<WriteBatch> batch) noexcept {
    LogCore& log = *logs_[static_cast<std::size_t>(batch->prepared->log)];
    Status known = log.heads.check();
    if (known && look_up_is_stale(*batch)) {
        const std::vector<bool> in_memory = known_in_memory(log, *batch);
        known = log.looked_up(klog::look_up(*batch, *log.runs, in_memory));
    }
    // What it could not look at, the sequencer refuses.
    if (known && batch->looked) (void)look_in_memory(log, *batch, kGuardStepsAtJudgeMax);
    if (!known) {
        for (PreparedRecord& record : batch->prepared->records) {
            if (!record.error) record.error = known.error();
        }
        if (!batch->prepared->error) batch->prepared->error = known.error();
    }
    log.sequencer.judge(*batch, *open_, env_.now());
    open_->batches.push_back(std::move(batch));
}

void Pipeline::append(LogId log, std::unique_ptr<WriteBatch> batch) {
    if (!batch->prepared) batch->prepared = std::make_shared<WriteBatch::Prepared>();
    batch->prepared->log = log;
    prepare_batch(*batch, wal_.hash_key(), value_bytes_max_);
    LogCore& core = *logs_[static_cast<std::size_t>(log)];
    std::optional<Error> error = look_up_runs(core, *batch);
    for (int looked = 1; !error && looked < kLookUpsOutsideMax; ++looked) {
        if (!with_state([&]() KLOG_NO_ANALYSIS { return look_up_is_stale(*batch); })) break;
        error = look_up_runs(core, *batch);
    }
    if (!error && batch->looked && !batch->prepared->error) look_at_guards(log, *batch);
    if (!error) error = check_memory(*batch->prepared);
    const bool may_wait = !held_back_ || !relieve || relieve();
    bool leads = false;
    {
        MutexLock lock(mutex_);
        if (!error) error = refusal(*batch, may_wait);
        if (error) {
            answer(*batch->prepared, *batch, WriteResult::Outcome::refused, *error);
        } else {
            const bool may_lead = batch->may_lead;
            if (open_is_full() || !waiting_.empty()) {
                const std::size_t bytes = batch->prepared->bytes;
                waiting_.push_back(std::move(batch));
                waiting_bytes_ += bytes;
            } else {
                judge(std::move(batch));
            }
            if (!leading_ && !held_back_) {
                leading_ = true;
                leads = may_lead || writers_ == 0;
                if (!leads) {
                    handed_over_ = true;
                    changed_.notify_all();
                }
            }
        }
    }
    if (batch) finish(std::move(batch));
    if (leads) lead();
}

bool Pipeline::has_work() const { return !open_->empty() || (!waiting_.empty() && !held_back_); }

void Pipeline::admit_waiting() {
    while (!waiting_.empty() && !open_is_full()) {
        std::unique_ptr<WriteBatch> batch = std::move(waiting_.front());
        waiting_.pop_front();
        waiting_bytes_ -= batch->prepared->bytes;
        judge(std::move(batch));
    }
}

void Pipeline::lead() noexcept {
    for (bool more = true; more;) {
        const LiveTail::Wakes wakes = commit_one();
        more = hand_on();
        // Last, since there may be ten thousand to wake.
        for (const auto& cell : wakes) cell->run();
    }
}

bool Pipeline::hand_on() {
    MutexLock lock(mutex_);
    if (!has_work()) {
        leading_ = false;
        // The writer has nothing to do.
        if (stopping_ || idle_waiters_ > 0) changed_.notify_all();
        return false;
    }
    if (writers_ == 0) return true;
    handed_over_ = true;
    changed_.notify_all();
    return false;
}

void Pipeline::run_writer(std::stop_token stop) {
    {
        MutexLock lock(mutex_);
        ++writers_;
    }
    for (;;) {
        {
            std::unique_lock lock(mutex_.native());
            const bool called = [&]() KLOG_NO_ANALYSIS {
                return changed_.wait(lock, stop,
                                     [this]() KLOG_NO_ANALYSIS { return handed_over_; });
            }();
            const auto take = [&]() KLOG_NO_ANALYSIS {
                handed_over_ = false;
                if (!called) --writers_;
            };
            take();
            if (!called) return;
        }
        bool more = true;
        while (more) {
            const LiveTail::Wakes wakes = commit_one();
            {
                MutexLock lock(mutex_);
                more = has_work();
                if (!more) {
                    leading_ = false;
                    if (stopping_ || idle_waiters_ > 0) changed_.notify_all();
                }
            }
            for (const auto& cell : wakes) cell->run();
        }
    }
}

CommitResult Pipeline::write(Group& group) {
    std::vector<Frame*> frames;
    for (GroupPart& part : group.parts) {
        bool first = true;
        Seq first_seq;
        for (FrameBuild& build : part.frames) {
            FrameHeader& header = build.frame->header;
            if (first) first_seq = header.first_seq;
            const bool last = !build.joined;
            header.type = FrameType::records;
            header.flags = static_cast<std::uint8_t>((first ? FrameHeader::kTxnFirst : 0U) |
                                                     (last ? FrameHeader::kTxnLast : 0U));
            header.count = build.encoder.count();
            header.txn_first_seq = first_seq.value;
            header.txn_count = header.count;
            frames.push_back(build.frame.get());
            first = last;
        }
    }
    if (frames.empty()) return {};
    return wal_.commit(frames);
}

// What was written is in the frames as well, but here it need not be decoded.
std::vector<RecordLabel> Pipeline::labels_of(const Group& group, LogId log) {
    std::vector<RecordLabel> labels;
    labels.reserve(group.parts[static_cast<std::size_t>(log)].records);
    for (const auto& batch : group.batches) {
        if (batch->prepared->log != log) continue;
        for (std::size_t i = 0; i < batch->results.size(); ++i) {
            if (batch->results[i].outcome != WriteResult::Outcome::written) continue;
            const WriteRecord& record = batch->records[i];
            labels.push_back(RecordLabel{record.topic, record.key, record.has_key,
                                         record.topic.size() + record.value.size()});
        }
        if (moves_consumers(*batch)) {
            constexpr std::size_t kAckBytes = 16;  // about
            labels.push_back(
                RecordLabel{kPositionsTopic, {}, false, kAckBytes * batch->atomic->acks.size()});
        }
    }
    KLOG_ASSERT(labels.size() == group.parts[static_cast<std::size_t>(log)].records);
    return labels;
}

// Returns whom to wake.
LiveTail::Wakes Pipeline::publish(Group& group) {
    // Which followers get what is found out while others may still add to the next group.
    std::array<LiveTail::Matched, kLogs> matched;
    for (LogCore* log : logs_) {
        const auto number = static_cast<std::size_t>(log->id);
        if (group.parts[number].records == 0) continue;
        std::vector<std::shared_ptr<const Frame>> frames;
        for (const FrameBuild& build : group.parts[number].frames) frames.push_back(build.frame);
        std::vector<RecordLabel> labels;
        if (log->tail.followed()) labels = labels_of(group, log->id);
        matched[number] = log->tail.match(std::move(frames), std::move(labels));
    }
    LiveTail::Wakes wakes;
    {
        MutexLock lock(mutex_);
        durable_point_ = DurablePoint{wal_.end(), group.number};
        committing_ = nullptr;
        for (LogCore* log : logs_) {
            GroupPart& part = group.parts[static_cast<std::size_t>(log->id)];
            if (part.records == 0) continue;
            log->sequencer.publish(group);
            log->settings_seq.store(log->sequencer.durable().settings_seq,
                                    std::memory_order_relaxed);
            for (const FrameBuild& build : part.frames) {
                catalog_.add_frame(build.frame->header, build.last_time, build.entities);
            }
            auto& matches = matched[static_cast<std::size_t>(log->id)];
            LiveTail::Wakes more = log->tail.publish(std::move(matches), part.last_seq);
            std::move(more.begin(), more.end(), std::back_inserter(wakes));
        }
    }
    return wakes;
}

Pipeline::Batches Pipeline::give_up(Group& group, const CommitResult& result) noexcept {
    Batches batches = std::move(group.batches);
    MutexLock lock(mutex_);
    committing_ = nullptr;
    // The open group was judged on top of this one.
    for (auto& batch : open_->batches) batches.push_back(std::move(batch));
    for (LogCore* log : logs_) {
        log->sequencer.drop(group);
        log->sequencer.drop(*open_);
        log->sequencer.reset_to_durable();
    }
    const std::uint64_t number = open_->number;
    open_ = std::make_unique<Group>();
    open_->number = number + 1;
    WriteResult::Outcome outcome = WriteResult::Outcome::refused;
    Error error = *result.error;
    if (result.outcome == CommitOutcome::unknown) {
        outcome = WriteResult::Outcome::unknown;
        error = Error{Code::outcome_unknown, "the sync failed: " + result.error->message,
                      "try again with the same id after a restart"};
        failed_ = true;
        for (auto& batch : waiting_) batches.push_back(std::move(batch));
        waiting_.clear();
        waiting_bytes_ = 0;
    }
    for (auto& batch : batches) answer(*batch->prepared, *batch, outcome, error);
    return batches;
}

// Returns whom to wake.
LiveTail::Wakes Pipeline::commit_one() noexcept {
    std::unique_ptr<Group> group;
    {
        MutexLock lock(mutex_);
        admit_waiting();
        group = std::move(open_);
        committing_ = group.get();
        open_ = std::make_unique<Group>();
        open_->number = group->number + 1;
        admit_waiting();
    }
    const CommitResult result = write(*group);
    groups_.fetch_add(1, std::memory_order_relaxed);
    Batches batches;
    LiveTail::Wakes wakes;
    if (result.outcome == CommitOutcome::durable) {
        last_commit_micros_ = env_.monotonic_micros();
        wakes = publish(*group);
        batches = std::move(group->batches);
    } else {
        batches = give_up(*group, result);
    }
    // Views in the group point into the batches, which end with their answers.
    group.reset();
    for (auto& batch : batches) finish(std::move(batch));
    if (after_commit) after_commit();
    return wakes;
}

Status Pipeline::mark_idle() {
    {
        MutexLock lock(mutex_);
        if (leading_ || stopping_ || failed()) return {};
        leading_ = true;
    }
    const CommitResult result = wal_.mark_idle();
    if (result.outcome == CommitOutcome::unknown) failed_ = true;
    {
        MutexLock lock(mutex_);
        if (result.outcome == CommitOutcome::durable) durable_point_.position = wal_.end();
    }
    // What came in meanwhile is waiting for a leader.
    if (hand_on()) lead();
    if (result.error) return *result.error;
    return {};
}

void Pipeline::hold_back(Lagging what, bool hold) {
    bool leads = false;
    {
        MutexLock lock(mutex_);
        const auto bit = static_cast<unsigned>(what);
        lagging_ = static_cast<std::uint8_t>(hold ? lagging_ | bit : lagging_ & ~bit);
        held_back_ = lagging_ != 0 && !released_;
        if (!held_back_ && !leading_ && has_work()) {
            leading_ = true;
            leads = true;
        }
    }
    if (leads) lead();
}

void Pipeline::relief(Lagging what, bool failed) {
    std::deque<std::unique_ptr<WriteBatch>> refused;
    {
        MutexLock lock(mutex_);
        const auto bit = static_cast<unsigned>(what);
        relief_failed_ =
            static_cast<std::uint8_t>(failed ? relief_failed_ | bit : relief_failed_ & ~bit);
        if (!held_back_ || (lagging_ & relief_failed_) == 0) return;
        refused.swap(waiting_);
        waiting_bytes_ = 0;
        for (const auto& batch : refused) {
            answer(*batch->prepared, *batch, WriteResult::Outcome::refused, no_relief());
        }
    }
    for (auto& batch : refused) finish(std::move(batch));
}

void Pipeline::release() {
    {
        MutexLock lock(mutex_);
        released_ = true;
    }
    hold_back(Lagging::flusher, false);
}

void Pipeline::wait_until_idle() {
    std::unique_lock lock(mutex_.native());
    [&]() KLOG_NO_ANALYSIS {
        ++idle_waiters_;
        changed_.wait(lock, [this]() KLOG_NO_ANALYSIS { return !leading_; });
        --idle_waiters_;
    }();
}

void Pipeline::stop() {
    std::unique_lock lock(mutex_.native());
    [&]() KLOG_NO_ANALYSIS {
        stopping_ = true;
        changed_.wait(lock, [this]() KLOG_NO_ANALYSIS { return !leading_; });
    }();
}

std::uint64_t Pipeline::queue_bytes() const {
    MutexLock lock(mutex_);
    return waiting_bytes_ + open_->bytes;
}

}  // namespace klog
