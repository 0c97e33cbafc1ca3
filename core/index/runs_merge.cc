#include "index/runs_merge.h"

#include "base/assert.h"

namespace klog {

std::pair<std::size_t, std::size_t> merge_window(std::span<const std::uint64_t> bytes) {
    KLOG_ASSERT(bytes.size() >= 2);
    std::pair<std::size_t, std::size_t> best{0, 2};
    double best_cost = -1;
    for (std::size_t first = 0; first + 1 < bytes.size(); ++first) {
        auto sum = static_cast<double>(bytes[first]);
        for (std::size_t last = first + 1; last < bytes.size(); ++last) {
            sum += static_cast<double>(bytes[last]);
            const auto gone = static_cast<double>(last - first);
            const double cost = sum / (gone * gone);
            if (best_cost < 0 || cost < best_cost) {
                best_cost = cost;
                best = {first, last + 1};
            }
        }
    }
    return best;
}

Status visit_newest(std::span<const std::shared_ptr<const RunFile>> runs, RunTable table,
                    const std::function<Status(Hash128, const char*)>& visit) {
    std::vector<RunCursor> cursors;
    cursors.reserve(runs.size());
    for (const auto& run : runs) {
        cursors.emplace_back(run, table);
        KLOG_TRY(cursors.back().next());
    }
    for (;;) {
        // Runs are few: looking at each is cheaper than keeping a heap.
        RunCursor* newest = nullptr;
        for (RunCursor& cursor : cursors) {
            if (cursor.done()) continue;
            if (newest == nullptr || cursor.hash() <= newest->hash()) newest = &cursor;
        }
        if (newest == nullptr) return {};
        const Hash128 hash = newest->hash();
        KLOG_TRY(visit(hash, newest->entry()));
        for (RunCursor& cursor : cursors) {
            if (!cursor.done() && cursor.hash() == hash) KLOG_TRY(cursor.next());
        }
    }
}

Status merge_runs(std::span<const std::shared_ptr<const RunFile>> runs, Time session_before,
                  RunWriter& writer) {
    for (std::size_t i = 0; i < kRunTables; ++i) {
        const auto table = static_cast<RunTable>(i);
        std::uint64_t keys_max = 0;
        for (const auto& run : runs) keys_max += run->header().sections[i].count;
        writer.begin_table(table, keys_max);
        KLOG_TRY(visit_newest(runs, table, [&](Hash128 hash, const char* entry) -> Status {
            if (table == RunTable::sessions &&
                RunEntry<SessionEntry>::load(entry).time < session_before) {
                return {};
            }
            return writer.append(hash, entry);
        }));
        KLOG_TRY(writer.end_table());
    }
    return writer.finish();
}

}  // namespace klog
