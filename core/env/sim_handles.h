// Open files and held locks of a SimEnv.
#ifndef KLOG_ENV_SIM_HANDLES_H
#define KLOG_ENV_SIM_HANDLES_H

#include <memory>
#include <string>
#include <utility>

#include "env/sim_state.h"

namespace klog {

class SimFile final : public File {
public:
    // Takes over a handle of the disk, which belongs to life `life`.
    SimFile(std::shared_ptr<SimEnv::State> state, SimDisk::NodeId node, std::uint64_t life,
            std::string path, bool writable);
    ~SimFile() override;
    SimFile(const SimFile&) = delete;
    SimFile& operator=(const SimFile&) = delete;

    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override;
    Status write_at(std::uint64_t offset, std::string_view data) override;
    Status reserve(std::uint64_t from, std::uint64_t to) override;
    Status sync_data() override;
    Status truncate(std::uint64_t size) override;
    [[nodiscard]] Result<std::uint64_t> size() const override;

private:
    // Whether the process that opened the file still lives, and may write if it wants to.
    [[nodiscard]] Status usable(SimEnv::State& state, bool for_writing) const
        KLOG_REQUIRES(state.mutex_);

    std::shared_ptr<SimEnv::State> state_;
    SimDisk::NodeId node_;
    std::uint64_t life_;
    std::string path_;
    bool writable_;
};

class SimLock final : public FileLock {
public:
    SimLock(std::shared_ptr<SimEnv::State> state, std::uint64_t life, std::string path)
        : state_(std::move(state)), life_(life), path_(std::move(path)) {}
    ~SimLock() override;
    SimLock(const SimLock&) = delete;
    SimLock& operator=(const SimLock&) = delete;

private:
    std::shared_ptr<SimEnv::State> state_;
    std::uint64_t life_;
    std::string path_;
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_HANDLES_H
