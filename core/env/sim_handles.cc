#include "env/sim_handles.h"

#include <algorithm>
#include <utility>

namespace klog {

SimFile::SimFile(std::shared_ptr<SimEnv::State> state, SimDisk::NodeId node, std::uint64_t life,
                 std::string path, bool writable)
    : state_(std::move(state)),
      node_(node),
      life_(life),
      path_(std::move(path)),
      writable_(writable) {}

SimFile::~SimFile() {
    const MutexLock lock(state_->mutex_);
    if (life_ == state_->life_) state_->disk_.release(node_);
}

Status SimFile::usable(SimEnv::State& state, bool for_writing) const {
    if (life_ != state.life_) {
        return Error{Code::io, "cannot use " + path_ + ": opened before the simulated end", {}};
    }
    if (for_writing && !writable_) {
        return Error{Code::io, "cannot write " + path_ + ": opened for reading", {}};
    }
    return {};
}

Result<std::size_t> SimFile::read_at(std::uint64_t offset, std::span<char> buffer) const {
    const auto verdict = state_->enter(SimCall::read, path_);
    SimEnv::State& state = *state_;
    const MutexLock lock(state.mutex_);
    KLOG_TRY(usable(state, false));
    if (verdict.passes()) return state.disk_.content(node_).read(offset, buffer);
    if (!verdict.power_cut) {
        const auto part = static_cast<std::size_t>(state.fault_random_.below(buffer.size() + 1));
        static_cast<void>(state.disk_.content(node_).read(offset, buffer.first(part)));
    }
    return verdict.error(SimCall::read, path_);
}

Status SimFile::write_at(std::uint64_t offset, std::string_view data) {
    const auto verdict = state_->enter(SimCall::write, path_);
    SimEnv::State& state = *state_;
    const MutexLock lock(state.mutex_);
    KLOG_TRY(usable(state, true));
    if (verdict.power_cut) return verdict.error(SimCall::write, path_);
    SimContent& content = state.disk_.content(node_);
    const std::uint64_t room = state.room_for(content, offset, data.size());
    if (verdict.passes() && room == data.size()) {
        content.write(offset, data);
        return {};
    }
    content.write(offset, data.substr(0, state.fault_random_.below(room + 1)));
    if (!verdict.passes()) return verdict.error(SimCall::write, path_);
    ++state.calls_failed_;
    return Error{Code::disk_full, "cannot write " + path_ + ": simulated disk full", {}};
}

// As a file system does it that cannot take room in any other way.
Status SimFile::reserve(std::uint64_t from, std::uint64_t to) {
    static const std::string kZeros(256 * 1024, '\0');
    while (from < to) {
        const std::uint64_t length = std::min<std::uint64_t>(kZeros.size(), to - from);
        KLOG_TRY(write_at(from, std::string_view(kZeros).substr(0, length)));
        from += length;
    }
    return {};
}

Status SimFile::sync_data() {
    const auto verdict = state_->enter(SimCall::sync, path_);
    SimEnv::State& state = *state_;
    const MutexLock lock(state.mutex_);
    KLOG_TRY(usable(state, false));
    if (verdict.passes()) {
        state.disk_.content(node_).sync();
        return {};
    }
    if (!verdict.power_cut) state.disk_.content(node_).fail_sync();
    return verdict.error(SimCall::sync, path_);
}

Status SimFile::truncate(std::uint64_t size) {
    const auto verdict = state_->enter(SimCall::truncate, path_);
    SimEnv::State& state = *state_;
    const MutexLock lock(state.mutex_);
    KLOG_TRY(usable(state, true));
    if (!verdict.passes()) return verdict.error(SimCall::truncate, path_);
    SimContent& content = state.disk_.content(node_);
    const std::uint64_t old_size = content.size();
    if (size > old_size && state.room_for(content, old_size, size - old_size) < size - old_size) {
        ++state.calls_failed_;
        return Error{Code::disk_full, "cannot truncate " + path_ + ": simulated disk full", {}};
    }
    content.truncate(size);
    return {};
}

Result<std::uint64_t> SimFile::size() const {
    const auto verdict = state_->enter(SimCall::size, path_);
    SimEnv::State& state = *state_;
    const MutexLock lock(state.mutex_);
    KLOG_TRY(usable(state, false));
    if (!verdict.passes()) return verdict.error(SimCall::size, path_);
    return state.disk_.content(node_).size();
}

SimLock::~SimLock() {
    const MutexLock lock(state_->mutex_);
    if (life_ == state_->life_) state_->locked_.erase(path_);
}

}  // namespace klog
