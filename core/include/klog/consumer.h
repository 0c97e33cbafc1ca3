// Consumers: durable, named positions in a filtered view of a log.
//
// A position is the seq up to which a consumer has acknowledged. An acknowledgement is kept in
// memory and costs no sync of its own: the newest ones are gathered into one record, at most every
// kPositionsPauseMs, and at Store::close(). So a crash of the process shows a consumer some records
// again, and never skips one. Everything else here is durable before it returns, and blocks until
// then.
//
// Threads: any, at any time.
#ifndef KLOG_CONSUMER_H
#define KLOG_CONSUMER_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/log.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// What a consumer is made with, and keeps.
struct ConsumerOptions {
    std::vector<std::string> filters = {">"};  // a union; 1 to 64
    std::vector<std::string> not_filters;      // taken out again; at most 64
    // All filters together: at most Limits::kConsumerFiltersBytesMax.
    Seq start_after;  // its first position; at most the newest durable seq
};

struct ConsumerInfo {
    std::string name;
    std::vector<std::string> filters;  // in their canonical spelling
    std::vector<std::string> not_filters;
    Seq position;             // everything up to here is done
    std::uint64_t lease = 0;  // the newest one; 0: nobody has read yet
    Time created;
    Time last_active;    // the last lease or acknowledgement
    std::string result;  // JSON that came with the newest acknowledgement; empty: none
};

// The consumers of one log. Names: one topic level of at most Limits::kConsumerNameBytesMax bytes
// (else bad_option). Every call on a name that nobody has answers not_found, but for put(). Calls
// that write can answer what Log::append can: disk_full, io, backpressure, rebuilding, stopping,
// outcome_unknown; of a read-only log not_allowed.
class Consumers {
public:
    // How long an acknowledgement stays in memory alone, while what the positions take is little
    // beside all that is written; see docs of LogStats::positions_records. Unit: milliseconds.
    static constexpr std::uint64_t kPositionsPauseMs = 200;
    // … and where it is not.
    static constexpr std::uint64_t kPositionsPauseMaxMs = 30'000;
    static constexpr std::size_t kPageRowsMax = 10'000;

    virtual ~Consumers() = default;

    struct Put {
        ConsumerInfo consumer;
        bool made = false;  // false: it was there, and stays as it is
    };
    // Makes a consumer, or finds the one of that name. Durable. Errors: bad_option, bad_filter
    // (also one that begins with "$": acknowledgements are such records); consumer_differs where it
    // has other filters; ack_ahead for a start behind the newest record; too_many where all
    // consumers take Limits::kConsumersBytesMax already.
    virtual Result<Put> put(std::string_view name, const ConsumerOptions& options) = 0;

    [[nodiscard]] virtual Result<ConsumerInfo> find(std::string_view name) const = 0;
    // In byte order of their names, behind `after`; at most limit (<= kPageRowsMax).
    [[nodiscard]] virtual Page<ConsumerInfo> page(std::string_view after,
                                                  std::size_t limit) const = 0;

    // Forgets it, its position and its leases. Durable.
    virtual Status remove(std::string_view name) = 0;
    // Removes those of the names that were not active since `before`; who is unknown is passed
    // over. At most kPageRowsMax names. Durable. Returns how many were removed.
    virtual Result<std::uint64_t> remove_idle(const std::vector<std::string>& names,
                                              Time before) = 0;

    // Sets the position exactly, back or forth. Durable. Errors: ack_ahead beyond the newest
    // record.
    virtual Status reset(std::string_view name, Seq position) = 0;

    // Begins a reading: a lease that no other reading had or gets, also after a restart. Older ones
    // are stale from here on. Durable. The answer holds lease and position.
    virtual Result<ConsumerInfo> lease(std::string_view name) = 0;

    // Everything up to seq is done. At or below the position nothing moves, and that is no error.
    // Never blocks on the disk. result: JSON of at most Limits::kAckResultBytesMax bytes, or empty;
    // the caller has checked it. Returns the position. Errors: ack_ahead beyond the newest durable
    // record, stale_lease where `lease` is given and is not the newest one, bad_option.
    virtual Result<Seq> ack(std::string_view name, Seq seq, std::optional<std::uint64_t> lease,
                            std::string_view result) = 0;

    // A reading under `lease` has sent everything that matches up to read_to, and nothing behind
    // `sent`. Where `sent` is acknowledged the position moves to read_to: past what does not match.
    // Never blocks on the disk; where it moves a little only, a restart moves it back again.
    // Errors: stale_lease.
    virtual Status pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to) = 0;

    // Writes what only memory has, now. Durable.
    virtual Status flush() = 0;
};

// Whether a name can be a consumer's. Errors: bad_option, with the column.
[[nodiscard]] Status check_consumer_name(std::string_view name);

}  // namespace klog

#endif  // KLOG_CONSUMER_H
