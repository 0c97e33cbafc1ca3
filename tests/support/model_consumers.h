// What the consumers of a log must be, in the plainest words, and operations on them by chance that
// are held against it. Only memory knows an acknowledgement at first, so that after a stop a
// position lies between what was durable and what was acknowledged last.
#ifndef KLOG_TESTS_SUPPORT_MODEL_CONSUMERS_H
#define KLOG_TESTS_SUPPORT_MODEL_CONSUMERS_H

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "klog/consumer.h"
#include "support/model_log.h"
#include "support/sim_workload.h"

namespace klog::test {

class ModelConsumers {
public:
    explicit ModelConsumers(SimDice& dice) : dice_(dice) {}

    // An acknowledgement that goes with a batch.
    struct WorkAck {
        std::string name;
        std::uint64_t seq = 0;
        std::optional<std::uint64_t> lease;
        std::string value;  // of a record of the batch; empty: it has none
    };

    // Whether the next operation may be one: a change whose outcome nobody knows waits for a start.
    [[nodiscard]] bool settled() const { return !open_; }

    // One operation, on a log that nothing disturbs but a power cut within it. What is wrong with
    // its answer, or nothing; `cut` says whether the power is off now.
    template <class Cut>
    [[nodiscard]] std::string operate(Log& log, const Cut& cut) {
        const std::string name = "c" + std::to_string(dice_.below(5));
        const auto at = known_.find(name);
        State* const state = at == known_.end() ? nullptr : &at->second;
        const std::uint64_t head = log.head().value;
        Consumers& consumers = log.consumers();
        const std::uint64_t what = dice_.below(10);
        last_ = "consumer " + name + " " + std::to_string(what);
        switch (what) {
            case 0:
                return put(consumers, name, state, dice_.below(head + 1), cut);
            case 1:
                return state != nullptr ? lease(consumers, name, *state, cut)
                                        : put(consumers, name, state, dice_.below(head + 1), cut);
            case 2:
                return state != nullptr ? reset(consumers, name, *state, dice_.below(head + 1), cut)
                                        : "";
            case 3:
                return dice_.chance(40) ? remove(consumers, name, state, cut) : "";
            case 4: {
                const Status flushed = consumers.flush();
                if (flushed.ok()) all_durable();
                return flushed.ok() || cut() ? "" : "flush: " + flushed.error().message;
            }
            case 5:
                return state != nullptr ? pass(consumers, name, *state, head) : "";
            default:
                return ack(consumers, name, state, dice_.below(head + 3), head);
        }
    }

    // What the last operation was.
    [[nodiscard]] const std::string& last() const { return last_; }

    // One that will be taken, unless the batch is refused for another reason. nullopt: there is
    // nothing to acknowledge.
    [[nodiscard]] std::optional<WorkAck> work(std::uint64_t head) {
        std::vector<std::string> names;
        for (const auto& [name, state] : known_) {
            if (state.high < head) names.push_back(name);
        }
        if (names.empty()) return std::nullopt;
        WorkAck ack;
        ack.name = dice_.pick(names);
        const State& state = known_.at(ack.name);
        ack.seq = dice_.between(state.high + 1, head);
        if (state.lease != 0 && dice_.chance(60)) ack.lease = state.lease;
        return ack;
    }
    // The answer to its batch.
    void answered(const WorkAck& ack, WriteResult::Outcome outcome) {
        State after = known_.at(ack.name);
        after.low = after.acked = after.high = ack.seq;
        if (outcome == WriteResult::Outcome::written) known_[ack.name] = after;
        if (outcome == WriteResult::Outcome::unknown) open_ = Open{ack.name, after, ack.value};
    }

    // Everything that was acknowledged is written: a stop takes nothing back.
    void all_durable() {
        for (auto& [name, state] : known_) state.low = std::max(state.low, state.acked);
    }

    // While a life goes on: memory has everything.
    [[nodiscard]] std::string check_living(Log& log) const {
        if (open_) return {};
        for (const auto& [name, state] : known_) {
            const auto info = log.consumers().find(name);
            if (!info.ok()) return name + ": " + info.error().message;
            if (info->position.value != state.high || info->lease != state.lease) {
                return name + " stands at " + std::to_string(info->position.value) + ", not at " +
                       std::to_string(state.high);
            }
        }
        return check_names(log);
    }

    // After a start, which settles what was open.
    [[nodiscard]] std::string check_start(Log& log, const ModelLog& model) {
        if (open_) take_up(log, model);
        for (auto& [name, state] : known_) {
            const auto info = log.consumers().find(name);
            if (!info.ok()) return name + " is lost: " + info.error().message;
            const std::uint64_t position = info->position.value;
            if (position < state.low || position > state.high) {
                return name + " stands at " + std::to_string(position) + ", not from " +
                       std::to_string(state.low) + " to " + std::to_string(state.high);
            }
            if (info->lease != state.lease) return name + " has another lease";
            if (info->filters != std::vector<std::string>{state.filter}) {
                return name + " has another filter";
            }
            state.low = state.acked = state.high = position;
        }
        return check_names(log);
    }

private:
    struct State {
        std::uint64_t low = 0;    // durable
        std::uint64_t acked = 0;  // acknowledged
        std::uint64_t high = 0;   // and past what does not match, which a stop may take back
        std::uint64_t lease = 0;
        std::string filter;
    };
    // A change of which only the next start can tell whether it happened.
    struct Open {
        std::string name;
        std::optional<State> after;  // nullopt: it is removed
        std::string value;           // a record has it if, and only if, it happened
        bool new_lease = false;      // whose number nobody heard
    };

    [[nodiscard]] std::string check_names(Log& log) const {
        const auto page = log.consumers().page("", Consumers::kPageRowsMax);
        if (page.rows.size() == known_.size()) return {};
        return std::to_string(page.rows.size()) + " consumers are there, not " +
               std::to_string(known_.size());
    }

    // What was not answered well may have happened, if the power went meanwhile.
    template <class Cut>
    std::string settle(const std::string& what, const Error& error, const Cut& cut, Open open) {
        if (!cut()) return what + " " + open.name + ": " + error.message;
        open_ = std::move(open);
        return {};
    }

    template <class Cut>
    std::string put(Consumers& consumers, const std::string& name, State* state,
                    std::uint64_t start, const Cut& cut) {
        static const std::vector<std::string> kFilters = {"a/>", ">", "b/*"};
        ConsumerOptions options;
        options.filters = {state != nullptr ? state->filter : dice_.pick(kFilters)};
        options.start_after = Seq{start};
        const auto done = consumers.put(name, options);
        if (!done.ok()) {
            State after{start, start, start, 0, options.filters[0]};
            if (state != nullptr) return cut() ? "" : "put " + name + ": " + done.error().message;
            return settle("put", done.error(), cut, Open{name, after, "", true});
        }
        if (done->made != (state == nullptr)) return name + " was made twice, or not at all";
        if (done->made) {
            known_[name] = {start, start, start, done->consumer.lease, options.filters[0]};
        }
        return {};
    }

    template <class Cut>
    std::string lease(Consumers& consumers, const std::string& name, State& state, const Cut& cut) {
        const auto leased = consumers.lease(name);
        State after = state;
        after.low = after.acked = state.high;
        if (!leased.ok()) return settle("lease", leased.error(), cut, Open{name, after, "", true});
        if (leased->lease <= state.lease) return name + " got a lease that was given before";
        if (leased->position.value != state.high) return name + " is leased at another position";
        after.lease = leased->lease;
        state = after;
        return {};
    }

    template <class Cut>
    std::string reset(Consumers& consumers, const std::string& name, State& state, std::uint64_t to,
                      const Cut& cut) {
        const Status done = consumers.reset(name, Seq{to});
        last_ += " reset to " + std::to_string(to);
        State after = state;
        after.low = after.acked = after.high = to;
        if (!done.ok()) return settle("reset", done.error(), cut, Open{name, after, "", true});
        const auto info = consumers.find(name);
        if (!info.ok() || info->position.value != to) return name + " was not reset";
        after.lease = info->lease;
        state = after;
        return {};
    }

    template <class Cut>
    std::string remove(Consumers& consumers, const std::string& name, State* state,
                       const Cut& cut) {
        const Status done = consumers.remove(name);
        if (state == nullptr) {
            return !done.ok() && done.error().code == Code::not_found ? "" : "nobody was removed";
        }
        if (!done.ok()) return settle("remove", done.error(), cut, Open{name, std::nullopt, ""});
        known_.erase(name);
        return {};
    }

    std::string pass(Consumers& consumers, const std::string& name, State& state,
                     std::uint64_t head) {
        const std::uint64_t sent = dice_.below(head + 1);
        const std::uint64_t read_to = dice_.between(sent, head);
        if (state.lease == 0) return {};
        const Status done = consumers.pass(name, state.lease, Seq{sent}, Seq{read_to});
        if (!done.ok()) return "pass " + name + ": " + done.error().message;
        if (state.high >= sent) state.high = std::max(state.high, read_to);
        last_ += " past " + std::to_string(sent) + " to " + std::to_string(read_to);
        return {};
    }

    std::string ack(Consumers& consumers, const std::string& name, State* state, std::uint64_t seq,
                    std::uint64_t head) {
        std::optional<std::uint64_t> lease;
        if (state != nullptr && state->lease != 0 && dice_.chance(60)) lease = state->lease;
        const bool stale = lease && *lease > 1 && dice_.chance(15);
        if (stale) --*lease;
        const auto done = consumers.ack(name, Seq{seq}, lease, "");
        std::optional<Code> due;
        if (seq > head) due = Code::ack_ahead;
        if (stale) due = Code::stale_lease;
        if (state == nullptr) due = Code::not_found;
        if (done.ok()) {
            if (due) return "an ack of " + name + " was taken";
            if (seq > state->high) state->acked = state->high = seq;
            last_ += " to " + std::to_string(seq);
            return done->value == state->high ? ""
                                              : "an ack of " + name + " tells another position";
        }
        const Code code = done.error().code;
        const bool either = stale && seq > head && code == Code::ack_ahead;
        return due == code || either ? "" : "ack " + name + ": " + done.error().message;
    }

    // Whether the open change happened.
    void take_up(Log& log, const ModelLog& model) {
        const Open open = *std::exchange(open_, std::nullopt);
        const auto info = log.consumers().find(open.name);
        bool happened = info.ok() == open.after.has_value();
        if (!open.value.empty()) {
            happened = std::any_of(
                model.records().begin(), model.records().end(),
                [&](const ModelRecord& record) { return record.put.value == open.value; });
        } else if (happened && open.after) {
            const auto before = known_.find(open.name);
            const std::uint64_t lease = before == known_.end() ? 0 : before->second.lease;
            happened = info->position.value == open.after->high &&
                       (before == known_.end() || !open.new_lease || info->lease > lease);
        }
        if (!happened) return;
        if (!open.after) {
            known_.erase(open.name);
            return;
        }
        State after = *open.after;
        if (open.new_lease && info.ok()) after.lease = info->lease;
        known_[open.name] = after;
    }

    SimDice& dice_;
    std::string last_;
    std::map<std::string, State> known_;
    std::optional<Open> open_;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_MODEL_CONSUMERS_H
