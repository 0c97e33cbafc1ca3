// Writes a run under a temporary name, table by table, in one sequential pass.
#ifndef KLOG_INDEX_RUNS_WRITER_H
#define KLOG_INDEX_RUNS_WRITER_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/run_format.h"
#include "klog/env.h"
#include "klog/result.h"

namespace klog {

class RunWriter {
public:
    static constexpr std::size_t kBufferBytes = 256U << 10U;

    // header: all but sections and file_bytes. Creates path.
    [[nodiscard]] static Result<RunWriter> create(Env& env, const std::string& path,
                                                  RunHeader header);

    // Tables come in the order of RunTable, each once. `expected`: about the count of what comes,
    // which sizes filter and buckets, and bounds of its numbers.
    void begin_table(RunTable table, const RunSection& expected);
    // Preconditions: hashes ascend; the numbers lie within the bounds.
    Status append(Hash128 hash, const RunFields& fields) {
        const std::uint64_t bucket = run_bucket_of(hash, buckets_);
        if (bucket != starts_.size() - 1) KLOG_TRY(begin_bucket(bucket));
        return put(hash, fields);
    }
    Status end_table();

    // Writes the header and syncs the file. Precondition: all tables were ended.
    Status finish();

    // Bytes handed to the file so far; and makes them durable, so that finish() has less to do.
    [[nodiscard]] std::uint64_t written() const { return offset_; }
    Status sync() { return file_->sync_data(); }

private:
    RunWriter(std::unique_ptr<File> file, RunHeader header);
    Status begin_bucket(std::uint64_t bucket);
    Status put(Hash128 hash, const RunFields& fields);
    void end_bucket();
    Status write(std::string_view bytes);
    Status flush();

    std::unique_ptr<File> file_;
    RunHeader header_;
    std::uint32_t seed_ = 0;
    std::uint64_t offset_ = kRunHeaderBytes;  // where buffer_ goes
    std::string buffer_;

    RunTable table_ = RunTable::heads;
    std::size_t tables_ended_ = 0;
    RunLayout layout_;
    std::uint64_t count_ = 0;
    std::uint64_t buckets_ = 0;
    Hash128 last_;
    std::vector<std::uint32_t> starts_;  // of the buckets that were begun
    std::string bucket_bytes_;
    std::string filter_;
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_WRITER_H
