// One run that was opened: its fences and filters in memory, its blocks on disk.
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

class RunFile {
public:
    // Reads header, fences and filters. Errors: corrupt, format_unknown, not_found, io.
    [[nodiscard]] static Result<std::shared_ptr<const RunFile>> open(Env& env,
                                                                     const std::string& path,
                                                                     std::uint64_t number);

    [[nodiscard]] const RunHeader& header() const { return header_; }
    [[nodiscard]] const std::string& path() const { return path_; }

    // pending: indexes into hashes and out, sorted by hash. Those that were found are set in out
    // and taken out of pending. Errors: corrupt (names file and offset), io.
    template <class Entry>
    Status find(std::span<const Hash128> hashes, std::vector<std::uint32_t>& pending,
                std::span<std::optional<Entry>> out) const;

    // `count` blocks from `first` on, checked. `out` holds count * kRunBlockBytes.
    Status read_blocks(RunTable table, std::uint64_t first, std::uint64_t count,
                       std::span<char> out) const;
    // Entries in a block.
    [[nodiscard]] std::size_t entries_in(RunTable table, std::uint64_t block) const;
    [[nodiscard]] Error corrupt_at(std::uint64_t offset, std::string_view what) const;

private:
    struct Table {
        std::vector<Hash128> fence;
        std::string filter;
    };

    RunFile(std::string path, std::unique_ptr<File> file, RunHeader header);
    Status load_table(RunTable table);
    Status read_exact(std::uint64_t offset, std::span<char> out) const;

    std::string path_;
    std::unique_ptr<File> file_;
    RunHeader header_;
    std::uint32_t seed_ = 0;
    std::array<Table, kRunTables> tables_;
};

// Walks one table of a run in order, a bounded number of blocks at a time.
class RunCursor {
public:
    static constexpr std::uint64_t kBlocksAtOnce = 32;

    RunCursor(std::shared_ptr<const RunFile> run, RunTable table)
        : run_(std::move(run)), table_(table) {}

    // To the first or next entry. Errors: corrupt (also where hashes do not ascend), io.
    Status next();
    [[nodiscard]] bool done() const { return done_; }
    // Precondition of both: next() was called and done() is false.
    [[nodiscard]] Hash128 hash() const { return hash_; }
    [[nodiscard]] const char* entry() const { return at_; }

private:
    std::shared_ptr<const RunFile> run_;
    RunTable table_;
    std::string buffer_;
    std::uint64_t buffer_first_ = 0;  // block
    std::uint64_t buffer_blocks_ = 0;
    std::uint64_t block_ = 0;
    std::size_t in_block_ = 0;
    const char* at_ = nullptr;
    Hash128 hash_;
    bool started_ = false;
    bool done_ = false;
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_FILE_H
