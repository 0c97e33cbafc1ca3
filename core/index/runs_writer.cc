#include "index/runs_writer.h"

#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

RunWriter::RunWriter(std::unique_ptr<File> file, RunHeader header)
    : file_(std::move(file)),
      header_(std::move(header)),
      seed_(run_file_seed(header_.store_uuid, header_.number)) {
    buffer_.reserve(kBufferBytes);
    block_bytes_.reserve(kRunBlockBytes);
}

Result<RunWriter> RunWriter::create(Env& env, const std::string& path, RunHeader header) {
    KLOG_TRY_ASSIGN(auto file, env.open(path, OpenMode::create_new));
    return RunWriter(std::move(file), std::move(header));
}

void RunWriter::begin_table(RunTable table, std::uint64_t keys_max) {
    KLOG_ASSERT(static_cast<std::size_t>(table) == tables_ended_);
    table_ = table;
    count_ = 0;
    block_ = 0;
    last_ = Hash128{};
    fence_.clear();
    filter_.assign(run_filter_bytes(keys_max), '\0');
    header_.sections[static_cast<std::size_t>(table)].blocks_offset = offset_ + buffer_.size();
}

Status RunWriter::append(Hash128 hash, const char* entry) {
    KLOG_ASSERT(count_ == 0 || last_ < hash);
    if (block_bytes_.empty()) {
        fence_.resize(fence_.size() + kRunFenceBytes);
        store_run_hash(hash, fence_.data() + fence_.size() - kRunFenceBytes);
    }
    block_bytes_.append(entry, run_entry_bytes(table_));
    run_filter_add(filter_, hash);
    last_ = hash;
    ++count_;
    if (count_ % run_entries_per_block(table_) == 0) return end_block();
    return {};
}

Status RunWriter::end_block() {
    block_bytes_.resize(kRunBlockBytes - kRunBlockCrcBytes, '\0');
    put_fixed(block_bytes_, crc32c(block_bytes_, run_section_seed(seed_, table_, block_)));
    KLOG_TRY(write(block_bytes_));
    block_bytes_.clear();
    ++block_;
    return {};
}

Status RunWriter::end_table() {
    if (!block_bytes_.empty()) KLOG_TRY(end_block());
    if (count_ == 0) filter_.clear();
    RunSection& section = header_.sections[static_cast<std::size_t>(table_)];
    section.count = count_;
    section.fence_offset = offset_ + buffer_.size();
    section.fence_crc = crc32c(fence_, run_section_seed(seed_, table_, kRunFenceBlock));
    KLOG_TRY(write(fence_));
    section.filter_offset = offset_ + buffer_.size();
    section.filter_bytes = filter_.size();
    filter_.append(run_padding(section.filter_offset + section.filter_bytes), '\0');
    section.filter_crc = crc32c(filter_, run_section_seed(seed_, table_, kRunFilterBlock));
    KLOG_TRY(write(filter_));
    ++tables_ended_;
    return {};
}

Status RunWriter::write(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) KLOG_TRY(flush());
    if (bytes.size() >= kBufferBytes) {
        KLOG_TRY(file_->write_at(offset_, bytes));
        offset_ += bytes.size();
        return {};
    }
    buffer_.append(bytes);
    return {};
}

Status RunWriter::flush() {
    if (buffer_.empty()) return {};
    KLOG_TRY(file_->write_at(offset_, buffer_));
    offset_ += buffer_.size();
    buffer_.clear();
    return {};
}

Status RunWriter::finish() {
    KLOG_ASSERT(tables_ended_ == kRunTables);
    KLOG_TRY(flush());
    header_.file_bytes = offset_;
    KLOG_TRY(file_->write_at(0, encode_run_header(header_)));
    return file_->sync_data();
}

}  // namespace klog
