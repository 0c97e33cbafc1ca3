// A simulated machine for tests: an Env whose disk, clock and randomness live in memory and follow
// one seed, so that the same seed and the same calls give the same run, byte for byte.
//
//   SimEnv env(seed);
//   env.inject({.kinds = {SimCall::sync}, .skip = 3});   // the fourth sync fails
//   env.crash_at_call(env.calls() + 17);                  // or: the power goes at a call
//   … run the log …
//   env.crash();                                          // legal, random loss; then open again
//
// What a crash may leave is told in env/sim_content.h (sectors, sizes) and env/sim_disk.h (names).
// After a failed sync the pages look clean: reads show the new bytes, a second sync succeeds, and
// a crash may still bring the old ones back.
//
// Threads: any number, as for every Env; the promise about the seed holds for one.
#ifndef KLOG_ENV_SIM_ENV_H
#define KLOG_ENV_SIM_ENV_H

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"

namespace klog {

// Every call that can fail, as it is counted. create_dirs is its own call and a sync_dir for each
// folder that it syncs.
enum class SimCall : std::uint8_t {
    open,    // of what exists
    create,  // OpenMode::create_new
    read,
    write,
    sync,
    truncate,
    size,
    rename,
    remove,
    exists,
    list_dir,
    create_dirs,
    sync_dir,
    lock,
};
inline constexpr std::size_t kSimCalls = 14;
[[nodiscard]] std::string_view sim_call_name(SimCall call);

// Calls that are to fail. A failed write has written a random part from its beginning, a failed
// read has filled one; a failed sync leaves the pages looking clean; all other failed calls did
// nothing.
struct SimFault {
    static constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

    std::vector<SimCall> kinds = {};        // empty: every kind
    std::string path_part = {};             // only paths that contain it
    std::uint64_t skip = 0;                 // so many matching calls pass first
    std::uint64_t times = 1;                // then so many fail
    std::uint32_t per_million = 1'000'000;  // each with this chance
    Code code = Code::io;
};

class SimEnv final : public Env {
public:
    explicit SimEnv(std::uint64_t seed);
    ~SimEnv() override;
    SimEnv(const SimEnv&) = delete;
    SimEnv& operator=(const SimEnv&) = delete;

    // The same disk and clock, with what is not synced yet, but no handles, locks, faults or hook:
    // for trying many crashes of one state.
    [[nodiscard]] std::unique_ptr<SimEnv> clone(std::uint64_t seed) const;

    // --- Ends of a life. Files opened before fail from then on with Code::io, locks are free,
    // faults and a crash_at_call are gone. ---

    // Power cut: any legal part of what is not synced is lost. What is left is durable.
    void crash();
    // The two ends of what is legal.
    void crash_lose_all();
    void crash_keep_all();
    // kill -9: the page cache stays as it is, also pages that look clean and are not.
    void kill();

    // --- Faults. ---

    void inject(SimFault fault);
    void clear_faults();
    // Total of all files, holes included. A write or truncate past it fails with disk_full, a
    // write after a random part; names need no room. No limit to begin with.
    void set_capacity(std::uint64_t bytes);
    [[nodiscard]] std::uint64_t used_bytes() const;
    // From this call on (calls() counts from 1) every call fails without effect. The test then
    // gives its objects up and calls crash() or kill().
    void crash_at_call(std::uint64_t call);
    // Whether that call has come.
    [[nodiscard]] bool power_cut() const;
    // Runs before each call, outside of all locks. It may use this SimEnv.
    using Hook = std::function<void(SimCall, const std::string& path)>;
    void on_call(Hook hook);
    // Since construction; failed ones count too.
    [[nodiscard]] std::uint64_t calls() const;
    [[nodiscard]] std::uint64_t calls(SimCall kind) const;
    // How many calls failed because of inject() or a full disk, since construction.
    [[nodiscard]] std::uint64_t calls_failed() const;

    // --- Clock. Each reading advances it by a microsecond. ---

    void advance(std::uint64_t micros);
    // The wall clock jumps; monotonic_micros() does not.
    void set_now(Time now);

    // --- The disk from outside: not counted, never failing by injection, durable at once. ---

    [[nodiscard]] Result<std::string> read_file(const std::string& path) const;
    Status write_file(const std::string& path, std::string bytes);
    // Flips the bits of mask. Code::bad_request past the end.
    Status flip(const std::string& path, std::uint64_t offset, std::uint8_t mask = 1);
    // Full paths, sorted, "/" first.
    [[nodiscard]] std::vector<std::string> files() const;
    // Sectors and names that a crash may take back.
    [[nodiscard]] std::uint64_t unsynced() const;
    // Of everything: contents, names, what is unsynced, number of calls, clock. Equal runs have
    // equal digests. Cost: all bytes on the disk.
    [[nodiscard]] std::uint64_t digest() const;
    // One line a file: path, size, unsynced sectors, CRC-32C.
    [[nodiscard]] std::string dump() const;

    // --- Env ---

    Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
    Status rename(const std::string& from, const std::string& to) override;
    Status remove(const std::string& path) override;
    [[nodiscard]] Result<bool> exists(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list_dir(const std::string& path) override;
    Status create_dirs(const std::string& path) override;
    Status sync_dir(const std::string& path) override;
    [[nodiscard]] std::uint64_t free_bytes(const std::string& folder) override;
    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override;
    // ":memory:"
    [[nodiscard]] std::string database_path(const std::string& path) override;
    [[nodiscard]] Time now() override;
    [[nodiscard]] std::uint64_t monotonic_micros() override;
    void random(std::span<std::uint8_t> out) override;

    class State;

private:
    std::shared_ptr<State> state_;
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_ENV_H
