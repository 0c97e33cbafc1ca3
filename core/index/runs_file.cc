#include "index/runs_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

RunFile::RunFile(Env& env, std::string path, std::unique_ptr<File> file, RunHeader header)
    : env_(env),
      path_(std::move(path)),
      file_(std::move(file)),
      header_(std::move(header)),
      seed_(run_file_seed(header_.store_uuid, header_.number)) {}

Result<std::shared_ptr<const RunFile>> RunFile::open(Env& env, const std::string& path,
                                                     std::uint64_t number) {
    KLOG_TRY_ASSIGN(auto file, env.open(path, OpenMode::read));
    std::string bytes(kRunHeaderBytes, '\0');
    KLOG_TRY_ASSIGN(const std::size_t got, file->read_at(0, bytes));
    KLOG_TRY_ASSIGN(RunHeader header,
                    decode_run_header(std::string_view(bytes).substr(0, got), path));
    KLOG_TRY_ASSIGN(const std::uint64_t size, file->size());
    const std::shared_ptr<RunFile> run(
        new RunFile(env, path, std::move(file), std::move(header)));  // a private constructor
    if (run->header_.number != number) return run->corrupt_at(0, "it bears another run's name");
    if (run->header_.file_bytes != size) {
        return run->corrupt_at(size, fmt::format("{} bytes long where its header says {}", size,
                                                 run->header_.file_bytes));
    }
    for (std::size_t i = 0; i < kRunTables; ++i) {
        KLOG_TRY(run->load_table(static_cast<RunTable>(i)));
    }
    return std::shared_ptr<const RunFile>(run);
}

Error RunFile::corrupt_at(std::uint64_t offset, std::string_view what) const {
    return Error{Code::corrupt, fmt::format("run {}: {} (offset {})", path_, what, offset),
                 "a run is rebuilt from the log"};
}

Error RunFile::corrupt_bucket(RunTable table, std::uint64_t bucket, std::string_view what) const {
    return corrupt_at(bucket_offset(table, bucket), what);
}

Status RunFile::read_exact(std::uint64_t offset, std::span<char> out) const {
    KLOG_TRY_ASSIGN(const std::size_t got, file_->read_at(offset, out));
    if (got != out.size()) return corrupt_at(offset + got, "ends too early");
    return {};
}

Status RunFile::load_table(RunTable table) {
    const RunSection& section = this->section(table);
    Table& loaded = tables_[static_cast<std::size_t>(table)];
    loaded.layout = run_layout(table, section);
    KLOG_TRY(load_starts(table));
    // Both sizes were checked against the size of the file.
    loaded.filter.resize(section.filter_bytes);
    KLOG_TRY(read_exact(section.filter_offset, loaded.filter));
    if (crc32c(loaded.filter, run_section_seed(seed_, table, kRunFilterBucket)) !=
        section.filter_crc) {
        return corrupt_at(section.filter_offset, "a filter fails its checksum");
    }
    return {};
}

Status RunFile::load_starts(RunTable table) {
    const RunSection& section = this->section(table);
    std::vector<std::uint32_t>& starts = tables_[static_cast<std::size_t>(table)].starts;
    starts.resize(section.buckets + 1);
    static_assert(sizeof(starts[0]) == kRunStartBytes);  // both architectures are little endian
    const std::span<char> bytes(reinterpret_cast<char*>(starts.data()),
                                section.buckets * kRunStartBytes);
    KLOG_TRY(read_exact(section.starts_offset, bytes));
    if (crc32c({bytes.data(), bytes.size()}, run_section_seed(seed_, table, kRunStartsBucket)) !=
        section.starts_crc) {
        return corrupt_at(section.starts_offset, "the starts of its buckets fail their checksum");
    }
    starts.back() = static_cast<std::uint32_t>(section.count);
    if (starts.front() != 0 || !std::is_sorted(starts.begin(), starts.end())) {
        return corrupt_at(section.starts_offset, "the starts of its buckets are out of order");
    }
    return {};
}

std::uint64_t RunFile::bucket_offset(RunTable table, std::uint64_t bucket) const {
    return section(table).entries_offset + start(table, bucket) * layout(table).entry_bytes +
           bucket * kRunBucketCrcBytes;
}

std::uint64_t RunFile::bucket_bytes(RunTable table, std::uint64_t first, std::uint64_t last) const {
    return (start(table, last) - start(table, first)) * layout(table).entry_bytes +
           (last - first) * kRunBucketCrcBytes;
}

Status RunFile::read_buckets(RunTable table, std::uint64_t first, std::uint64_t last,
                             std::span<char> out) const {
    KLOG_ASSERT(out.size() == bucket_bytes(table, first, last));
    KLOG_TRY(read_exact(bucket_offset(table, first), out));
    const char* at = out.data();
    for (std::uint64_t bucket = first; bucket < last; ++bucket) {
        const std::size_t bytes = bucket_bytes(table, bucket, bucket + 1) - kRunBucketCrcBytes;
        if (crc32c({at, bytes}, run_section_seed(seed_, table, bucket)) !=
            load_fixed<std::uint32_t>(at + bytes)) {
            return corrupt_bucket(table, bucket, "a bucket fails its checksum");
        }
        at += bytes + kRunBucketCrcBytes;
    }
    return {};
}

std::vector<std::uint32_t> RunFile::passed(const Table& table,
                                           std::span<const RunProbe> pending) const {
    std::vector<std::uint32_t> out;
    if (table.filter.empty()) return out;
    for (const RunProbe& probe : pending) {
        __builtin_prefetch(table.filter.data() +
                           run_filter_block_at(table.filter.size(), probe.hash));
    }
    const std::uint64_t buckets = table.starts.size() - 1;
    for (std::size_t i = 0; i < pending.size(); ++i) {
        if (!run_filter_may_hold(table.filter, pending[i].hash)) continue;
        __builtin_prefetch(&table.starts[run_bucket_of(pending[i].hash, buckets)]);
        out.push_back(static_cast<std::uint32_t>(i));
    }
    return out;
}

// Reads one bucket after the other for a group. Where reads turn out to wait for the disk it is
// told of the next ones before they are waited for, so that it works on all of them at once; where
// they do not, telling it would cost more than the read.
class RunFile::Reads {
public:
    Reads(const RunFile& run, RunTable table) : run_(run), table_(table) {}

    // `later` gives the i-th bucket of the `count` that the group will read, this one included.
    template <class Later>
    Result<std::string_view> read(std::uint64_t bucket, std::size_t count, const Later& later) {
        if (bucket == bucket_) return view();
        bucket_ = UINT64_MAX;
        if (left_in_step_ == 0) next_step(count, later);
        --left_in_step_;
        const std::uint64_t bytes = run_.bucket_bytes(table_, bucket, bucket + 1);
        if (buffer_.size() < bytes + kRunEntrySlackBytes) {
            buffer_.resize(bytes + kRunEntrySlackBytes);
        }
        KLOG_TRY(run_.read_buckets(table_, bucket, bucket + 1, {buffer_.data(), bytes}));
        bytes_ = bytes - kRunBucketCrcBytes;
        bucket_ = bucket;
        return view();
    }

private:
    static constexpr std::size_t kStepReads = 16;
    static constexpr std::size_t kAheadReads = 128;
    static constexpr std::uint64_t kSlowMicros = 5;  // one read; from memory it takes one

    [[nodiscard]] std::string_view view() const { return {buffer_.data(), bytes_}; }

    template <class Later>
    void next_step(std::size_t count, const Later& later) {
        const std::uint64_t now = run_.env_.monotonic_micros();
        const bool slow = step_reads_ != 0 && now - step_began_ > step_reads_ * kSlowMicros;
        step_reads_ = std::min(count, slow ? kAheadReads : kStepReads);
        if (slow) {
            for (std::size_t i = 0; i < step_reads_; ++i) {
                run_.file_->will_read(run_.bucket_offset(table_, later(i)),
                                      run_.bucket_bytes(table_, later(i), later(i) + 1));
            }
        }
        left_in_step_ = step_reads_;
        step_began_ = slow ? run_.env_.monotonic_micros() : now;
    }

    const RunFile& run_;
    RunTable table_;
    std::string buffer_;
    std::uint64_t bucket_ = UINT64_MAX;
    std::size_t bytes_ = 0;
    std::size_t step_reads_ = 0;
    std::size_t left_in_step_ = 0;
    std::uint64_t step_began_ = 0;
};

template <class Entry>
Status RunFile::find(std::vector<RunProbe>& pending, std::span<std::optional<Entry>> out) const {
    constexpr RunTable kTable = RunEntry<Entry>::kTable;
    const Table& table = tables_[static_cast<std::size_t>(kTable)];
    const std::vector<std::uint32_t> candidates = passed(table, pending);
    if (candidates.empty()) return {};
    const std::uint64_t buckets = table.starts.size() - 1;
    const std::size_t entry_bytes = table.layout.entry_bytes;
    Reads reads(*this, kTable);
    bool any = false;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        RunProbe& probe = pending[candidates[i]];
        const auto later = [&](std::size_t n) {
            return run_bucket_of(pending[candidates[i + n]].hash, buckets);
        };
        KLOG_TRY_ASSIGN(const std::string_view entries,
                        reads.read(later(0), candidates.size() - i, later));
        std::size_t low = 0;
        std::size_t high = entries.size() / entry_bytes;
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (load_run_hash(entries.data() + middle * entry_bytes) < probe.hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        const char* at = entries.data() + low * entry_bytes;
        if (low * entry_bytes == entries.size() || load_run_hash(at) != probe.hash) continue;
        out[probe.index] = RunEntry<Entry>::entry(load_run_fields(table.layout, at));
        probe.found = true;
        any = true;
    }
    if (any) std::erase_if(pending, [](const RunProbe& probe) { return probe.found; });
    return {};
}

template Status RunFile::find(std::vector<RunProbe>&, std::span<std::optional<HeadEntry>>) const;
template Status RunFile::find(std::vector<RunProbe>&, std::span<std::optional<IdEntry>>) const;
template Status RunFile::find(std::vector<RunProbe>&, std::span<std::optional<SessionEntry>>) const;

Status RunCursor::next_bucket() {
    for (;;) {
        if (bucket_next_ == buckets_) {
            left_ = 0;
            done_ = true;
            return {};
        }
        if (bucket_next_ == buffer_last_) KLOG_TRY(fill());
        bucket_ = bucket_next_;
        ++bucket_next_;
        left_ = run_->start(table_, bucket_ + 1) - run_->start(table_, bucket_);
        at_ = bucket_end_;
        bucket_end_ = at_ + left_ * layout_.entry_bytes + kRunBucketCrcBytes;
        if (left_ != 0) return take();
    }
}

Status RunCursor::fill() {
    const std::uint64_t first = bucket_next_;
    std::uint64_t last = first + 1;
    while (last < buckets_ && run_->bucket_bytes(table_, first, last + 1) <= kReadBytes) ++last;
    const std::uint64_t bytes = run_->bucket_bytes(table_, first, last);
    buffer_.resize(bytes + kRunEntrySlackBytes);
    KLOG_TRY(run_->read_buckets(table_, first, last, {buffer_.data(), bytes}));
    buffer_last_ = last;
    bucket_end_ = buffer_.data();
    return {};
}

}  // namespace klog
