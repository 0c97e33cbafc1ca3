// Everything that belongs to one log of a store: its sequencer, its newest frames and followers,
// its runs and its key index.
//
// The sequencer is guarded by the pipeline's mutex; the rest guards itself.
#ifndef KLOG_LOG_LOG_CORE_H
#define KLOG_LOG_LOG_CORE_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "index/key_index.h"
#include "index/runs.h"
#include "klog/options.h"
#include "log/byte_budget.h"
#include "log/live_tail.h"
#include "log/pending_index.h"
#include "log/rebuild_state.h"
#include "log/sequencer.h"

namespace klog {

struct LogCore {
    LogCore(LogId log_id, const StoreOptions& options)
        : id(log_id),
          read_only(options.read_only),
          sequencer(log_id, options.session_seconds, pending),
          tail(options.tail_cache_bytes),
          newest_bytes(options.newest_bytes_max) {}

    const LogId id;
    const bool read_only;
    PendingIndex pending;
    Sequencer sequencer;
    LiveTail tail;
    ByteBudget newest_bytes;
    std::string index_dir;        // where its runs and its key index lie
    bool index_dir_made = false;  // guarded by the flusher's mutex
    std::unique_ptr<RunSet> runs;
    std::atomic<bool> list_wanted{false};  // the key index is far behind, and somebody needs it
    RebuildState heads;                    // whether sequencer and runs know all heads and ids
    std::unique_ptr<KeyIndex> key_index;
    std::atomic<std::uint64_t> settings_seq{0};
    // Called when there is an acknowledgement that only memory has, and there was none before.
    std::function<void()> positions_wanted;
    // What a look-up in the runs, or a merge, came to: where a run is damaged all are made anew,
    // and the answer says so.
    [[nodiscard]] Status looked_up(Status found) {
        if (found || found.error().code != Code::corrupt || read_only) return found;
        heads.damaged(found.error());
        return heads.refusal();
    }
    // Of a read-only store whose heads were made anew over a hole: what is newest is known only of
    // entities with a record behind `upto`. Set before anybody reads.
    struct UnknownHeads {
        Seq upto;
        Error error;
    };
    std::optional<UnknownHeads> unknown_heads;
    // The key index and `pending` together hold everything behind this; see KeyIndexer.
    std::atomic<std::uint64_t> pending_after{0};
};

}  // namespace klog

#endif  // KLOG_LOG_LOG_CORE_H
