// A store is one data directory: one WAL, several logs. A log is one total order of records.
//
//   auto env = klog::make_posix_env();
//   auto store = klog::Store::open(*env, {.dir = "/var/lib/klog"});
//   klog::Log& log = (*store)->default_log();
//
// Durability: a record is durable when its completion says so, and not visible before that.
// Threads: every call of Store and Log may come from any thread, unless it says otherwise.
// The library starts no thread. append() may write and sync on the calling thread, for one group
// of records; a thread lent with Store::run_writer takes over what comes after that.
#ifndef KLOG_LOG_H
#define KLOG_LOG_H

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "klog/count.h"
#include "klog/env.h"
#include "klog/options.h"
#include "klog/recovery.h"
#include "klog/result.h"
#include "klog/stats.h"
#include "klog/types.h"

namespace klog {

// ------------------------------------------------------------------------------------ writing

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
    std::optional<Conflict> conflict;
};

// Shared by the batches of one stream: after a refusal nothing more of the stream is written.
// Owned by the caller through shared_ptr; read and set by the log only.
struct WriteStream {
    bool stop_on_error = true;
    bool stopped = false;  // guarded by the log
    SessionId session;     // all zero: lines are not deduplicated
};

// Records that arrive together. They are judged in order, each seeing those before it, and are
// written next to each other or nearly so; they are not atomic.
class WriteBatch {
public:
    std::vector<WriteRecord> records;
    std::vector<WriteResult> results;     // filled by the log, as many as records
    std::shared_ptr<WriteStream> stream;  // may be null: a batch on its own, not stopped by errors

    // Keeps bytes alive as long as the batch. Returns a view of them.
    std::string_view keep(std::string bytes);
    // Keeps whatever the records' views point into.
    void keep_alive(std::shared_ptr<const void> owner);

    // false: the caller has more to do at once (it is reading a stream), so a lent writer thread
    // commits. true: this thread may commit the group itself, which saves a wake-up.
    bool may_lead = true;

    // Called once, when every result is final, on the thread that committed the group (it must
    // not block, and may call append).
    std::function<void(std::unique_ptr<WriteBatch>)> done;

    // Internal to the log: what it computed about the records before it judged them.
    struct Prepared;
    std::shared_ptr<Prepared> prepared;

private:
    std::vector<std::unique_ptr<std::string>> kept_;
    std::vector<std::shared_ptr<const void>> owners_;
};

// ------------------------------------------------------------------------------------ reading

// Where a read begins. Exactly one form counts.
struct ReadFrom {
    enum class Form : std::uint8_t {
        start,
        end,    // behind the newest durable record when the reader is opened
        after,  // behind seq
        from,   // at seq
        time,   // at the first record whose time is >= time
        last,   // the newest `count` records that match
    };
    Form form = Form::start;
    Seq seq;
    Time time;
    std::uint64_t count = 0;
};

struct ReadOptions {
    std::vector<std::string> filters = {">"};  // a union; at most 64
    std::vector<std::string> not_filters;      // taken out again; at most 64
    std::optional<std::string> key;            // exactly this key text
    ReadFrom from;
    // The last seq, or the last time, that is read. A follower ends there too.
    std::optional<Seq> until_seq;
    std::optional<Time> until_time;
    // false: ends at the newest durable record when the reader was opened.
    bool follow = false;
    // Blocks of sealed segments of which every record is wanted may come as they are stored
    // (ReadChunk::blocks): whoever passes them on need not unpack them. Not together with a key.
    bool stored_blocks = false;
};

// Some records as they are stored, packed. Their bytes passed their checksum.
struct StoredBlock {
    std::uint8_t codec = 0;  // 0 plain, 1 zstd, 2 zstd with the dictionary
    std::string_view bytes;
    std::uint32_t payload_bytes = 0;  // unpacked: records in the form of schemas/wal.md
    std::uint64_t count = 0;          // of records
    Seq first_seq;                    // of the first one; seqs and times count from these
    Time base_time;
    Seq last_seq;
    std::shared_ptr<const std::string> dictionary;  // null unless codec is 2
};

// Some records, and how far was looked to find them. It holds records or blocks, never both.
struct ReadChunk {
    std::vector<RecordView> records;
    std::vector<StoredBlock> blocks;
    std::vector<std::shared_ptr<const void>> pins;  // keep the views alive
    // Every record that matches and has a seq <= read_to is in this chunk or an earlier one.
    Seq read_to;
    // The newest durable seq when this chunk was made.
    Seq head;
    // Nothing more will come: until was reached, or the end of a read that does not follow.
    bool end = false;
};

// A cursor over one log. One thread at a time; destroy it before its Log.
class Reader {
public:
    virtual ~Reader() = default;

    // True if the next read() is served from memory and does not touch the disk.
    [[nodiscard]] virtual bool ready_in_memory() = 0;

    // The next records, until about bytes_max bytes of them (of blocks: as they are stored) or
    // records_max records were found, or about scan_bytes were looked at; possibly none. Never
    // waits for new records. It may read from the disk. Errors: corrupt (names file and offset),
    // io.
    [[nodiscard]] virtual Result<ReadChunk> read(std::size_t bytes_max,
                                                 std::size_t records_max) = 0;

    // Calls `wake` once, from any thread, when there may be something to read behind the last
    // read_to; at once if there already is. It must not block. Replaces an earlier call;
    // an empty function takes it back, and afterwards the earlier one does not run any more.
    virtual void on_ready(std::function<void()> wake) = 0;

    // The seq behind which this reader began, and where a read without follow will end.
    [[nodiscard]] virtual Seq begin_after() const = 0;
    [[nodiscard]] virtual Seq end_at() const = 0;
};

// A record that owns its bytes.
struct OwnedRecord {
    RecordView view;
    std::shared_ptr<const void> pin;
};

struct EntityHead {
    EntityState state = EntityState::absent;
    Version version;
    Seq last_seq;
};

struct KeyRow {
    std::string key;
    EntityHead head;
};

struct TopicRow {
    std::string topic;
    std::uint64_t records = 0;
    Seq last_seq;
};

template <class Row>
struct Page {
    std::vector<Row> rows;  // in byte order
    bool more = false;      // ask again behind the last row
};

class Log {
public:
    virtual ~Log() = default;

    // Judges and writes a batch; batch->done is called exactly once, possibly before append
    // returns. Never fails itself: errors stand in the results. Results that may be refused
    // with backpressure or disk_full can be tried again.
    virtual void append(std::unique_ptr<WriteBatch> batch) = 0;

    // The newest durable seq of the log; with a filter the newest that matches (0: none).
    [[nodiscard]] virtual Seq head() const = 0;
    [[nodiscard]] virtual Result<Seq> head(std::string_view filter) = 0;

    // What is durable about an entity. Errors: bad_topic for a bad space, bad_key, io, corrupt.
    [[nodiscard]] virtual Result<EntityHead> entity(std::string_view space,
                                                    std::string_view key) = 0;
    // The newest record of an entity, or that version. not_found where there is none. Reads disk.
    [[nodiscard]] virtual Result<OwnedRecord> get(std::string_view space, std::string_view key,
                                                  std::optional<Version> version) = 0;

    // Opens a cursor. Errors: bad_filter, bad_option. Form::time and Form::last may read the disk.
    [[nodiscard]] virtual Result<std::unique_ptr<Reader>> read(const ReadOptions& options) = 0;

    // Begins a count. Errors: bad_filter, bad_key. An until_time may read the disk.
    [[nodiscard]] virtual Result<std::unique_ptr<Counter>> counter(const CountOptions& options) = 0;
    // The exact number of records that match now, in one go: it may read the whole log. Errors: as
    // counter() and Counter::step().
    [[nodiscard]] Result<std::uint64_t> count(const CountOptions& options);

    // Entities of a space whose key starts with prefix, behind `after`, at most limit (<= 10,000).
    // Deleted ones only on request.
    [[nodiscard]] virtual Result<Page<KeyRow>> keys(std::string_view space, std::string_view prefix,
                                                    std::string_view after, bool deleted,
                                                    std::size_t limit) = 0;
    // Topics that match, behind `after`, at most limit (<= 10,000).
    [[nodiscard]] virtual Result<Page<TopicRow>> topics(std::string_view filter,
                                                        std::string_view after,
                                                        std::size_t limit) = 0;

    // Seq and version of the lines of a session in [first_line, last_line] that were written
    // behind `after`. Reads at most 200,000 records: those behind `after`, or the newest ones where
    // that is 0. Errors: too_many where the lines are not found among them; io, corrupt.
    struct SessionLine {
        std::uint64_t line = 0;
        Seq seq;
        Version version;
    };
    [[nodiscard]] virtual Result<std::vector<SessionLine>> session_lines(const SessionId& session,
                                                                         std::uint64_t first_line,
                                                                         std::uint64_t last_line,
                                                                         Seq after) = 0;

    // Settings are records under $klog/ (topic "$klog/settings/" + name). Blocks until durable.
    virtual Result<Seq> put_setting(std::string_view name, std::string_view value) = 0;
    [[nodiscard]] virtual std::optional<std::string> setting(std::string_view name) const = 0;
    // The seq of the newest settings record. Cheap.
    [[nodiscard]] virtual std::uint64_t settings_seq() const = 0;

    [[nodiscard]] virtual LogStats stats() const = 0;
};

class Store {
public:
    virtual ~Store() = default;  // without close(): as if the process had been killed

    // Opens or makes a store and recovers what a crash left. Errors: locked (another process or
    // Store has it), corrupt (names file and offset), format_unknown (names the writer), io,
    // config, disk_full (a new store only; an old one opens for reading). Read-only: no_input
    // (there is no log); corrupt only where the set of segments cannot be trusted, since nobody can
    // say then what is there.
    [[nodiscard]] static Result<std::unique_ptr<Store>> open(Env& env, const StoreOptions& options);

    [[nodiscard]] virtual Log& system_log() = 0;
    [[nodiscard]] virtual Log& default_log() = 0;

    // Lend a thread; returns when stopped. Writer: commits what append() left behind.
    // Maintenance: spares, runs, key index, file indexes, the idle mark. Sealer: WAL files become
    // segments, and small segments larger ones; it wants processor time, so lend it a thread that
    // yields to the others. Without them the same work happens on the threads that append, and, but
    // for sealing, in close(). Of a read-only store they return at once.
    virtual void run_writer(std::stop_token stop) = 0;
    virtual void run_maintenance(std::stop_token stop) = 0;
    virtual void run_sealer(std::stop_token stop) = 0;
    // Maintenance that is due, once, on this thread. For embedders without a thread, and tests.
    virtual Status maintain() = 0;

    // Waits for what is queued, writes indexes and the clean marker. Afterwards appends answer
    // `stopping`. Reads still work.
    virtual Status close() = 0;

    [[nodiscard]] virtual StoreStats stats() const = 0;
    [[nodiscard]] virtual const RecoveryReport& recovery() const = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_H
