// Spare files: made and synced beforehand, so that commits write into room that is there, and so
// that recovery works on a full disk. A new one is filled with zeros, or its room is only taken
// (see Room); one that was a file of the log keeps what it held.
//
// Their names are spare-<n>; what they hold means nothing. A file that becomes part of the log is
// built in a spare and renamed.
//
// Threads: any. take() and ensure() come from the committing thread, prepare() from one other,
// adopt() from a third.
#ifndef KLOG_SEGMENT_WAL_SPARES_H
#define KLOG_SEGMENT_WAL_SPARES_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "klog/env.h"

namespace klog {

struct Spare {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
};

class SparePool {
public:
    // What is done to the room of a new spare. Zeros are as much to write as the log itself, and
    // make each sync of what is written over them faster: measured in core/README.md, "Spares".
    enum class Room : std::uint8_t { zeros, taken };

    SparePool(Env& env, std::string wal_dir) : env_(env), dir_(std::move(wal_dir)) {}

    // Takes over what an earlier run left.
    Status load(const std::vector<std::string>& names);

    // Makes `count` of them at least `bytes` long, for somebody who waits: their room is only
    // taken. New ones get `bytes_wanted`. Errors: disk_full (what was begun is gone again), io.
    Status ensure(std::size_t count, std::uint64_t bytes, std::uint64_t bytes_wanted);
    // The same for the background: never touches a spare that take() could give away, and removes
    // small ones that are no longer needed.
    Status prepare(std::size_t count, std::uint64_t bytes, Room room);
    // Makes one, filled with zeros, whose name is not durable yet; with sync false, nor is what it
    // holds. For whoever takes it at once and sees to both.
    Status create_unnamed(std::uint64_t bytes, bool sync);

    // The largest one, which is the caller's from now on. Precondition: there is one.
    [[nodiscard]] Spare take();
    void give_back(const Spare& spare);
    // Makes a spare of a file of this folder, `bytes` long, which nobody needs any more: renames
    // it, and makes it bytes_wanted long if there is room. The name is not durable yet. Errors:
    // those of the rename.
    Status adopt(const std::string& file_path, std::uint64_t bytes, std::uint64_t bytes_wanted);
    // Makes a spare that was taken longer; the room is only taken. On an error it is as long as
    // before.
    Status grow(Spare& spare, std::uint64_t bytes);

    // How many are at least this long.
    [[nodiscard]] std::size_t count(std::uint64_t bytes_min = 0) const;
    [[nodiscard]] std::uint64_t largest() const;
    [[nodiscard]] std::uint64_t bytes() const;
    [[nodiscard]] std::string path(const Spare& spare) const;

private:
    Status create(std::uint64_t bytes, Room room);
    using MakeRoom = std::function<Status(File&)>;
    // A new spare whose name is not durable yet.
    Status create_with(std::uint64_t bytes, const MakeRoom& make_room);
    // The largest that is shorter than this; the caller's until it is given back.
    [[nodiscard]] std::optional<Spare> take_below(std::uint64_t bytes);
    Status remove_surplus(std::size_t count, std::uint64_t bytes);

    Env& env_;
    const std::string dir_;
    mutable Mutex mutex_;
    std::vector<Spare> spares_ KLOG_GUARDED_BY(mutex_);  // by size, ascending
    std::uint64_t next_number_ KLOG_GUARDED_BY(mutex_) = 1;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_SPARES_H
