// Records on their way in: what a producer hands to Log::append, and what it is told.
//
// Threads: one at a time, until the batch is appended.
#ifndef KLOG_WRITE_H
#define KLOG_WRITE_H

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klog/guard.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// What a producer knows about one record. Views must live as long as their WriteBatch (see
// WriteBatch::keep). Topic, key, id and value are checked by append(); JSON is the caller's duty.
struct WriteRecord {
    std::string_view topic;
    std::string_view key;
    bool has_key = false;
    std::string_view id;
    std::string_view headers;  // encode_headers
    std::string_view value;
    Kind kind = Kind::plain;  // plain or tombstone
    Encoding encoding = Encoding::json;
    bool has_event_time = false;
    Time event_time;
    Expect expect;
    const FilterGuard* guard = nullptr;  // must hold as well; lives as long as the batch
    std::uint64_t line = 0;  // the caller's own number; with a session it is deduplicated by it
    // The settings_seq under which the caller authorised and checked this record; where settings
    // moved on since then, the record comes back as stale_settings. kAnySettings: not checked.
    static constexpr std::uint64_t kAnySettings = ~0ULL;
    std::uint64_t settings_seq = kAnySettings;
};

// Why a version was refused, as interface documents show it.
struct Conflict {
    Expect expected;
    Version actual;
    EntityState state = EntityState::absent;
    Seq last_seq;
};

// The answer to one record, in the order of the batch.
struct WriteResult {
    enum class Outcome : std::uint8_t {
        written,         // durable: seq, version, time are the record's
        duplicate,       // known by its id or session line: seq, version, time of the first write
        refused,         // nothing was written: error says why; conflict for version_conflict
        skipped,         // not judged: an earlier record of its stream was refused
        stale_settings,  // not judged: settings changed since settings_seq; check again
        unknown,         // the sync failed: written zero or one times
    };
    Outcome outcome = Outcome::skipped;
    Seq seq;
    Version version;
    Time time;
    std::optional<Error> error;
    std::optional<Conflict> conflict;             // version_conflict
    std::optional<GuardConflict> guard_conflict;  // guard_conflict
};

// An expectation of an atomic batch beyond those of its records. Views as in WriteRecord.
struct BatchGuard {
    std::uint64_t line = 0;
    const FilterGuard* filters = nullptr;  // null: of the entity
    std::string_view space;
    std::string_view key;
    Expect expect;
};

// A consumer's position that moves with an atomic batch. Refused with not_found (no such consumer),
// stale_lease, already_acked (it stands there or further), ack_ahead (there is no such seq yet).
struct BatchAck {
    std::uint64_t line = 0;
    std::string_view consumer;
    Seq seq;
    std::optional<std::uint64_t> lease;  // must be the newest one, if given
    std::string_view result;             // JSON; empty: none
};

// What makes a batch atomic: it is written all, next to each other, or not at all, also across a
// crash. Everything is judged against the state before it. There is at most one expected version an
// entity, and one ack a consumer (else bad_record). Where all records are known by their ids the
// batch is a duplicate, and nothing else is judged; where a part is, it is refused with
// partial_duplicate. Limits: kBatch… of Limits.
struct AtomicPart {
    std::vector<BatchGuard> guards;
    std::vector<BatchAck> acks;
    // Lines that whoever made the batch could not read. Where there are any it is refused, and they
    // are named with what else is malformed.
    std::vector<Violation> malformed;

    // The answer: written, duplicate, refused, stale_settings or unknown, of the whole. The results
    // of the records say the same. refused: `violations` in the order of their lines, or `error`
    // where the batch was not judged.
    WriteResult::Outcome outcome = WriteResult::Outcome::skipped;
    std::vector<Violation> violations;
    std::uint64_t violations_left_out = 0;
    std::optional<Error> error;
};

// Shared by the batches of one stream: after a refusal nothing more of the stream is written.
// Owned by the caller through shared_ptr; read and set by the log only.
struct WriteStream {
    bool stop_on_error = true;
    bool stopped = false;  // guarded by the log
    SessionId session;     // all zero: lines are not deduplicated
};

// Records that arrive together. They are judged in order, each seeing those before it, and are
// written next to each other or nearly so; unless `atomic` is there they are not atomic.
class WriteBatch {
public:
    std::vector<WriteRecord> records;
    std::vector<WriteResult> results;     // filled by the log, as many as records
    std::shared_ptr<WriteStream> stream;  // may be null: a batch on its own, not stopped by errors
    std::unique_ptr<AtomicPart> atomic;   // null: each record stands on its own

    // Keeps bytes alive as long as the batch. Returns a view of them.
    std::string_view keep(std::string bytes);
    const FilterGuard* keep(FilterGuard guard);
    // Keeps whatever the records' views point into.
    void keep_alive(std::shared_ptr<const void> owner);

    // false: the caller has more to do at once (it is reading a stream), so a lent writer thread
    // commits. true: this thread may commit the group itself, which saves a wake-up.
    bool may_lead = true;

    // Called once, when every result is final, on the thread that committed the group (it must
    // not block, and may call append).
    std::function<void(std::unique_ptr<WriteBatch>)> done;

    // Internal to the log: what it computed about the records before it judged them, and what it
    // knows about the guards over filters (null where there are none).
    struct Prepared;
    std::shared_ptr<Prepared> prepared;
    struct Looked;
    std::shared_ptr<Looked> looked;

private:
    std::vector<std::unique_ptr<std::string>> kept_;
    std::unique_ptr<std::deque<FilterGuard>> guards_;  // null: none was kept
    std::vector<std::shared_ptr<const void>> owners_;
};

}  // namespace klog

#endif  // KLOG_WRITE_H
