#include "support/sim_run.h"

namespace klog::test {
namespace {

constexpr std::string_view kPositions = "$klog/positions";

}  // namespace

SimRun::SimRun(std::uint64_t seed)
    : dice_(seed), env_(seed), workload_(dice_, model_), consumers_(dice_) {
    options_.dir = "/data";
    options_.wal_first_file_bytes = 64 * 1024;
    options_.wal_file_bytes = dice_.chance(70) ? 64 * 1024 : 256 * 1024;
    options_.seal_bytes_min = dice_.chance(70) ? 4096 : 1U << 20U;
    options_.merged_bytes_max = dice_.chance(50) ? 128 * 1024 : 16U << 20U;
    options_.segment_cache_bytes = dice_.chance(50) ? 64 * 1024 : 8U << 20U;
    options_.memtable_bytes_max = 64 * 1024;
    if (dice_.chance(50)) options_.rebuild_later_records = dice_.below(100);
    options_.tail_cache_bytes = dice_.chance(50) ? 1 : 64 * 1024;
    options_.group_bytes_max = dice_.chance(50) ? 64 * 1024 : 4U << 20U;
    env_.on_call([this](SimCall call, const std::string& path) { on_call(call, path); });
}

bool SimRun::run() {
    const std::uint64_t lives = dice_.between(2, 7);
    for (std::uint64_t i = 0; i < lives && ok(); ++i) life();
    if (ok()) last_life();
    counts_.records = model_.head();
    counts_.faults = env_.calls_failed();
    return ok();
}

void SimRun::life() {
    ++counts_.lives;
    if (dice_.chance(40)) env_.crash_at_call(env_.calls() + dice_.between(1, 700));
    if (dice_.chance(15)) disturb();
    if (!start()) return;
    const std::uint64_t steps = dice_.between(5, 80);
    for (std::uint64_t i = 0; i < steps && ok() && store_ && !env_.power_cut(); ++i) step();
    if (ok() && store_) end_life();
}

void SimRun::last_life() {
    if (!start()) {
        check("a start on a sound disk failed");
        return;
    }
    for (int i = 0; i < 3 && ok(); ++i) write();
    maintain();
    if (ok()) check_all();
    if (ok()) close_cleanly();
    if (!ok() || !start()) return;
    if (!store_->recovery().clean || store_->recovery().bytes_dropped != 0) {
        check("a clean stop was not taken for one");
    }
    check_all();
    end_objects();
}

bool SimRun::start() {
    note("start");
    auto opened = Store::open(env_, options_);
    if (!opened.ok()) {
        ++counts_.starts_that_failed;
        note("it failed: " + say(opened.error()));
        const Code code = opened.error().code;
        if (undisturbed() || code == Code::corrupt || code == Code::format_unknown) {
            check("a start failed: " + say(opened.error()));
        }
        power_off();
        return false;
    }
    store_ = std::move(opened).value();
    if (store_->recovery().clean) ++counts_.clean_starts;
    place_setting();
    if (!ok()) return false;
    if (store_->stats().rebuild.running && !rebuild()) {
        power_off();
        return false;
    }
    // The power was cut before what an earlier life noticed was made anew.
    if (damage_ && find_damage(false) && !rebuild()) {
        power_off();
        return false;
    }
    const std::uint64_t known = model_.head();
    std::string wrong = check_recovered(log(), model_);
    if (!wrong.empty() && !undisturbed()) {  // only what could be read counts
        power_off();
        return false;
    }
    check(wrong);
    counts_.unknown_found += model_.head() - known;
    if (ok()) check(consumers_.check_start(log(), model_));
    if (ok() && dice_.chance(30)) check_lists();
    return ok();
}

void SimRun::end_life() {
    if (env_.power_cut()) {
        ++counts_.power_cuts;
        power_off();
    } else if (dice_.chance(35)) {
        settle();
        if (ok() && store_ && !store_->stats().failed) close_cleanly();
    }
    if (store_) power_off();
    if (dice_.chance(25)) lose_indexes();
}

void SimRun::close_cleanly() {
    note("close");
    followers_.clear();
    const Status closed = store_->close();
    if (!undisturbed()) return power_off();
    check(closed, "close");
    consumers_.all_durable();
    adopt_internal();
    if (log().head().value != model_.head()) check("the close wrote a record of its own");
    write();  // answered as stopping
    const std::uint64_t files = store_->stats().wal_files;
    counts_.files = std::max(counts_.files, files);
    end_objects();
    dice_.chance(50) ? env_.crash() : env_.kill();
}

void SimRun::power_off() {
    ++counts_.crashes;
    const std::uint64_t how = dice_.below(10);
    note("crash " + std::to_string(how));
    if (how < 3) {
        env_.kill();
    } else if (how < 8) {
        env_.crash();
    } else if (how == 8) {
        env_.crash_lose_all();
    } else {
        env_.crash_keep_all();
    }
    env_.set_capacity(std::numeric_limits<std::uint64_t>::max());
    faults_ = false;
    end_objects();
}

void SimRun::end_objects() {
    busy_ = true;  // no calls from inside
    nested_ = true;
    followers_.clear();
    store_.reset();
    unanswered_ = 0;
    busy_ = false;
    nested_ = false;
}

void SimRun::lose_indexes() {
    const bool all = dice_.chance(40);
    for (const std::string& path : env_.files()) {
        if (!path.starts_with("/data/index/")) continue;
        const auto bytes = env_.read_file(path);
        if (!bytes.ok()) continue;  // a folder
        if (!all && !dice_.chance(30)) continue;
        note("lost " + path);
        check(env_.remove(path), "remove");
    }
}

void SimRun::check_lists() {
    const auto page = log().keys("a", "", "", false, 1);
    if (!page.ok() && page.error().code == Code::rebuilding) maintain();
    if (ok()) check_undisturbed(check_listings(log(), model_, dice_));
}

bool SimRun::rebuild() {
    note("rebuild");
    const auto refused = write_one(log(), {.topic = "a/x", .key = "k"});
    if (!refused.error || refused.error->code != Code::rebuilding) {
        check("a write was judged though the heads are not known");
    }
    const auto entity = log().entity("a", "k");
    if (entity.ok() || entity.error().code != Code::rebuilding) {
        check("a head was told though it is not known");
    }
    const Status status = store_->maintain();
    if (!store_->stats().rebuild.running) {
        ++counts_.rebuilds;
        damage_.reset();
        return ok();
    }
    if (undisturbed()) check("the heads are not made anew: " + say(status.error()));
    return false;
}

void SimRun::damage_run() {
    if (!undisturbed() || unanswered_ != 0 || !pending_setting_.empty()) return;
    std::vector<std::string> runs;
    for (const std::string& path : env_.files()) {
        if (path.starts_with("/data/index/1/") && path.ends_with(".run")) runs.push_back(path);
    }
    if (runs.empty()) return;
    const std::string path = dice_.pick(runs);
    const std::uint64_t offset = dice_.below(env_.read_file(path)->size());
    note("damage " + path);
    check(env_.flip(path, offset), "flip");
    damage_ = Damage{path, offset, *env_.read_file(path)};
    if (!find_damage(true)) return;
    ++counts_.damages;
    const bool rebuilt = rebuild();
    adopt_internal();
    if (rebuilt && !store_->stats().failed) check_all();
}

bool SimRun::find_damage(bool model_is_current) {
    for (const auto& [key, head] : model_.heads()) {
        const auto entity = log().entity(key.first, key.second);
        if (!entity.ok() && entity.error().code == Code::rebuilding) return true;
        if (model_is_current) check_undisturbed(check_entity(log(), model_, key, head));
    }
    // It stays in what memory knows already, or in what is not looked at.
    const Damage of = *std::exchange(damage_, std::nullopt);
    const auto now = env_.read_file(of.path);
    if (now.ok() && *now == of.bytes) check(env_.flip(of.path, of.offset), "flip");
    return false;
}

void SimRun::step() {
    const std::uint64_t what = dice_.below(100);
    if (what < 47) {
        write();
    } else if (what < 55) {
        consume();
    } else if (what < 61) {
        maintain();
    } else if (what < 70) {
        note("read");
        check_undisturbed(check_reading(log(), model_, dice_, workload_.reading()));
    } else if (what < 80) {
        follow();
    } else if (what < 84) {
        note("list");
        check_lists();
        check_undisturbed(check_version(log(), model_, dice_));
    } else if (what < 87) {
        put_setting();
    } else if (what < 89) {
        turn_clock();
    } else if (what < 91) {
        damage_run();
    } else if (what < 95) {
        disturb();
    } else {
        settle();
    }
    if (store_) counts_.runs_most = std::max(counts_.runs_most, log().stats().runs);
}

void SimRun::consume() {
    if (!may_consume()) return;
    for (std::uint64_t left = dice_.between(1, 5); left > 0 && ok() && may_consume(); --left) {
        auto work = dice_.chance(30) ? consumers_.work(log().head().value) : std::nullopt;
        ++counts_.consumer_calls;
        if (work) {
            note("work of " + work->name + " to " + std::to_string(work->seq));
            SentBatch batch = workload_.results();
            if (!batch.puts.empty()) work->value = batch.puts.back().value;
            send(std::move(batch), std::move(work));
        } else {
            busy_ = consuming_ = true;
            const std::string wrong =
                consumers_.operate(log(), [this] { return env_.power_cut(); });
            busy_ = consuming_ = false;
            note(consumers_.last());
            check(wrong);
        }
        adopt_internal();
    }
    if (ok() && may_consume()) check(consumers_.check_living(log()));
}

void SimRun::send(SentBatch of, std::optional<ModelConsumers::WorkAck> ack) {
    auto sent = std::make_shared<SentBatch>(std::move(of));
    for (const Put& put : sent->puts) counts_.guards += put.guard.has_value();
    for (const SentGuard& guard : sent->guards) counts_.guards += guard.filters.has_value();
    auto batch = make_batch(*sent);
    if (ack) {
        const std::uint64_t line = sent->puts.size() + sent->guards.size() + 1;
        batch->atomic->acks.push_back(
            {line, batch->keep(ack->name), Seq{ack->seq}, ack->lease, ""});
    }
    batch->may_lead = dice_.chance(70);
    ++unanswered_;
    batch->done = [this, sent, ack](std::unique_ptr<WriteBatch> done) {
        --unanswered_;
        const std::uint64_t before = model_.head();
        adopt_internal();
        const bool position_read = sent->puts.empty() && model_.head() > before;
        GivenAnswer given{std::move(done->results), std::move(done->atomic)};
        count(given);
        if (!pending_setting_.empty())
            return deferred_.push_back({sent, ack, position_read, std::move(given)});
        judge({sent, ack, position_read, std::move(given)});
    };
    note("write " + std::to_string(sent->puts.size()));
    const bool outer = !std::exchange(busy_, true);
    log().append(std::move(batch));
    if (outer) busy_ = false;
    if (outer && unanswered_ != 0 && undisturbed()) check("a batch was not answered");
}

void SimRun::count(const GivenAnswer& given) {
    using Outcome = WriteResult::Outcome;
    for (const WriteResult& result : given.results) {
        counts_.guard_conflicts += result.guard_conflict.has_value();
    }
    if (!given.atomic) return;
    counts_.batches += given.atomic->outcome == Outcome::written;
    counts_.batches_refused += !given.atomic->violations.empty();
    for (const Violation& violation : given.atomic->violations) {
        counts_.guard_conflicts += violation.guard.has_value();
    }
}

void SimRun::judge(const Answer& answer) {
    const std::size_t unknown = model_.unknown.size();
    const std::uint64_t before = model_.head();
    check(model_.answered(*answer.sent, answer.given));
    if (answer.ack) consumers_.answered(*answer.ack, answer.given.atomic->outcome);
    if (answer.ack && answer.given.atomic->outcome == WriteResult::Outcome::written) {
        ++counts_.work_acks;
        const std::uint64_t results = model_.head();
        adopt_internal();
        // The power was cut before the position behind them could be read.
        if (model_.head() == results && !answer.position_read) pending_setting_ = kPositions;
    }
    counts_.unknown_records += model_.unknown.size() - unknown;
    if (model_.head() == before) ++counts_.failed_batches;
    note("answer " + std::to_string(before) + " to " + std::to_string(model_.head()));
}

void SimRun::judge_deferred() {
    for (const Answer& answer : std::exchange(deferred_, {})) {
        adopt_internal();
        judge(answer);
    }
}

void SimRun::place_setting() {
    if (pending_setting_.empty()) return;
    adopt_internal();
    if (!pending_setting_.empty()) {
        if (undisturbed()) check("a setting that was acknowledged is lost");
        return;
    }
    ++counts_.settings_placed;
    judge_deferred();
}

void SimRun::on_call(SimCall call, const std::string& path) {
    if (!busy_ || nested_ || !store_ || !ok() || env_.power_cut()) return;
    if (call != SimCall::sync && call != SimCall::write) return;
    if (!path.starts_with("/data/wal/")) return;
    if (!dice_.chance(15)) return;
    nested_ = true;
    note("inside " + std::string(sim_call_name(call)));
    if (!consuming_ && dice_.chance(50)) {
        for (std::uint64_t left = dice_.between(1, 3); left > 0; --left) send();
        ++counts_.overlapped;
    } else if (pending_setting_.empty()) {
        // Positions behind a batch, or what an operation on consumers wrote before this.
        adopt_internal();
        if (log().head().value != model_.head()) check("something is visible before its sync");
        check_undisturbed(check_reading(log(), model_, dice_, workload_.reading()));
        if (!model_.heads().empty()) {
            auto entity = model_.heads().lower_bound({"a", workload_.key()});
            if (entity == model_.heads().end()) entity = model_.heads().begin();
            check_undisturbed(check_entity(log(), model_, entity->first, entity->second));
        }
    }
    nested_ = false;
}

void SimRun::adopt_internal() {
    if (!store_) return;
    while (log().head().value > model_.head()) {
        auto reader = log().read(read_everything(model_.head()));
        if (!reader.ok()) return;
        auto chunk = (*reader)->read(1, 1);
        if (!chunk.ok() || chunk->records.empty()) return;
        ModelRecord record = ModelLog::from_view(chunk->records.at(0));
        if (!record.internal()) return;
        const std::string setting = record.put.topic + "=" + record.put.value;
        if (setting == pending_setting_ || record.put.topic == pending_setting_) {
            pending_setting_.clear();
        } else if (!written_by_itself(record.put.topic)) {
            return check("a setting stands in the log that nobody wrote");
        }
        if (record.seq != model_.head() + 1) return check("a hole before a setting");
        model_.adopt(std::move(record));
    }
}

void SimRun::put_setting() {
    if (!undisturbed() || unanswered_ != 0 || store_->stats().failed) return;
    const std::string name = "n" + std::to_string(dice_.below(3));
    const std::string value = std::to_string(dice_.next());
    note("setting " + name);
    pending_setting_ = std::string(kModelSettings) + name + "=" + value;
    busy_ = true;
    const Result<Seq> put = log().put_setting(name, value);
    busy_ = false;
    adopt_internal();
    // The power was cut between its writing and its reading: the next start finds where it stands,
    // and what the answers to what came behind it have to be.
    if (put.ok() && !pending_setting_.empty() && env_.power_cut()) return;
    pending_setting_.clear();
    if (put.ok()) {
        if (log().setting(name) != value) check("a setting is not there at once");
    } else if (put.error().code == Code::outcome_unknown) {
        ModelRecord record;
        record.put = {.topic = std::string(kModelSettings) + name, .value = value};
        record.put.kind = Kind::settings;
        model_.unknown.push_back(std::move(record));
    } else if (undisturbed()) {
        check("a setting was refused: " + say(put.error()));
    }
    judge_deferred();
}

void SimRun::turn_clock() {
    note("clock");
    if (dice_.chance(50)) {
        env_.advance(dice_.below(3'600'000'000ULL));
    } else {
        const auto hour = static_cast<std::int64_t>(dice_.below(7'200'000'000ULL));
        env_.set_now(Time{1'700'000'000'000'000 + hour});
    }
}

void SimRun::disturb() {
    faults_ = true;
    if (dice_.chance(30)) {
        note("no room");
        return env_.set_capacity(env_.used_bytes() + dice_.below(200'000));
    }
    static const std::vector<SimCall> kAnywhere = {
        SimCall::write,  SimCall::sync,     SimCall::create, SimCall::rename,
        SimCall::remove, SimCall::sync_dir, SimCall::write,  SimCall::sync};
    static const std::vector<SimCall> kIndexes = {SimCall::read, SimCall::open, SimCall::size,
                                                  SimCall::list_dir};
    SimFault fault;
    const bool indexes = dice_.chance(25);
    fault.kinds = {dice_.pick(indexes ? kIndexes : kAnywhere)};
    if (indexes) fault.path_part = "/index/";
    fault.skip = dice_.below(6);
    fault.times = dice_.chance(70) ? 1 : dice_.between(2, 30);
    const bool full = fault.kinds[0] == SimCall::write || fault.kinds[0] == SimCall::create;
    fault.code = full && dice_.chance(60) ? Code::disk_full : Code::io;
    note("fault " + std::string(sim_call_name(fault.kinds[0])));
    env_.inject(std::move(fault));
}

void SimRun::settle() {
    if (!faults_) return;
    note("settle");
    env_.clear_faults();
    env_.set_capacity(std::numeric_limits<std::uint64_t>::max());
    faults_ = false;
    if (store_->stats().failed) {
        check_undisturbed(check_reading(log(), model_, dice_, workload_.reading()));
        return power_off();
    }
    maintain();
    if (!ok() || !undisturbed()) return;
    if (unanswered_ != 0) check("a batch is not answered though there is room again");
    if (store_->stats().failed) return check("the store failed without a fault");
    ++counts_.resumed;
    write();
    if (undisturbed() && !store_->stats().writable) check("not writable on a sound disk");
    if (dice_.chance(50)) check_all();
}

void SimRun::check_all() {
    note("check all");
    check_undisturbed(check_reading(log(), model_, dice_, workload_.reading()));
    check_lists();
    poll_followers();
    for (const auto& [entity, head] : model_.heads()) {
        check_undisturbed(check_entity(log(), model_, entity, head));
    }
}

void SimRun::follow() {
    note("follow");
    if (followers_.size() >= 4) followers_.erase(followers_.begin());
    Follower follower;
    follower.options = workload_.reading();
    follower.options.follow = true;
    const bool from_end = dice_.chance(50);
    if (from_end) follower.options.from.form = ReadFrom::Form::end;
    follower.read_to = from_end ? model_.head() : 0;
    auto reader = log().read(follower.options);
    if (!reader.ok()) return check_undisturbed("a follower cannot begin: " + say(reader.error()));
    follower.reader = std::move(reader).value();
    followers_.push_back(std::move(follower));
    poll_followers();
}

void SimRun::poll_followers() {
    for (Follower& follower : followers_) {
        if (!ok()) return;
        if (follower.woken && !*follower.woken) {
            for (std::uint64_t seq = follower.read_to + 1; seq <= model_.head(); ++seq) {
                if (model_matches(follower.options, model_.records()[seq - 1])) {
                    return check("a follower was not woken");
                }
            }
        }
        if (dice_.chance(60)) poll(follower);
    }
}

void SimRun::poll(Follower& follower) {
    for (;;) {
        auto chunk = follower.reader->read(dice_.between(1, 20'000), dice_.between(1, 30));
        if (!chunk.ok()) {
            return check_undisturbed("a follower broke: " + say(chunk.error()));
        }
        const std::string wrong = check_chunk(model_, follower.options, follower.read_to, *chunk);
        if (!wrong.empty()) return check("a follower: " + wrong);
        follower.read_to = chunk->read_to.value;
        if (chunk->records.empty() && chunk->read_to >= chunk->head) break;
        if (dice_.chance(10)) break;
    }
    follower.woken.reset();
    if (dice_.chance(50)) {
        follower.woken = std::make_shared<bool>(false);
        follower.reader->on_ready([woken = follower.woken] { *woken = true; });
    } else {
        follower.reader->on_ready(nullptr);
    }
}
}  // namespace klog::test
