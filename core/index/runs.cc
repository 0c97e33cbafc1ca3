#include "index/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/mutex.h"
#include "index/run_format.h"
#include "index/runs_file.h"
#include "index/runs_merge.h"
#include "index/runs_writer.h"

namespace klog {
namespace {

constexpr std::string_view kTempSuffix = ".tmp";

using Runs = std::vector<std::shared_ptr<const RunFile>>;

// What lookups see: replaced as a whole, never changed.
struct Snapshot {
    Runs runs;  // oldest first
    std::uint64_t generation = 0;
};

bool is_temp_name(std::string_view name) {
    return name.ends_with(kTempSuffix) &&
           run_number_of(name.substr(0, name.size() - kTempSuffix.size())) != 0;
}

class RunSetImpl final : public RunSet {
public:
    RunSetImpl(Env& env, std::string dir, const std::array<std::uint8_t, 16>& store_uuid, Runs runs,
               std::uint64_t number_next)
        : env_(env),
          dir_(std::move(dir)),
          store_uuid_(store_uuid),
          number_next_(number_next),
          snapshot_(std::make_shared<const Snapshot>(Snapshot{std::move(runs), 1})) {}

    [[nodiscard]] RunWatermark watermark() const override {
        const auto snapshot = this->snapshot();
        if (snapshot->runs.empty()) return {};
        const RunHeader& newest = snapshot->runs.back()->header();
        return {newest.covered_upto, newest.last_time, newest.wal_id, newest.wal_offset,
                newest.settings_seq};
    }
    [[nodiscard]] std::uint64_t generation() const override { return snapshot()->generation; }
    [[nodiscard]] std::size_t runs() const override { return snapshot()->runs.size(); }

    Status find_heads(std::span<const Hash128> hashes,
                      std::span<std::optional<HeadEntry>> out) const override {
        return find(hashes, out);
    }
    Status find_ids(std::span<const Hash128> hashes,
                    std::span<std::optional<IdEntry>> out) const override {
        return find(hashes, out);
    }
    Result<std::optional<SessionEntry>> find_session(Hash128 hash) const override {
        std::optional<SessionEntry> found;
        KLOG_TRY(find(std::span<const Hash128>(&hash, 1),
                      std::span<std::optional<SessionEntry>>(&found, 1)));
        return found;
    }

    ~RunSetImpl() override {
        while (!jobs_.empty()) abandon_job();
    }

    Status add(const RunContents& contents) override;
    Result<bool> merge_step(Time session_before) override;
    Status reset() override;
    [[nodiscard]] Result<RunContents> dump() const override;

private:
    [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const {
        const MutexLock lock(mutex_);
        return snapshot_;
    }
    void publish(Runs runs) {
        auto next = std::make_shared<Snapshot>();
        next->runs = std::move(runs);
        const MutexLock lock(mutex_);
        next->generation = snapshot_->generation + 1;
        snapshot_ = std::move(next);
    }
    [[nodiscard]] std::string path_of(std::uint64_t number) const {
        return dir_ + "/" + run_file_name(number);
    }
    [[nodiscard]] std::string temp_of(std::uint64_t number) const {
        return path_of(number) + std::string(kTempSuffix);
    }
    // The header of a run by that number, as far as this store says it.
    [[nodiscard]] RunHeader stamped(RunHeader header, std::uint64_t number) const {
        header.number = number;
        header.store_uuid = store_uuid_;
        header.writer = kRunWriter;
        return header;
    }

    template <class Entry>
    Status find(std::span<const Hash128> hashes, std::span<std::optional<Entry>> out) const;

    // Writes a run durably with `fill`, which also finishes the writer.
    template <class Fill>
    Result<std::shared_ptr<const RunFile>> write_run(RunHeader header, const Fill& fill);

    // A merge under way. Those that were begun later merge runs behind its own, and end before it
    // goes on.
    struct Job {
        std::uint64_t number = 0;
        std::unique_ptr<RunMerge> merge;
    };
    Status begin_job(Time session_before);
    // Takes what the newest job wrote into the set.
    Status end_job();
    void abandon_job();

    Env& env_;
    const std::string dir_;
    const std::array<std::uint8_t, 16> store_uuid_;
    // Used by the one thread that adds and merges.
    std::uint64_t number_next_;
    std::vector<Job> jobs_;

    mutable Mutex mutex_;
    std::shared_ptr<const Snapshot> snapshot_ KLOG_GUARDED_BY(mutex_);
};

template <class Entry>
Status RunSetImpl::find(std::span<const Hash128> hashes,
                        std::span<std::optional<Entry>> out) const {
    KLOG_ASSERT(hashes.size() == out.size() && hashes.size() <= UINT32_MAX);
    std::fill(out.begin(), out.end(), std::nullopt);
    const auto snapshot = this->snapshot();
    if (snapshot->runs.empty()) return {};
    std::vector<RunProbe> pending(hashes.size());
    for (std::uint32_t i = 0; i < pending.size(); ++i) pending[i] = {hashes[i], i, false};
    sort_by_spread_hash(pending, [](const RunProbe& probe) { return probe.hash; });
    for (auto run = snapshot->runs.rbegin(); run != snapshot->runs.rend() && !pending.empty();
         ++run) {
        if (Status found = (*run)->find(pending, out); !found) {
            // The next start is to make it anew. A run that stays is met again, that is all.
            if (found.error().code == Code::corrupt) (void)env_.remove((*run)->path());
            return found;
        }
    }
    return {};
}

template <class Fill>
Result<std::shared_ptr<const RunFile>> RunSetImpl::write_run(RunHeader header, const Fill& fill) {
    // A number is never used twice, so that what a failed try left behind is in nobody's way.
    const std::uint64_t number = number_next_++;
    const std::string path = path_of(number);
    const std::string temp = temp_of(number);
    const auto write = [&]() -> Status {
        KLOG_TRY_ASSIGN(RunWriter writer,
                        RunWriter::create(env_, temp, stamped(std::move(header), number)));
        KLOG_TRY(fill(writer));
        KLOG_TRY(env_.rename(temp, path));
        return env_.sync_dir(dir_);
    };
    if (Status status = write(); !status.ok()) {
        // Frees the room that a full disk needs. If this fails too, the next open removes the file;
        // a run that was renamed already is complete and may stay.
        (void)env_.remove(temp);
        return std::move(status).error();
    }
    return RunFile::open(env_, path, number);
}

template <class Entry>
Status append_all(RunWriter& writer, const std::vector<std::pair<Hash128, Entry>>& entries) {
    RunSection expected;
    for (const auto& [hash, entry] : entries) {
        run_note_numbers(expected, RunEntry<Entry>::fields(entry), expected.count == 0);
        ++expected.count;
    }
    writer.begin_table(RunEntry<Entry>::kTable, expected);
    for (const auto& [hash, entry] : entries) {
        KLOG_TRY(writer.append(hash, RunEntry<Entry>::fields(entry)));
    }
    return writer.end_table();
}

Status RunSetImpl::add(const RunContents& contents) {
    const auto snapshot = this->snapshot();
    const Seq covered =
        snapshot->runs.empty() ? Seq{} : snapshot->runs.back()->header().covered_upto;
    KLOG_ASSERT(contents.covered_after == covered);
    KLOG_ASSERT(contents.covered_after < contents.covered_upto);
    if (snapshot->runs.empty()) KLOG_TRY(env_.create_dirs(dir_));
    RunHeader header;
    header.covered_after = contents.covered_after;
    header.covered_upto = contents.covered_upto;
    header.last_time = contents.last_time;
    header.wal_id = contents.wal_id;
    header.wal_offset = contents.wal_offset;
    header.settings_seq = contents.settings_seq;
    KLOG_TRY_ASSIGN(auto run, write_run(std::move(header), [&](RunWriter& writer) -> Status {
                        KLOG_TRY(append_all(writer, contents.heads));
                        KLOG_TRY(append_all(writer, contents.ids));
                        KLOG_TRY(append_all(writer, contents.sessions));
                        return writer.finish();
                    }));
    Runs runs = snapshot->runs;
    runs.push_back(std::move(run));
    publish(std::move(runs));
    return {};
}

Result<bool> RunSetImpl::merge_step(Time session_before) {
    KLOG_TRY(begin_job(session_before));
    if (jobs_.empty()) return false;
    const std::size_t jobs = jobs_.size();
    auto finished = jobs_.back().merge->step(kStepBytes);
    Status status = finished.ok() ? Status{} : Status{finished.error()};
    if (finished.ok() && *finished) status = end_job();
    if (status) return true;
    if (jobs_.size() < jobs) return std::move(status).error();  // merged, but an old one stays
    // One of them is damaged: the next start makes all of them anew.
    if (status.error().code == Code::corrupt) {
        for (const auto& old : jobs_.back().merge->runs()) (void)env_.remove(old->path());
    }
    abandon_job();
    return std::move(status).error();
}

// Only among the runs that no job has, which are the newest.
Status RunSetImpl::begin_job(Time session_before) {
    const auto snapshot = this->snapshot();
    auto first = snapshot->runs.begin();
    if (!jobs_.empty()) {
        first = std::find(first, snapshot->runs.end(), jobs_.back().merge->runs().back());
        KLOG_ASSERT(first != snapshot->runs.end());
        ++first;
    }
    const std::span<const std::shared_ptr<const RunFile>> free(first, snapshot->runs.end());
    if (free.size() <= kRunsMax) return {};
    std::vector<std::uint64_t> bytes;
    bytes.reserve(free.size());
    for (const auto& run : free) bytes.push_back(run->header().file_bytes);
    const auto [from, to] = merge_window(bytes);
    Runs window(free.begin() + static_cast<std::ptrdiff_t>(from),
                free.begin() + static_cast<std::ptrdiff_t>(to));
    for (std::size_t i = 0; i < kRunTables; ++i) {
        // Too many for one table: they stay as they are.
        if (RunMerge::expected(window, static_cast<RunTable>(i)).count > kRunEntriesMax) return {};
    }
    RunHeader header = window.back()->header();  // the watermark is the newest one's
    header.format = kRunFormat;
    header.min_reader = kRunFormat;
    header.compatible_bits = 0;  // what they stand for was not carried over
    header.covered_after = window.front()->header().covered_after;
    header.sections = {};
    // A number is never used twice, so that what a failed try left behind is in nobody's way.
    const std::uint64_t number = number_next_++;
    KLOG_TRY_ASSIGN(auto merge, RunMerge::begin(env_, std::move(window), stamped(header, number),
                                                temp_of(number), session_before));
    jobs_.push_back({number, std::move(merge)});
    return {};
}

Status RunSetImpl::end_job() {
    const std::uint64_t number = jobs_.back().number;
    KLOG_TRY(env_.rename(temp_of(number), path_of(number)));
    KLOG_TRY(env_.sync_dir(dir_));
    KLOG_TRY_ASSIGN(auto merged, RunFile::open(env_, path_of(number), number));
    const auto window = jobs_.back().merge->runs();
    Runs next = this->snapshot()->runs;
    const auto first = std::find(next.begin(), next.end(), window.front());
    KLOG_ASSERT(first != next.end());
    *first = std::move(merged);
    next.erase(first + 1, first + static_cast<std::ptrdiff_t>(window.size()));
    publish(std::move(next));
    // Only now, since the merged run is durable. An old one that stays is removed by the next
    // open, which sees that the merged one covers it.
    const Job job = std::move(jobs_.back());
    jobs_.pop_back();
    for (const auto& old : job.merge->runs()) KLOG_TRY(env_.remove(old->path()));
    return {};
}

// Frees the room that a full disk needs. If that fails too, the next open removes the file.
void RunSetImpl::abandon_job() {
    const std::string temp = temp_of(jobs_.back().number);
    jobs_.pop_back();
    (void)env_.remove(temp);
}

Status RunSetImpl::reset() {
    while (!jobs_.empty()) abandon_job();
    publish({});
    KLOG_TRY_ASSIGN(const std::vector<std::string> names, env_.list_dir(dir_));
    for (const std::string& name : names) {
        if (run_number_of(name) == 0 && !is_temp_name(name)) continue;
        KLOG_TRY(env_.remove(dir_ + "/" + name));
    }
    return env_.sync_dir(dir_);
}

template <class Entry>
Status dump_table(const Runs& runs, std::vector<std::pair<Hash128, Entry>>& out) {
    NewestCursor cursor(runs, RunEntry<Entry>::kTable);
    KLOG_TRY(cursor.start());
    const auto take = [&](Hash128 hash, const RunFields& fields) -> Status {
        out.emplace_back(hash, RunEntry<Entry>::entry(fields));
        return {};
    };
    KLOG_TRY_ASSIGN(const bool more, cursor.visit(SIZE_MAX, take));
    KLOG_ASSERT(!more);
    return {};
}

Result<RunContents> RunSetImpl::dump() const {
    const auto snapshot = this->snapshot();
    RunContents out;
    if (snapshot->runs.empty()) return out;
    const RunHeader& newest = snapshot->runs.back()->header();
    out.covered_after = snapshot->runs.front()->header().covered_after;
    out.covered_upto = newest.covered_upto;
    out.last_time = newest.last_time;
    out.wal_id = newest.wal_id;
    out.wal_offset = newest.wal_offset;
    out.settings_seq = newest.settings_seq;
    KLOG_TRY(dump_table(snapshot->runs, out.heads));
    KLOG_TRY(dump_table(snapshot->runs, out.ids));
    KLOG_TRY(dump_table(snapshot->runs, out.sessions));
    return out;
}

// What open found in the folder.
struct Found {
    Runs sound;
    std::uint64_t number_max = 0;
};

void remove_with_notice(Env& env, const std::string& path, const std::string& why,
                        std::vector<std::string>& notices) {
    const Status removed = env.remove(path);
    notices.push_back(removed.ok() ? fmt::format("{}; removed, the log has what it held", why)
                                   : fmt::format("{}; it is not used, but cannot be removed: {}",
                                                 why, removed.error().message));
}

Found load_all(Env& env, const std::string& dir, const std::array<std::uint8_t, 16>& store_uuid,
               const std::vector<std::string>& names, std::vector<std::string>& notices) {
    Found found;
    for (const std::string& name : names) {
        const std::string path = dir + "/" + name;
        if (is_temp_name(name)) {
            const std::string_view final_name(name.data(), name.size() - kTempSuffix.size());
            found.number_max = std::max(found.number_max, run_number_of(final_name));
            remove_with_notice(env, path, fmt::format("run {}: left unfinished", path), notices);
            continue;
        }
        const std::uint64_t number = run_number_of(name);
        if (number == 0) continue;  // not ours
        found.number_max = std::max(found.number_max, number);
        auto run = RunFile::open(env, path, number);
        if (!run.ok()) {
            const Error& error = run.error();
            if (error.code == Code::corrupt || error.code == Code::format_unknown) {
                remove_with_notice(env, path, error.message, notices);
            } else {
                // It may be readable again the next time, and what it says is still true then.
                notices.push_back(fmt::format("{}; it is not used", error.message));
            }
            continue;
        }
        if ((*run)->header().store_uuid != store_uuid) {
            remove_with_notice(env, path, fmt::format("run {}: belongs to another store", path),
                               notices);
            continue;
        }
        found.sound.push_back(std::move(run).value());
    }
    return found;
}

// Those that cover (0, watermark] without a hole, by taking at each point the one that reaches
// furthest: a merged run before those that it was merged from. The others are removed.
Runs choose(Env& env, Runs sound, std::vector<std::string>& notices) {
    std::sort(sound.begin(), sound.end(), [](const auto& a, const auto& b) {
        const RunHeader& x = a->header();
        const RunHeader& y = b->header();
        if (x.covered_after != y.covered_after) return x.covered_after < y.covered_after;
        if (x.covered_upto != y.covered_upto) return x.covered_upto > y.covered_upto;
        return x.number > y.number;
    });
    Runs chosen;
    Seq covered;
    for (auto& run : sound) {
        const RunHeader& header = run->header();
        if (header.covered_after == covered && header.covered_upto > covered) {
            covered = header.covered_upto;
            chosen.push_back(std::move(run));
            continue;
        }
        const bool behind = header.covered_upto > covered;
        remove_with_notice(
            env, run->path(),
            fmt::format("run {}: covers {} to {}, which {}", run->path(),
                        header.covered_after.value + 1, header.covered_upto.value,
                        behind ? "lies behind a hole" : "a merged run covers as well"),
            notices);
    }
    return chosen;
}

}  // namespace

Status RunSet::merge(Time session_before) {
    for (bool more = true; more;) {
        KLOG_TRY_ASSIGN(more, merge_step(session_before));
    }
    return {};
}

std::uint64_t RunSet::newest_wal_id(Env& env, const std::string& dir,
                                    const std::array<std::uint8_t, 16>& store_uuid) {
    const auto names = env.list_dir(dir);
    if (!names.ok()) return 0;
    std::uint64_t newest = 0;
    for (const std::string& name : *names) {
        if (run_number_of(name) == 0) continue;
        const std::string path = dir + "/" + name;
        const auto file = env.open(path, OpenMode::read);
        if (!file.ok()) continue;
        std::string bytes(kRunHeaderBytes, '\0');
        const auto got = (*file)->read_at(0, bytes);
        if (!got.ok() || *got != bytes.size()) continue;
        const auto header = decode_run_header(bytes, path);
        if (header.ok() && header->store_uuid == store_uuid) {
            newest = std::max(newest, header->wal_id);
        }
    }
    return newest;
}

Result<std::unique_ptr<RunSet>> RunSet::open(Env& env, const std::string& dir,
                                             const std::array<std::uint8_t, 16>& store_uuid,
                                             std::vector<std::string>& notices) {
    // A folder that is missing is made by the first add(): its syncs would cost each start more
    // than all the rest.
    Found found;
    if (auto names = env.list_dir(dir); names.ok()) {
        found = load_all(env, dir, store_uuid, *names, notices);
    } else if (names.error().code != Code::not_found) {
        notices.push_back(fmt::format("{}; its runs are not used, the log has what they hold",
                                      names.error().message));
    }
    Runs chosen = choose(env, std::move(found.sound), notices);
    return std::unique_ptr<RunSet>(std::make_unique<RunSetImpl>(
        env, dir, store_uuid, std::move(chosen), found.number_max + 1));
}

}  // namespace klog
