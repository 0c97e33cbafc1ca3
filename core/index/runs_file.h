// One run that was opened: filters and starts of buckets in memory, its entries on disk.
//
// Threads: any; nothing changes after open.
#ifndef KLOG_INDEX_RUNS_FILE_H
#define KLOG_INDEX_RUNS_FILE_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/run_format.h"
#include "index/runs.h"
#include "klog/env.h"
#include "klog/result.h"

namespace klog {

// One hash of a group that is looked up, and where its answer belongs.
struct RunProbe {
    Hash128 hash;
    std::uint32_t index = 0;
    bool found = false;
};

class RunFile {
public:
    // Reads header, starts and filters. env lives as long as the run. Errors: corrupt,
    // format_unknown, not_found, io.
    [[nodiscard]] static Result<std::shared_ptr<const RunFile>> open(Env& env,
                                                                     const std::string& path,
                                                                     std::uint64_t number);

    [[nodiscard]] const RunHeader& header() const { return header_; }
    [[nodiscard]] const std::string& path() const { return path_; }

    // pending: sorted by hash. Those that were found are set in out and taken out of pending. The
    // filter is asked for the whole group before anything is read, and each bucket is read once.
    // Errors: corrupt (names file and offset), io.
    template <class Entry>
    Status find(std::vector<RunProbe>& pending, std::span<std::optional<Entry>> out) const;

    [[nodiscard]] const RunSection& section(RunTable table) const {
        return header_.sections[static_cast<std::size_t>(table)];
    }
    [[nodiscard]] const RunLayout& layout(RunTable table) const {
        return tables_[static_cast<std::size_t>(table)].layout;
    }
    // The number of the bucket's first entry in the table; of bucket `buckets` it is the count.
    [[nodiscard]] std::uint64_t start(RunTable table, std::uint64_t bucket) const {
        return tables_[static_cast<std::size_t>(table)].starts[bucket];
    }
    // Bytes of buckets [first, last), with their checksums.
    [[nodiscard]] std::uint64_t bucket_bytes(RunTable table, std::uint64_t first,
                                             std::uint64_t last) const;
    // Reads and checks buckets [first, last). `out` holds bucket_bytes() of them.
    Status read_buckets(RunTable table, std::uint64_t first, std::uint64_t last,
                        std::span<char> out) const;
    // The error that names this file. `bucket` says where.
    [[nodiscard]] Error corrupt_bucket(RunTable table, std::uint64_t bucket,
                                       std::string_view what) const;

private:
    struct Table {
        RunLayout layout;
        std::vector<std::uint32_t> starts;  // one more than there are buckets
        std::string filter;
    };
    class Reads;

    RunFile(Env& env, std::string path, std::unique_ptr<File> file, RunHeader header);
    Status load_table(RunTable table);
    Status load_starts(RunTable table);
    Status read_exact(std::uint64_t offset, std::span<char> out) const;
    [[nodiscard]] Error corrupt_at(std::uint64_t offset, std::string_view what) const;
    [[nodiscard]] std::uint64_t bucket_offset(RunTable table, std::uint64_t bucket) const;
    // Of pending, those that the filter lets pass.
    [[nodiscard]] std::vector<std::uint32_t> passed(const Table& table,
                                                    std::span<const RunProbe> pending) const;

    Env& env_;
    std::string path_;
    std::unique_ptr<File> file_;
    RunHeader header_;
    std::uint32_t seed_ = 0;
    std::array<Table, kRunTables> tables_;
};

// Walks one table of a run in order, a bounded number of bytes at a time.
class RunCursor {
public:
    // What is read at once, or one bucket where that is larger.
    static constexpr std::uint64_t kReadBytes = 128U << 10U;

    RunCursor(std::shared_ptr<const RunFile> run, RunTable table)
        : run_(std::move(run)),
          table_(table),
          layout_(run_->layout(table)),
          buckets_(run_->section(table).buckets) {}

    // To the first or next entry. Errors: corrupt (also where hashes do not ascend, or stand in the
    // wrong bucket), io.
    Status next() {
        if (left_ > 1) {
            --left_;
            at_ += layout_.entry_bytes;
            return take();
        }
        return next_bucket();
    }
    [[nodiscard]] bool done() const { return done_; }
    // Precondition of these: next() was called and done() is false.
    [[nodiscard]] Hash128 hash() const { return hash_; }
    [[nodiscard]] RunFields fields() const { return load_run_fields(layout_, at_); }

private:
    Status next_bucket();
    Status fill();
    Status take() {
        const Hash128 hash = load_run_hash(at_);
        if ((started_ && hash <= hash_) || run_bucket_of(hash, buckets_) != bucket_) {
            return run_->corrupt_bucket(table_, bucket_, "entries are out of order");
        }
        hash_ = hash;
        started_ = true;
        return {};
    }

    std::shared_ptr<const RunFile> run_;
    RunTable table_;
    RunLayout layout_;
    std::uint64_t buckets_ = 0;
    std::string buffer_;
    std::uint64_t buffer_last_ = 0;  // the bucket behind those in the buffer
    std::uint64_t bucket_ = 0;
    std::uint64_t bucket_next_ = 0;
    const char* bucket_end_ = nullptr;
    const char* at_ = nullptr;
    std::uint64_t left_ = 0;  // entries of this bucket from at_ on
    Hash128 hash_;
    bool started_ = false;
    bool done_ = false;
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_FILE_H
