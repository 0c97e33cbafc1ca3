// Spare files: filled and synced beforehand, so that commits write into room that is there, and so
// that recovery works on a full disk. A new one is filled with zeros; one that was a file of the
// log keeps what it held.
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
    SparePool(Env& env, std::string wal_dir) : env_(env), dir_(std::move(wal_dir)) {}

    // Takes over what an earlier run left.
    Status load(const std::vector<std::string>& names);

    // Makes `count` of them at least `bytes` long. New ones get `bytes_wanted`. Errors: disk_full
    // (what was begun is gone again), io.
    Status ensure(std::size_t count, std::uint64_t bytes, std::uint64_t bytes_wanted);
    // The same for the background: never touches a spare that take() could give away, and removes
    // small ones that are no longer needed.
    Status prepare(std::size_t count, std::uint64_t bytes);
    // Makes one whose name is not durable yet; with sync false, nor is what it holds. For whoever
    // takes it at once and sees to both.
    Status create_unnamed(std::uint64_t bytes, bool sync);

    // The largest one, which is the caller's from now on. Precondition: there is one.
    [[nodiscard]] Spare take();
    void give_back(const Spare& spare);
    // Makes a spare of a file of this folder, `bytes` long, which nobody needs any more: renames
    // it, and makes it bytes_wanted long if there is room. The name is not durable yet. Errors:
    // those of the rename.
    Status adopt(const std::string& file_path, std::uint64_t bytes, std::uint64_t bytes_wanted);
    // Makes a spare that was taken longer. On an error it is as long as before.
    Status grow(Spare& spare, std::uint64_t bytes);

    // How many are at least this long.
    [[nodiscard]] std::size_t count(std::uint64_t bytes_min = 0) const;
    [[nodiscard]] std::uint64_t largest() const;
    [[nodiscard]] std::uint64_t bytes() const;
    [[nodiscard]] std::string path(const Spare& spare) const;

private:
    Status create(std::uint64_t bytes);
    // The largest that is shorter than this; the caller's until it is given back.
    [[nodiscard]] std::optional<Spare> take_below(std::uint64_t bytes);
    Status fill(File& file, std::uint64_t from, std::uint64_t to, bool sync);
    Status remove_surplus(std::size_t count, std::uint64_t bytes);

    Env& env_;
    const std::string dir_;
    mutable Mutex mutex_;
    std::vector<Spare> spares_ KLOG_GUARDED_BY(mutex_);  // by size, ascending
    std::uint64_t next_number_ KLOG_GUARDED_BY(mutex_) = 1;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_WAL_SPARES_H
