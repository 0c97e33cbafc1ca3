#include "log/pipeline.h"

#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"
#include "log/prepare.h"

namespace klog {
namespace {

constexpr std::uint64_t kMemoryCheckedFromBytes = 1U << 20U;
// A frame, and the two of it that there are while it grows.
constexpr std::uint64_t kFrameCopiesMax = 3;
// Runs are asked so often while nobody waits for it; only then while everybody does.
constexpr int kLookUpsOutsideMax = 3;

void answer(WriteBatch::Prepared& prepared, WriteBatch& batch, WriteResult::Outcome outcome,
            const Error& error) {
    for (std::size_t i = 0; i < batch.results.size(); ++i) {
        WriteResult& result = batch.results[i];
        // What is wrong with a record itself stays what it was.
        if (prepared.records[i].error && result.outcome == WriteResult::Outcome::refused) continue;
        if (result.outcome == WriteResult::Outcome::skipped &&
            outcome == WriteResult::Outcome::refused && i > 0) {
            continue;
        }
        result = WriteResult{};
        result.outcome = outcome;
        result.error = error;
    }
    if (batch.stream && batch.stream->stop_on_error) batch.stream->stopped = true;
}

void finish(std::unique_ptr<WriteBatch> batch) {
    auto done = std::move(batch->done);
    batch->prepared.reset();
    if (done) done(std::move(batch));
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
    std::vector<bool> known(batch.records.size(), false);
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        known[i] = batch.records[i].has_key &&
                   memtable.heads.find(batch.prepared->records[i].entity) != nullptr;
    }
    return known;
}

std::optional<Error> Pipeline::look_up_runs(LogCore& log, WriteBatch& batch) {
    std::vector<bool> in_memory;
    {
        MutexLock lock(mutex_);
        if (log.runs->runs() == 0) {
            batch.prepared->runs_generation = log.runs->generation();
            batch.prepared->evictions = log.sequencer.memtable().evictions;
            return std::nullopt;
        }
        in_memory = known_in_memory(log, batch);
    }
    Status found = klog::look_up(batch, *log.runs, in_memory);
    if (found) return std::nullopt;
    Error error = std::move(found).error();
    error.hint = "start the daemon again: it makes its indexes anew from the log";
    return error;
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

void Pipeline::judge(std::unique_ptr<WriteBatch> batch) noexcept {
    LogCore& log = *logs_[static_cast<std::size_t>(batch->prepared->log)];
    if (look_up_is_stale(*batch)) {
        const std::vector<bool> in_memory = known_in_memory(log, *batch);
        if (Status found = klog::look_up(*batch, *log.runs, in_memory); !found) {
            for (PreparedRecord& record : batch->prepared->records) {
                if (!record.error) record.error = found.error();
            }
        }
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
    do {
        commit_one();
    } while (hand_on());
}

bool Pipeline::hand_on() {
    MutexLock lock(mutex_);
    if (!has_work()) {
        leading_ = false;
        if (stopping_) changed_.notify_all();  // the writer has nothing to do
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
            commit_one();
            MutexLock lock(mutex_);
            more = has_work();
            if (!more) {
                leading_ = false;
                if (stopping_) changed_.notify_all();
            }
        }
    }
}

CommitResult Pipeline::write(Group& group) {
    std::vector<Frame*> frames;
    for (GroupPart& part : group.parts) {
        for (FrameBuild& build : part.frames) {
            FrameHeader& header = build.frame->header;
            header.type = FrameType::records;
            header.flags = FrameHeader::kTxnFirst | FrameHeader::kTxnLast;
            header.count = build.encoder.count();
            header.txn_first_seq = header.first_seq.value;
            header.txn_count = header.count;
            frames.push_back(build.frame.get());
        }
    }
    if (frames.empty()) return {};
    return wal_.commit(frames);
}

void Pipeline::publish(Group& group) {
    std::vector<std::shared_ptr<WakeCell>> wakes;
    {
        MutexLock lock(mutex_);
        durable_point_ = DurablePoint{wal_.end(), group.number};
        for (LogCore* log : logs_) {
            GroupPart& part = group.parts[static_cast<std::size_t>(log->id)];
            if (part.records == 0) continue;
            log->sequencer.publish(group);
            log->settings_seq.store(log->sequencer.durable().settings_seq,
                                    std::memory_order_relaxed);
            std::vector<std::shared_ptr<const Frame>> frames;
            for (const FrameBuild& build : part.frames) {
                catalog_.add_frame(build.frame->header, build.last_time, build.entities);
                frames.push_back(build.frame);
            }
            auto more = log->tail.publish(frames, part.last_seq);
            wakes.insert(wakes.end(), more.begin(), more.end());
        }
    }
    for (const auto& cell : wakes) cell->run();
}

Pipeline::Batches Pipeline::give_up(Group& group, const CommitResult& result) noexcept {
    Batches batches = std::move(group.batches);
    MutexLock lock(mutex_);
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

void Pipeline::commit_one() noexcept {
    std::unique_ptr<Group> group;
    {
        MutexLock lock(mutex_);
        admit_waiting();
        group = std::move(open_);
        open_ = std::make_unique<Group>();
        open_->number = group->number + 1;
        admit_waiting();
    }
    const CommitResult result = write(*group);
    last_commit_micros_ = env_.monotonic_micros();
    groups_.fetch_add(1, std::memory_order_relaxed);
    Batches batches;
    if (result.outcome == CommitOutcome::durable) {
        publish(*group);
        batches = std::move(group->batches);
    } else {
        batches = give_up(*group, result);
    }
    // Views in the group point into the batches, which end with their answers.
    group.reset();
    for (auto& batch : batches) finish(std::move(batch));
    if (after_commit) after_commit();
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
