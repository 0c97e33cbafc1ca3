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
#include "klog/history.h"
#include "klog/options.h"
#include "klog/recovery.h"
#include "klog/result.h"
#include "klog/stats.h"
#include "klog/types.h"
#include "klog/write.h"

namespace klog {

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
    // Of each entity (space and key) only the newest record among those that match up to now, or up
    // to until_*; records without a key all. In the order of seqs; Form::last counts among them.
    // With `follow` then every record that comes, once. read() finds nothing before the range was
    // looked through (several times where StoreOptions::newest_bytes_max has no room for its
    // entities), and may answer backpressure (others have the memory) or too_many (marks).
    bool newest_per_key = false;
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

class Consumers;

class Log {
public:
    virtual ~Log() = default;

    // Judges and writes a batch; batch->done is called exactly once, possibly before append
    // returns. Never fails itself: errors stand in the results. Results that may be refused
    // with backpressure or disk_full can be tried again.
    virtual void append(std::unique_ptr<WriteBatch> batch) = 0;

    // False: the guards over filters of this batch reach further back than memory does, so that
    // look_at_guards() would read the disk. Cheap, and what it saw append() need not look at again.
    [[nodiscard]] virtual bool guards_in_memory(WriteBatch& batch) = 0;
    // Looks at what the guards of a batch ask of the disk, on what is durable now, so that append()
    // has little left to look at. append() calls it where it is needed and nobody did: whoever must
    // not block calls it before, on a thread that may. Records whose guards could not be looked at
    // are refused by append(): io, corrupt, backpressure, batch_too_large.
    virtual void look_at_guards(WriteBatch& batch) = 0;

    // The newest durable seq of the log; with a filter the newest that matches (0: none).
    [[nodiscard]] virtual Seq head() const = 0;
    [[nodiscard]] virtual Result<Seq> head(std::string_view filter) = 0;

    // What is durable about an entity. Errors: bad_topic for a bad space, bad_key, io, corrupt.
    [[nodiscard]] virtual Result<EntityHead> entity(std::string_view space,
                                                    std::string_view key) = 0;
    // The newest record of an entity, or that version. not_found where there is none. Reads disk.
    [[nodiscard]] virtual Result<OwnedRecord> get(std::string_view space, std::string_view key,
                                                  std::optional<Version> version) = 0;

    // The record with that seq. not_found where there is none (yet). Reads disk.
    [[nodiscard]] virtual Result<OwnedRecord> record(Seq seq) = 0;

    // Opens a cursor. Errors: bad_filter, bad_option. Form::time and Form::last may read the disk.
    [[nodiscard]] virtual Result<std::unique_ptr<Reader>> read(const ReadOptions& options) = 0;

    // Opens a cursor over versions of one entity as they are now, in their order; none where the
    // range lies behind the newest. Where they begin and end is found by search, which reads the
    // disk. Errors: bad_topic for a bad space, bad_key, not_found (there never was such a key),
    // corrupt, io.
    [[nodiscard]] virtual Result<std::unique_ptr<Reader>> history(
        const HistoryOptions& options) = 0;

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
    // Errors: bad_option for a name that begins with "consumer/": see consumers().
    virtual Result<Seq> put_setting(std::string_view name, std::string_view value) = 0;
    [[nodiscard]] virtual std::optional<std::string> setting(std::string_view name) const = 0;
    // The seq of the newest settings record. Cheap.
    [[nodiscard]] virtual std::uint64_t settings_seq() const = 0;

    // Named positions: klog/consumer.h. Lives as long as the log.
    [[nodiscard]] virtual Consumers& consumers() = 0;

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
    // Maintenance: spares, runs, key index, file indexes, the idle mark, and heads and ids where
    // they are made anew (StoreOptions::rebuild_later_records; a run that is damaged). Sealer: WAL
    // files become segments, and small segments larger ones; it wants processor time, so lend it a
    // thread that yields to the others. Without them the same work happens on the threads that
    // append, and, but for sealing, in close(); heads are then made anew by maintain() or the next
    // open only. Of a read-only store they return at once.
    virtual void run_writer(std::stop_token stop) = 0;
    virtual void run_maintenance(std::stop_token stop) = 0;
    virtual void run_sealer(std::stop_token stop) = 0;
    // Maintenance that is due, once, on this thread. For embedders without a thread, and tests.
    virtual Status maintain() = 0;

    // Waits for what is queued, writes indexes and the clean marker. Afterwards appends answer
    // `stopping`. Reads still work.
    virtual Status close() = 0;

    [[nodiscard]] virtual StoreStats stats() const = 0;
    // What people may want to know of what happened since the last call, in order: indexes that
    // were found damaged, and that are whole again.
    [[nodiscard]] virtual std::vector<std::string> take_notices() = 0;
    [[nodiscard]] virtual const RecoveryReport& recovery() const = 0;
};

}  // namespace klog

#endif  // KLOG_LOG_H
