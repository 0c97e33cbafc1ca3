// An Env through which nothing is written: what a read-only store is given, so that no code path of
// it can change the directory, whatever it tries.
//
// Threads: as the Env beneath.
#ifndef KLOG_ENV_READ_ONLY_ENV_H
#define KLOG_ENV_READ_ONLY_ENV_H

#include <memory>
#include <string>
#include <vector>

#include "klog/env.h"

namespace klog {

// Calls that would write fail with not_allowed and do nothing, but for paths in `scratch_dir`
// (empty: there is none). Locks are taken as lock_read_only() does.
class ReadOnlyEnv final : public Env {
public:
    ReadOnlyEnv(Env& base, std::string scratch_dir)
        : base_(base), scratch_(std::move(scratch_dir)) {}

    Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
    Status rename(const std::string& from, const std::string& to) override;
    Status remove(const std::string& path) override;
    [[nodiscard]] Result<bool> exists(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list_dir(const std::string& path) override;
    Status create_dirs(const std::string& path) override;
    Status sync_dir(const std::string& path) override;
    [[nodiscard]] std::uint64_t free_bytes(const std::string& folder) override {
        return base_.free_bytes(folder);
    }
    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override;
    // As the Env beneath says for a path in scratch_dir, else ":memory:".
    [[nodiscard]] std::string database_path(const std::string& path) override;
    [[nodiscard]] Time now() override;
    [[nodiscard]] std::uint64_t monotonic_micros() override;
    void random(std::span<std::uint8_t> out) override;

private:
    [[nodiscard]] bool may_write(const std::string& path) const;

    Env& base_;
    const std::string scratch_;
};

}  // namespace klog

#endif  // KLOG_ENV_READ_ONLY_ENV_H
