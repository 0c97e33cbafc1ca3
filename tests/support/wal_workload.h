// A short life of a Wal on a simulated disk, with a record of what it promised.
#ifndef KLOG_TESTS_SUPPORT_WAL_WORKLOAD_H
#define KLOG_TESTS_SUPPORT_WAL_WORKLOAD_H

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "tests/support/wal_testing.h"

namespace klog::testing {

struct WalPromises {
    std::vector<std::uint64_t> durable;  // in order
    std::set<std::uint64_t> absent;
    std::set<std::uint64_t> unknown;
    std::vector<std::vector<std::uint64_t>> batches;  // each is there as a whole or not at all
    bool opened = false;
    std::string open_error;
    bool clean = false;  // close() said ok
};

inline WalOptions workload_options() {
    WalOptions options;
    options.dir = "/data";
    options.first_file_bytes = 8 << 10;
    options.file_bytes = 16 << 10;
    return options;
}

// Takes seqs from next_seq on; a seq is used once, whatever became of it.
class WalWorkload {
public:
    static constexpr std::size_t kValueBytes = 700;

    explicit WalWorkload(SimEnv& env) : env_(env) {}

    // Opens, commits `groups` groups (each fourth a batch of two frames, some of which fill the
    // file), and closes.
    WalPromises live(std::uint64_t groups, bool close) {
        WalPromises promises;
        auto opened = Wal::open(env_, workload_options(), {});
        if (!opened.ok()) {
            promises.open_error = opened.error().message;
            return promises;
        }
        promises.opened = true;
        Wal& wal = *opened->wal;
        for (std::uint64_t group = 0; group < groups; ++group) {
            if (group % 3 == 2) static_cast<void>(wal.prepare_spares());
            if (group % 5 == 4) static_cast<void>(wal.mark_idle());
            commit(wal, group % 4 == 3, promises);
        }
        if (close) promises.clean = wal.close({1, next_seq_}, 0).ok();
        return promises;
    }

private:
    void commit(Wal& wal, bool batch, WalPromises& promises) {
        std::vector<Frame> frames;
        std::vector<std::uint64_t> seqs;
        for (int i = 0; i < (batch ? 2 : 1); ++i) {
            frames.push_back(numbered_frame(next_seq_, 2, kValueBytes));
            seqs.push_back(next_seq_);
            seqs.push_back(next_seq_ + 1);
            next_seq_ += 2;
        }
        if (batch) {
            frames.front().header.flags = FrameHeader::kTxnFirst;
            frames.back().header.flags = FrameHeader::kTxnLast;
        }
        promises.batches.push_back(seqs);
        std::vector<Frame*> pointers;
        for (Frame& frame : frames) pointers.push_back(&frame);
        const CommitResult result = wal.commit(pointers);
        if (result.outcome == CommitOutcome::durable) {
            promises.durable.insert(promises.durable.end(), seqs.begin(), seqs.end());
        } else if (result.outcome == CommitOutcome::absent) {
            promises.absent.insert(seqs.begin(), seqs.end());
        } else {
            promises.unknown.insert(seqs.begin(), seqs.end());
        }
    }

    SimEnv& env_;
    std::uint64_t next_seq_ = 1;
};

// What is wrong with what the log holds, given what was promised. Empty: nothing.
inline std::string broken_promise(const LogContents& contents, const WalPromises& promises) {
    if (!contents.error.empty()) return "cannot be read: " + contents.error;
    if (!std::is_sorted(contents.seqs.begin(), contents.seqs.end())) return "out of order";
    std::set<std::uint64_t> held(contents.seqs.begin(), contents.seqs.end());
    if (held.size() != contents.seqs.size()) return "something is there twice";
    for (const auto& batch : promises.batches) {
        for (const std::uint64_t seq : batch) {
            if (held.contains(seq) != held.contains(batch.front())) return "a batch was torn";
        }
    }
    for (const std::uint64_t seq : promises.durable) {
        if (held.erase(seq) == 0) return "seq " + std::to_string(seq) + " was lost";
    }
    for (const std::uint64_t seq : held) {
        if (promises.absent.contains(seq)) return "seq " + std::to_string(seq) + " came back";
        if (!promises.unknown.contains(seq)) return "seq " + std::to_string(seq) + " is invented";
    }
    return "";
}

inline void add_promises(WalPromises& all, const WalPromises& more) {
    all.durable.insert(all.durable.end(), more.durable.begin(), more.durable.end());
    all.absent.insert(more.absent.begin(), more.absent.end());
    all.unknown.insert(more.unknown.begin(), more.unknown.end());
    all.batches.insert(all.batches.end(), more.batches.begin(), more.batches.end());
}

}  // namespace klog::testing

#endif  // KLOG_TESTS_SUPPORT_WAL_WORKLOAD_H
