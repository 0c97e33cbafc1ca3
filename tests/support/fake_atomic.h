// What a fake log says of guards and of atomic batches. It looks at every record, each time.
#ifndef KLOG_TESTS_SUPPORT_FAKE_ATOMIC_H
#define KLOG_TESTS_SUPPORT_FAKE_ATOMIC_H

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "klog/write.h"

namespace klog::test {

struct FakeConsumer {
    Seq seq;
    std::uint64_t lease = 0;
};
using FakeConsumers = std::map<std::string, FakeConsumer, std::less<>>;

// The newest of the records that stands against a guard. match(filter, topic).
template <class Records, class Match>
std::optional<GuardConflict> guard_conflict(const Records& records, const FilterGuard& guard,
                                            const Match& match) {
    for (std::size_t i = records.size(); i-- > guard.after.value;) {
        const std::string& topic = records[i]->topic;
        const auto matches = [&](const std::string& filter) { return match(filter, topic); };
        const auto found = std::find_if(guard.none.begin(), guard.none.end(), matches);
        if (found == guard.none.end()) continue;
        if (std::any_of(guard.not_filters.begin(), guard.not_filters.end(), matches)) continue;
        return GuardConflict{*found, guard.after, records[i]->view.seq, topic};
    }
    return std::nullopt;
}

inline void refuse_all(std::unique_ptr<WriteBatch> batch, const Error& error) {
    WriteResult refused;
    refused.outcome = WriteResult::Outcome::refused;
    refused.error = error;
    batch->results.assign(batch->records.size(), refused);
    if (batch->atomic) {
        batch->atomic->outcome = refused.outcome;
        batch->atomic->error = error;
    }
    if (batch->stream && batch->stream->stop_on_error) batch->stream->stopped = true;
    auto done = std::move(batch->done);
    done(std::move(batch));
}

// Why a consumer's position cannot move.
inline std::optional<Error> ack_error(const FakeConsumers& consumers, const BatchAck& ack,
                                      Seq head) {
    const auto found = consumers.find(ack.consumer);
    if (found == consumers.end()) return Error{Code::not_found, "no such consumer", {}};
    const FakeConsumer& consumer = found->second;
    if (ack.lease && *ack.lease != consumer.lease) {
        return Error{Code::stale_lease, "an old lease", {}};
    }
    if (ack.seq > head) return Error{Code::ack_ahead, "there is no such seq yet", {}};
    if (ack.seq <= consumer.seq) return Error{Code::already_acked, "it stands there", {}};
    return std::nullopt;
}

// The violations of a batch as they are found, put into the order of their lines.
class FakeViolations {
public:
    void add(std::uint64_t line, Error error) {
        Violation& violation = all_.emplace_back();
        violation.line = line;
        violation.error = std::move(error);
    }
    void add(std::uint64_t line, const std::optional<GuardConflict>& conflict) {
        if (!conflict) return;
        add(line, Error{Code::guard_conflict, "a record stands against the guard", {}});
        all_.back().guard = conflict;
    }
    void add(std::uint64_t line, Violation::Entity entity) {
        add(line, Error{Code::version_conflict, "another version is there", {}});
        all_.back().entity = std::move(entity);
    }
    // False: there are none.
    bool refuse(AtomicPart& atomic) {
        if (!atomic.malformed.empty()) all_ = atomic.malformed;
        if (all_.empty()) return false;
        std::stable_sort(all_.begin(), all_.end(),
                         [](const auto& a, const auto& b) { return a.line < b.line; });
        if (all_.size() > Limits::kViolationsMax) {
            atomic.violations_left_out = all_.size() - Limits::kViolationsMax;
            all_.resize(Limits::kViolationsMax);
        }
        atomic.outcome = WriteResult::Outcome::refused;
        atomic.violations = std::move(all_);
        return true;
    }

private:
    std::vector<Violation> all_;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_FAKE_ATOMIC_H
