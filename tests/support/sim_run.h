// A run of the simulator: lives of one store on a simulated disk, one after the other, with writes,
// reads, faults, kills and power cuts. A seed decides everything; the model says what must hold.
#ifndef KLOG_TESTS_SUPPORT_SIM_RUN_H
#define KLOG_TESTS_SUPPORT_SIM_RUN_H

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "env/sim_env.h"
#include "support/model_consumers.h"
#include "support/sim_checks.h"

namespace klog::test {

// How often what a battery is for really happened.
struct SimCounts {
    std::uint64_t lives = 0;
    std::uint64_t crashes = 0;
    std::uint64_t power_cuts = 0;
    std::uint64_t clean_starts = 0;
    std::uint64_t starts_that_failed = 0;
    std::uint64_t failed_batches = 0;
    std::uint64_t unknown_records = 0;
    std::uint64_t unknown_found = 0;
    std::uint64_t overlapped = 0;       // batches judged while a group was being synced
    std::uint64_t settings_placed = 0;  // by the start after the power cut that hid them
    std::uint64_t resumed = 0;          // work went on after faults without a start
    std::uint64_t records = 0;
    std::uint64_t faults = 0;  // calls of the disk that failed
    std::uint64_t files = 0;
    std::uint64_t runs_most = 0;
    std::uint64_t rebuilds = 0;  // of heads, behind a start or after damage
    std::uint64_t damages = 0;   // of runs in use, that were found
    std::uint64_t guards = 0;    // over filters, that were judged
    std::uint64_t guard_conflicts = 0;
    std::uint64_t batches = 0;  // atomic ones that were written
    std::uint64_t batches_refused = 0;
    std::uint64_t consumer_calls = 0;
    std::uint64_t work_acks = 0;  // batches that moved a consumer
};

class SimRun {
public:
    explicit SimRun(std::uint64_t seed);
    ~SimRun() { end_objects(); }
    SimRun(const SimRun&) = delete;
    SimRun& operator=(const SimRun&) = delete;

    // True: everything held.
    bool run();
    [[nodiscard]] const std::string& failure() const { return failure_; }
    [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }
    [[nodiscard]] const SimCounts& counts() const { return counts_; }
    [[nodiscard]] SimEnv& env() { return env_; }

private:
    struct Follower {
        std::unique_ptr<Reader> reader;
        ReadOptions options;
        std::uint64_t read_to = 0;
        std::shared_ptr<bool> woken;  // null: nobody waits
    };

    struct Damage {
        std::string path;
        std::uint64_t offset = 0;
        std::string bytes;  // of the whole file, with it
    };

    [[nodiscard]] bool ok() const { return failure_.empty(); }
    void note(std::string what) { trace_.push_back(std::move(what)); }
    void check(const std::string& wrong) {
        if (ok() && !wrong.empty()) failure_ = wrong;
    }
    void check(const Status& status, const std::string& what) {
        if (!status.ok()) check(what + ": " + say(status.error()));
    }
    [[nodiscard]] Log& log() { return store_->default_log(); }
    [[nodiscard]] bool undisturbed() const { return !faults_ && !env_.power_cut(); }

    // ---- Lives.
    void life();
    // Whatever the lives before were like: a store that is left alone does all that it should.
    void last_life();
    // False: this life did not come about, which power cuts and faults may cause.
    bool start();
    void end_life();
    void close_cleanly();
    void power_off();
    void end_objects();
    void lose_indexes();
    // Listings, once the key index is not far behind.
    void check_lists();
    // A byte of a run changes while the store lives. Whoever looks it up notices.
    void damage_run();
    // True: it was noticed. Otherwise it is undone, where it still is.
    // The model is compared, but for a start that has not told it yet what was found.
    bool find_damage(bool model_is_current);
    // Until the heads are known. False: something that may fail did.
    bool rebuild();

    // ---- Steps.
    void step();
    void write() {
        send();
        adopt_internal();
        poll_followers();
    }

    void send() { send(workload_.batch(), std::nullopt); }
    void send(SentBatch batch, std::optional<ModelConsumers::WorkAck> ack);
    // Consumers are asked and changed; or a worker writes its results and its position.
    void consume();
    [[nodiscard]] bool may_consume() const {
        return undisturbed() && unanswered_ == 0 && pending_setting_.empty() &&
               !store_->stats().failed && consumers_.settled();
    }
    // The WAL's writes and syncs are where other threads would come in.
    void on_call(SimCall call, const std::string& path);
    void check_undisturbed(const std::string& wrong) {
        if (undisturbed()) check(wrong);
    }

    // An answer whose seqs stand behind a setting that could not be read yet.
    struct Answer {
        std::shared_ptr<SentBatch> sent;
        std::optional<ModelConsumers::WorkAck> ack;
        bool position_read = false;  // what an acknowledgement alone wrote is in the model
        GivenAnswer given;
    };
    void judge(const Answer& answer);
    void count(const GivenAnswer& given);
    void judge_deferred();
    // After a start: a setting that the power cut before it could be read.
    void place_setting();

    // Settings and checkpoints are written by klog, between the producers' records.
    void adopt_internal();
    void maintain() {
        note("maintain");
        const Status status = store_->maintain();
        if (status.ok()) consumers_.all_durable();
        adopt_internal();
        if (undisturbed() && !store_->stats().failed) check(status, "maintain");
    }

    void put_setting();
    void turn_clock();

    // ---- Faults.
    void disturb();
    // The disk is sound again: work goes on without a start, unless a sync failed.
    void settle();
    void check_all();

    // ---- Followers.
    void follow();
    void poll_followers();
    void poll(Follower& follower);

    SimDice dice_;
    SimEnv env_;
    StoreOptions options_;
    ModelLog model_;
    SimWorkload workload_;
    ModelConsumers consumers_;
    std::unique_ptr<Store> store_;
    std::vector<Follower> followers_;
    std::string pending_setting_;  // or the topic of a record of klog's own
    std::vector<Answer> deferred_;
    std::optional<Damage> damage_;  // that no rebuilding has mended yet
    std::uint64_t unanswered_ = 0;
    bool faults_ = false;     // something may fail just now
    bool busy_ = false;       // a write is under way
    bool nested_ = false;     // and what runs came in through on_call
    bool consuming_ = false;  // it is an operation on consumers: others only read then
    std::string failure_;
    std::vector<std::string> trace_;
    SimCounts counts_;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_SIM_RUN_H
