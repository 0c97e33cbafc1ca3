#include "env/read_only_env.h"

namespace klog {
namespace {

Error refused(const char* what, const std::string& path) {
    return Error{Code::not_allowed,
                 std::string("cannot ") + what + " " + path + ": it was opened read-only",
                 {}};
}

}  // namespace

bool ReadOnlyEnv::may_write(const std::string& path) const {
    return !scratch_.empty() && path.starts_with(scratch_ + "/");
}

Result<std::unique_ptr<File>> ReadOnlyEnv::open(const std::string& path, OpenMode mode) {
    if (mode != OpenMode::read && !may_write(path)) return refused("write", path);
    return base_.open(path, mode);
}

Status ReadOnlyEnv::rename(const std::string& from, const std::string& to) {
    if (!may_write(from) || !may_write(to)) return refused("rename", from);
    return base_.rename(from, to);
}

Status ReadOnlyEnv::remove(const std::string& path) {
    if (!may_write(path)) return refused("remove", path);
    return base_.remove(path);
}

Result<bool> ReadOnlyEnv::exists(const std::string& path) { return base_.exists(path); }

Result<std::vector<std::string>> ReadOnlyEnv::list_dir(const std::string& path) {
    return base_.list_dir(path);
}

Status ReadOnlyEnv::create_dirs(const std::string& path) {
    if (!may_write(path)) return refused("create folder", path);
    return base_.create_dirs(path);
}

Status ReadOnlyEnv::sync_dir(const std::string& path) {
    if (!may_write(path)) return refused("sync folder", path);
    return base_.sync_dir(path);
}

Result<std::unique_ptr<FileLock>> ReadOnlyEnv::lock(const std::string& path) {
    return base_.lock_read_only(path);
}

Result<std::unique_ptr<FileLock>> ReadOnlyEnv::lock_read_only(const std::string& path) {
    return base_.lock_read_only(path);
}

std::string ReadOnlyEnv::database_path(const std::string& path) {
    return may_write(path) ? base_.database_path(path) : ":memory:";
}

Time ReadOnlyEnv::now() { return base_.now(); }

std::uint64_t ReadOnlyEnv::monotonic_micros() { return base_.monotonic_micros(); }

void ReadOnlyEnv::random(std::span<std::uint8_t> out) { base_.random(out); }

}  // namespace klog
