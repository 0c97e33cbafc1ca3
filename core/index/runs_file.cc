#include "index/runs_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

RunFile::RunFile(std::string path, std::unique_ptr<File> file, RunHeader header)
    : path_(std::move(path)),
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
        new RunFile(path, std::move(file), std::move(header)));  // the constructor is private
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

Status RunFile::read_exact(std::uint64_t offset, std::span<char> out) const {
    KLOG_TRY_ASSIGN(const std::size_t got, file_->read_at(offset, out));
    if (got != out.size()) return corrupt_at(offset + got, "ends too early");
    return {};
}

Status RunFile::load_table(RunTable table) {
    const auto index = static_cast<std::size_t>(table);
    const RunSection& section = header_.sections[index];
    Table& loaded = tables_[index];

    // Both sizes were checked against the size of the file.
    std::string fence(section.blocks(table) * kRunFenceBytes, '\0');
    KLOG_TRY(read_exact(section.fence_offset, fence));
    if (crc32c(fence, run_section_seed(seed_, table, kRunFenceBlock)) != section.fence_crc) {
        return corrupt_at(section.fence_offset, "a fence fails its checksum");
    }
    loaded.fence.reserve(fence.size() / kRunFenceBytes);
    for (std::size_t at = 0; at < fence.size(); at += kRunFenceBytes) {
        loaded.fence.push_back(load_run_hash(fence.data() + at));
    }
    if (!std::is_sorted(loaded.fence.begin(), loaded.fence.end())) {
        return corrupt_at(section.fence_offset, "a fence is out of order");
    }

    loaded.filter.resize(section.filter_bytes +
                         run_padding(section.filter_offset + section.filter_bytes));
    KLOG_TRY(read_exact(section.filter_offset, loaded.filter));
    if (crc32c(loaded.filter, run_section_seed(seed_, table, kRunFilterBlock)) !=
        section.filter_crc) {
        return corrupt_at(section.filter_offset, "a filter fails its checksum");
    }
    loaded.filter.resize(section.filter_bytes);  // the padding has done its duty
    return {};
}

std::size_t RunFile::entries_in(RunTable table, std::uint64_t block) const {
    const RunSection& section = header_.sections[static_cast<std::size_t>(table)];
    const std::uint64_t per_block = run_entries_per_block(table);
    return static_cast<std::size_t>(std::min(per_block, section.count - block * per_block));
}

Status RunFile::read_blocks(RunTable table, std::uint64_t first, std::uint64_t count,
                            std::span<char> out) const {
    KLOG_ASSERT(out.size() == count * kRunBlockBytes);
    const RunSection& section = header_.sections[static_cast<std::size_t>(table)];
    const std::uint64_t offset = section.blocks_offset + first * kRunBlockBytes;
    KLOG_TRY(read_exact(offset, out));
    constexpr std::size_t kCrcAt = kRunBlockBytes - kRunBlockCrcBytes;
    for (std::uint64_t i = 0; i < count; ++i) {
        const char* block = out.data() + i * kRunBlockBytes;
        if (crc32c(std::string_view(block, kCrcAt), run_section_seed(seed_, table, first + i)) !=
            load_fixed<std::uint32_t>(block + kCrcAt)) {
            return corrupt_at(offset + i * kRunBlockBytes, "a block fails its checksum");
        }
    }
    return {};
}

template <class Entry>
Status RunFile::find(std::span<const Hash128> hashes, std::vector<std::uint32_t>& pending,
                     std::span<std::optional<Entry>> out) const {
    using Codec = RunEntry<Entry>;
    constexpr std::size_t kEntryBytes = run_entry_bytes(Codec::kTable);
    constexpr std::uint64_t kNoBlock = UINT64_MAX;
    const Table& table = tables_[static_cast<std::size_t>(Codec::kTable)];
    std::array<char, kRunBlockBytes> block;
    std::uint64_t loaded = kNoBlock;
    std::size_t entries = 0;
    auto fence_from = table.fence.begin();
    std::size_t kept = 0;
    for (const std::uint32_t index : pending) {
        pending[kept] = index;
        ++kept;
        const Hash128 hash = hashes[index];
        if (!run_filter_may_hold(table.filter, hash)) continue;
        // Hashes ascend, so no fence before the last one's needs to be looked at again.
        fence_from = std::upper_bound(fence_from, table.fence.end(), hash);
        if (fence_from == table.fence.begin()) continue;
        --fence_from;
        const auto wanted = static_cast<std::uint64_t>(fence_from - table.fence.begin());
        if (wanted != loaded) {
            loaded = kNoBlock;
            KLOG_TRY(read_blocks(Codec::kTable, wanted, 1, block));
            loaded = wanted;
            entries = entries_in(Codec::kTable, wanted);
        }
        std::size_t low = 0;
        std::size_t high = entries;
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (load_run_hash(block.data() + middle * kEntryBytes) < hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        const char* at = block.data() + low * kEntryBytes;
        if (low == entries || load_run_hash(at) != hash) continue;
        out[index] = Codec::load(at);
        --kept;
    }
    pending.resize(kept);
    return {};
}

template Status RunFile::find(std::span<const Hash128>, std::vector<std::uint32_t>&,
                              std::span<std::optional<HeadEntry>>) const;
template Status RunFile::find(std::span<const Hash128>, std::vector<std::uint32_t>&,
                              std::span<std::optional<IdEntry>>) const;
template Status RunFile::find(std::span<const Hash128>, std::vector<std::uint32_t>&,
                              std::span<std::optional<SessionEntry>>) const;

Status RunCursor::next() {
    if (done_) return {};
    if (started_) {
        ++in_block_;
        if (in_block_ == run_->entries_in(table_, block_)) {
            in_block_ = 0;
            ++block_;
        }
    }
    const std::uint64_t blocks =
        run_->header().sections[static_cast<std::size_t>(table_)].blocks(table_);
    if (block_ == blocks) {
        done_ = true;
        return {};
    }
    if (block_ == buffer_first_ + buffer_blocks_) {
        const std::uint64_t count = std::min(kBlocksAtOnce, blocks - block_);
        buffer_.resize(count * kRunBlockBytes);
        KLOG_TRY(run_->read_blocks(table_, block_, count, buffer_));
        buffer_first_ = block_;
        buffer_blocks_ = count;
    }
    at_ = buffer_.data() + (block_ - buffer_first_) * kRunBlockBytes +
          in_block_ * run_entry_bytes(table_);
    const Hash128 hash = load_run_hash(at_);
    if (started_ && hash <= hash_) {
        const RunSection& section = run_->header().sections[static_cast<std::size_t>(table_)];
        return run_->corrupt_at(section.blocks_offset + block_ * kRunBlockBytes,
                                "entries are out of order");
    }
    hash_ = hash;
    started_ = true;
    return {};
}

}  // namespace klog
