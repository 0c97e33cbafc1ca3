#include "env/sim_env.h"

#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "base/siphash.h"
#include "env/sim_handles.h"
#include "env/sim_state.h"

namespace klog {
namespace {

std::string parent_of(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return "/";
    path.resize(std::max<std::size_t>(slash, 1));
    return path;
}

}  // namespace

SimEnv::SimEnv(std::uint64_t seed) : state_(std::make_shared<State>(seed)) {}
SimEnv::~SimEnv() = default;

std::unique_ptr<SimEnv> SimEnv::clone(std::uint64_t seed) const {
    auto copy = std::make_unique<SimEnv>(seed);
    State& to = *copy->state_;
    const MutexLock lock_from(state_->mutex_);
    const MutexLock lock_to(to.mutex_);
    to.disk_ = state_->disk_;
    to.disk_.drop_handles();
    to.capacity_bytes_ = state_->capacity_bytes_;
    to.wall_micros_ = state_->wall_micros_;
    to.monotonic_micros_ = state_->monotonic_micros_;
    return copy;
}

void SimEnv::crash() { state_->end_life(CrashMode::random); }
void SimEnv::crash_lose_all() { state_->end_life(CrashMode::lose_all); }
void SimEnv::crash_keep_all() { state_->end_life(CrashMode::keep_all); }
void SimEnv::kill() { state_->end_life(std::nullopt); }

void SimEnv::inject(SimFault fault) {
    const MutexLock lock(state_->mutex_);
    state_->faults_.push_back(std::move(fault));
}

void SimEnv::clear_faults() {
    const MutexLock lock(state_->mutex_);
    state_->faults_.clear();
}

void SimEnv::set_capacity(std::uint64_t bytes) {
    const MutexLock lock(state_->mutex_);
    state_->capacity_bytes_ = bytes;
}

std::uint64_t SimEnv::used_bytes() const {
    const MutexLock lock(state_->mutex_);
    return state_->disk_.used_bytes();
}

std::uint64_t SimEnv::free_bytes(const std::string& /*folder*/) {
    const MutexLock lock(state_->mutex_);
    const std::uint64_t capacity = state_->capacity_bytes_;
    const std::uint64_t used = state_->disk_.used_bytes();
    if (capacity == SimFault::kForever) return capacity;
    return used < capacity ? capacity - used : 0;
}

void SimEnv::crash_at_call(std::uint64_t call) {
    const MutexLock lock(state_->mutex_);
    state_->crash_at_ = call;
}

bool SimEnv::power_cut() const {
    const MutexLock lock(state_->mutex_);
    return state_->power_cut_;
}

void SimEnv::on_call(Hook hook) {
    const MutexLock lock(state_->mutex_);
    state_->hook_ = std::move(hook);
}

std::uint64_t SimEnv::calls() const {
    const MutexLock lock(state_->mutex_);
    return state_->calls_total_;
}

std::uint64_t SimEnv::calls(SimCall kind) const {
    const MutexLock lock(state_->mutex_);
    return state_->calls_[static_cast<std::size_t>(kind)];
}

std::uint64_t SimEnv::calls_failed() const {
    const MutexLock lock(state_->mutex_);
    return state_->calls_failed_;
}

void SimEnv::advance(std::uint64_t micros) {
    const MutexLock lock(state_->mutex_);
    state_->monotonic_micros_ += micros;
    state_->wall_micros_ += static_cast<std::int64_t>(micros);
}

void SimEnv::set_now(Time now) {
    const MutexLock lock(state_->mutex_);
    state_->wall_micros_ = now.micros;
}

Result<std::string> SimEnv::read_file(const std::string& path) const {
    const MutexLock lock(state_->mutex_);
    const SimContent* const content = std::as_const(state_->disk_).find(path);
    if (content == nullptr) return Error{Code::not_found, path + ": no such file", {}};
    return content->bytes();
}

Status SimEnv::write_file(const std::string& path, std::string bytes) {
    const MutexLock lock(state_->mutex_);
    return state_->disk_.put(path, std::move(bytes));
}

Status SimEnv::flip(const std::string& path, std::uint64_t offset, std::uint8_t mask) {
    const MutexLock lock(state_->mutex_);
    SimContent* const content = state_->disk_.find(path);
    if (content == nullptr) return Error{Code::not_found, path + ": no such file", {}};
    if (offset >= content->size()) return Error{Code::bad_request, path + ": ends before", {}};
    content->flip(offset, mask);
    return {};
}

std::vector<std::string> SimEnv::files() const {
    const MutexLock lock(state_->mutex_);
    return state_->disk_.files();
}

std::uint64_t SimEnv::unsynced() const {
    const MutexLock lock(state_->mutex_);
    std::uint64_t count = state_->disk_.pending_names();
    for (const std::string& path : state_->disk_.files()) {
        count += state_->disk_.find(path)->unsynced_sectors();
    }
    return count;
}

std::uint64_t SimEnv::digest() const {
    const MutexLock lock(state_->mutex_);
    SipHash hash(HashKey{});
    state_->disk_.hash_into(hash);
    hash.update_u64(state_->calls_total_);
    hash.update_u64(static_cast<std::uint64_t>(state_->wall_micros_));
    hash.update_u64(state_->monotonic_micros_);
    return hash.finish().lo;
}

std::string SimEnv::dump() const {
    const MutexLock lock(state_->mutex_);
    std::string text;
    for (const std::string& path : state_->disk_.files()) {
        const SimContent& content = *state_->disk_.find(path);
        text += path + " size=" + std::to_string(content.size()) +
                " unsynced_sectors=" + std::to_string(content.unsynced_sectors()) +
                " crc=" + std::to_string(crc32c(content.bytes())) + "\n";
    }
    return text;
}

Result<std::unique_ptr<File>> SimEnv::open(const std::string& path, OpenMode mode) {
    const bool create = mode == OpenMode::create_new;
    const SimCall call = create ? SimCall::create : SimCall::open;
    const State::Verdict verdict = state_->enter(call, path);
    if (!verdict.passes()) return verdict.error(call, path);
    const MutexLock lock(state_->mutex_);
    SimDisk& disk = state_->disk_;
    KLOG_TRY_ASSIGN(const SimDisk::NodeId node, create ? disk.create(path) : disk.open(path));
    return std::unique_ptr<File>(
        std::make_unique<SimFile>(state_, node, state_->life_, path, mode != OpenMode::read));
}

Status SimEnv::rename(const std::string& from, const std::string& to) {
    return state_->whole_call(SimCall::rename, from + " to " + to,
                              [&](SimDisk& disk) { return disk.rename(from, to); });
}

Status SimEnv::remove(const std::string& path) {
    return state_->whole_call(SimCall::remove, path,
                              [&](SimDisk& disk) { return disk.remove(path); });
}

Result<bool> SimEnv::exists(const std::string& path) {
    return state_->whole_call(SimCall::exists, path,
                              [&](SimDisk& disk) { return Result<bool>(disk.exists(path)); });
}

Result<std::vector<std::string>> SimEnv::list_dir(const std::string& path) {
    return state_->whole_call(SimCall::list_dir, path,
                              [&](SimDisk& disk) { return disk.list(path); });
}

// Step by step as the real one, so that a crash or a fault finds the same places.
Status SimEnv::create_dirs(const std::string& path) {
    KLOG_TRY_ASSIGN(const bool found,
                    state_->whole_call(SimCall::create_dirs, path, [&](SimDisk& disk) {
                        if (!disk.exists(path)) return Result<bool>(false);
                        if (disk.is_folder(path)) return Result<bool>(true);
                        return Result<bool>(Error{Code::io, path + ": not a folder", {}});
                    }));
    const std::string parent = parent_of(path);
    if (!found) {
        KLOG_TRY(create_dirs(parent));
        KLOG_TRY(state_->whole_call(SimCall::create_dirs, path,
                                    [&](SimDisk& disk) { return disk.make_folder(path); }));
    }
    return sync_dir(parent);
}

Status SimEnv::sync_dir(const std::string& path) {
    return state_->whole_call(SimCall::sync_dir, path,
                              [&](SimDisk& disk) { return disk.sync_folder(path); });
}

Result<std::unique_ptr<FileLock>> SimEnv::lock(const std::string& path) {
    const State::Verdict verdict = state_->enter(SimCall::lock, path);
    if (!verdict.passes()) return verdict.error(SimCall::lock, path);
    const MutexLock lock(state_->mutex_);
    SimDisk& disk = state_->disk_;
    if (!disk.exists(path)) {
        if (state_->locked_.contains(parent_of(path))) {
            return Error{Code::locked, parent_of(path) + " is locked by another holder", {}};
        }
        KLOG_TRY_ASSIGN(const SimDisk::NodeId node, disk.create(path));
        disk.release(node);
    }
    if (!state_->locked_.insert(path).second) {
        return Error{Code::locked, path + " is locked by another holder", {}};
    }
    return std::unique_ptr<FileLock>(std::make_unique<SimLock>(state_, state_->life_, path));
}

Result<std::unique_ptr<FileLock>> SimEnv::lock_read_only(const std::string& path) {
    const State::Verdict verdict = state_->enter(SimCall::lock, path);
    if (!verdict.passes()) return verdict.error(SimCall::lock, path);
    const MutexLock lock(state_->mutex_);
    SimDisk& disk = state_->disk_;
    const std::string held = disk.exists(path) ? path : parent_of(path);
    if (!disk.exists(held))
        return Error{Code::not_found, "cannot lock " + path + ": no such file", {}};
    if (!state_->locked_.insert(held).second) {
        return Error{Code::locked, held + " is locked by another holder", {}};
    }
    return std::unique_ptr<FileLock>(std::make_unique<SimLock>(state_, state_->life_, held));
}

std::string SimEnv::database_path(const std::string& /*path*/) { return ":memory:"; }

Time SimEnv::now() {
    const MutexLock lock(state_->mutex_);
    ++state_->monotonic_micros_;
    return Time{++state_->wall_micros_};
}

std::uint64_t SimEnv::monotonic_micros() {
    const MutexLock lock(state_->mutex_);
    ++state_->wall_micros_;
    return ++state_->monotonic_micros_;
}

void SimEnv::random(std::span<std::uint8_t> out) {
    const MutexLock lock(state_->mutex_);
    for (std::uint8_t& byte : out) {
        byte = static_cast<std::uint8_t>(state_->env_random_.next() >> 56U);
    }
}

}  // namespace klog
