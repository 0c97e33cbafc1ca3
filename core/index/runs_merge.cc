#include "index/runs_merge.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace klog {
namespace {

constexpr std::size_t kEntriesAtOnce = 4096;  // between two looks at how much was written
constexpr std::uint64_t kSampleEntries = 16'384;
constexpr std::uint64_t kSampleEntriesMax = 4 * kSampleEntries;  // where hashes are not spread

}  // namespace

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

NewestCursor::NewestCursor(std::span<const std::shared_ptr<const RunFile>> runs, RunTable table) {
    cursors_.reserve(runs.size());
    for (const auto& run : runs) cursors_.emplace_back(run, table);
}

Status NewestCursor::start() {
    for (RunCursor& cursor : cursors_) KLOG_TRY(cursor.next());
    return {};
}

// Runs are few: looking at each is cheaper than keeping a heap, and most entries are taken in
// stretches of which one run knows all.
NewestCursor::Pick NewestCursor::pick() {
    Pick pick;
    for (RunCursor& cursor : cursors_) {
        if (cursor.done()) continue;
        if (pick.newest == nullptr || cursor.hash() <= pick.newest->hash()) pick.newest = &cursor;
    }
    if (pick.newest == nullptr) return pick;
    for (const RunCursor& cursor : cursors_) {
        if (cursor.done() || &cursor == pick.newest) continue;
        pick.older_too = pick.older_too || cursor.hash() == pick.newest->hash();
        if (!pick.bounded || cursor.hash() < pick.bound) pick.bound = cursor.hash();
        pick.bounded = true;
    }
    return pick;
}

Status NewestCursor::skip(Hash128 hash) {
    for (RunCursor& cursor : cursors_) {
        if (!cursor.done() && cursor.hash() == hash) KLOG_TRY(cursor.next());
    }
    return {};
}

RunSection RunMerge::expected(std::span<const std::shared_ptr<const RunFile>> runs,
                              RunTable table) {
    RunSection out;
    for (const auto& run : runs) {
        const RunSection& section = run->section(table);
        if (section.count == 0) continue;
        for (std::size_t i = 0; i < kRunNumbersMax; ++i) {
            const bool first = out.count == 0;
            out.least[i] = first ? section.least[i] : std::min(out.least[i], section.least[i]);
            out.greatest[i] =
                first ? section.greatest[i] : std::max(out.greatest[i], section.greatest[i]);
        }
        out.count += section.count;
    }
    return out;
}

Result<std::uint64_t> RunMerge::distinct(std::span<const std::shared_ptr<const RunFile>> runs,
                                         RunTable table) {
    const std::uint64_t all = expected(runs, table).count;
    const std::uint64_t limit =
        all <= kSampleEntries ? UINT64_MAX : UINT64_MAX / all * kSampleEntries;
    std::vector<Hash128> sample;
    std::uint64_t least = 0;  // no fewer than the largest run has
    for (const auto& run : runs) {
        least = std::max(least, run->section(table).count);
        RunCursor cursor(run, table);
        KLOG_TRY(cursor.next());
        while (!cursor.done() && cursor.hash().hi <= limit && sample.size() < kSampleEntriesMax) {
            sample.push_back(cursor.hash());
            KLOG_TRY(cursor.next());
        }
    }
    if (sample.empty()) return all;
    const std::size_t seen = sample.size();
    std::sort(sample.begin(), sample.end());
    const auto different =
        static_cast<std::size_t>(std::unique(sample.begin(), sample.end()) - sample.begin());
    const double part = static_cast<double>(different) / static_cast<double>(seen);
    return std::clamp(static_cast<std::uint64_t>(std::ceil(static_cast<double>(all) * part)), least,
                      all);
}

Result<std::unique_ptr<RunMerge>> RunMerge::begin(Env& env,
                                                  std::vector<std::shared_ptr<const RunFile>> runs,
                                                  RunHeader header, const std::string& path,
                                                  Time session_before) {
    KLOG_TRY_ASSIGN(RunWriter writer, RunWriter::create(env, path, std::move(header)));
    return std::unique_ptr<RunMerge>(
        new RunMerge(std::move(runs), std::move(writer), session_before));
}

RunMerge::RunMerge(std::vector<std::shared_ptr<const RunFile>> runs, RunWriter writer,
                   Time session_before)
    : runs_(std::move(runs)), writer_(std::move(writer)), session_before_(session_before) {}

Status RunMerge::begin_table() {
    const auto table = static_cast<RunTable>(table_);
    cursor_ = std::make_unique<NewestCursor>(runs_, table);
    KLOG_TRY(cursor_->start());
    RunSection section = expected(runs_, table);
    KLOG_TRY_ASSIGN(section.count, distinct(runs_, table));
    writer_.begin_table(table, section);
    return {};
}

Result<bool> RunMerge::copy_some() {
    if (static_cast<RunTable>(table_) != RunTable::sessions) {
        return cursor_->visit(kEntriesAtOnce, [this](Hash128 hash, const RunFields& fields) {
            return writer_.append(hash, fields);
        });
    }
    return cursor_->visit(kEntriesAtOnce, [this](Hash128 hash, const RunFields& fields) -> Status {
        if (RunEntry<SessionEntry>::entry(fields).time < session_before_) return {};
        return writer_.append(hash, fields);
    });
}

Result<bool> RunMerge::step(std::uint64_t bytes_max) {
    const std::uint64_t began = writer_.written();
    while (table_ < kRunTables) {
        if (cursor_ == nullptr) KLOG_TRY(begin_table());
        KLOG_TRY_ASSIGN(const bool more, copy_some());
        if (!more) {
            KLOG_TRY(writer_.end_table());
            cursor_.reset();
            ++table_;
        }
        if (writer_.written() - began < bytes_max) continue;
        KLOG_TRY(writer_.sync());
        return false;
    }
    KLOG_TRY(writer_.finish());
    return true;
}

}  // namespace klog
