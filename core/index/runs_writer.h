// Writes a run under a temporary name, table by table, in one sequential pass.
#ifndef KLOG_INDEX_RUNS_WRITER_H
#define KLOG_INDEX_RUNS_WRITER_H

#include <cstdint>
#include <memory>
#include <string>

#include "index/run_format.h"
#include "klog/env.h"
#include "klog/result.h"

namespace klog {

class RunWriter {
public:
    static constexpr std::size_t kBufferBytes = 64 * kRunBlockBytes;

    // header: all but sections and file_bytes. Creates path.
    [[nodiscard]] static Result<RunWriter> create(Env& env, const std::string& path,
                                                  RunHeader header);

    // Tables come in the order of RunTable, each once. keys_max sizes the filter.
    void begin_table(RunTable table, std::uint64_t keys_max);
    // `entry` is encoded, with its hash in front. Precondition: hashes ascend.
    Status append(Hash128 hash, const char* entry);
    Status end_table();

    // Writes the header and syncs the file. Precondition: all tables were ended.
    Status finish();

private:
    RunWriter(std::unique_ptr<File> file, RunHeader header);
    Status end_block();
    Status write(std::string_view bytes);
    Status flush();

    std::unique_ptr<File> file_;
    RunHeader header_;
    std::uint32_t seed_ = 0;
    std::uint64_t offset_ = kRunHeaderBytes;  // where buffer_ goes
    std::string buffer_;

    RunTable table_ = RunTable::heads;
    std::size_t tables_ended_ = 0;
    std::uint64_t count_ = 0;
    std::uint64_t block_ = 0;  // number of the one that fills
    Hash128 last_;
    std::string block_bytes_;
    std::string fence_;
    std::string filter_;
};

}  // namespace klog

#endif  // KLOG_INDEX_RUNS_WRITER_H
