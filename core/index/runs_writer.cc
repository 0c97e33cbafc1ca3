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
}

Result<RunWriter> RunWriter::create(Env& env, const std::string& path, RunHeader header) {
    KLOG_TRY_ASSIGN(auto file, env.open(path, OpenMode::create_new));
    return RunWriter(std::move(file), std::move(header));
}

void RunWriter::begin_table(RunTable table, const RunSection& expected) {
    KLOG_ASSERT(static_cast<std::size_t>(table) == tables_ended_);
    KLOG_ASSERT(expected.count <= kRunEntriesMax);
    table_ = table;
    layout_ = run_layout(table, expected);
    count_ = 0;
    buckets_ = run_buckets(expected.count);
    last_ = Hash128{};
    starts_.clear();
    starts_.reserve(buckets_);
    filter_.assign(run_filter_bytes(expected.count), '\0');
    RunSection& section = header_.sections[static_cast<std::size_t>(table)];
    section.least = expected.least;
    section.greatest = expected.greatest;
    section.entries_offset = offset_ + buffer_.size();
}

Status RunWriter::begin_bucket(std::uint64_t bucket) {
    KLOG_ASSERT(starts_.size() <= bucket);
    while (starts_.size() <= bucket) {
        if (!starts_.empty()) {
            end_bucket();
            KLOG_TRY(write(bucket_bytes_));
            bucket_bytes_.clear();
        }
        starts_.push_back(static_cast<std::uint32_t>(count_));
    }
    return {};
}

Status RunWriter::put(Hash128 hash, const RunFields& fields) {
    KLOG_ASSERT(count_ == 0 || last_ < hash);
    KLOG_ASSERT(count_ < kRunEntriesMax);
    const std::size_t at = bucket_bytes_.size();
    bucket_bytes_.resize(at + layout_.entry_bytes + kRunEntrySlackBytes);
    store_run_entry(layout_, hash, fields, bucket_bytes_.data() + at);
    bucket_bytes_.resize(at + layout_.entry_bytes);
    run_filter_add(filter_, hash);
    last_ = hash;
    ++count_;
    return {};
}

void RunWriter::end_bucket() {
    put_fixed(bucket_bytes_,
              crc32c(bucket_bytes_, run_section_seed(seed_, table_, starts_.size() - 1)));
}

Status RunWriter::end_table() {
    RunSection& section = header_.sections[static_cast<std::size_t>(table_)];
    if (count_ == 0) {
        buckets_ = 0;
        filter_.clear();
        section.least = section.greatest = {};
    } else {
        KLOG_TRY(begin_bucket(buckets_));  // ends the last one, and those behind it
        starts_.pop_back();
    }
    section.count = count_;
    section.buckets = buckets_;
    section.starts_offset = offset_ + buffer_.size();
    const std::string_view starts(reinterpret_cast<const char*>(starts_.data()),
                                  starts_.size() * kRunStartBytes);
    section.starts_crc = crc32c(starts, run_section_seed(seed_, table_, kRunStartsBucket));
    KLOG_TRY(write(starts));
    section.filter_offset = offset_ + buffer_.size();
    section.filter_bytes = filter_.size();
    section.filter_crc = crc32c(filter_, run_section_seed(seed_, table_, kRunFilterBucket));
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
