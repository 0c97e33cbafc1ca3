#include "index/key_index_runs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace klog::key_index_db {
namespace {

// The keys of one run, a block at a time.
class RunCursor {
public:
    RunCursor(Database& database, Statement& statement)
        : database_(database), statement_(statement), use_(statement) {}

    // The statement is bound. Then at() is its first key, unless done().
    Status begin() { return next_block(); }
    Status next() {
        ++taken_;
        if (++at_ < keys_.size()) return {};
        used_up_.push_back(row_.id);
        return next_block();
    }
    // Within the first block.
    Status skip(std::size_t keys) {
        at_ = keys;
        if (done_ || at_ < keys_.size()) return {};
        return next_block();
    }
    [[nodiscard]] bool done() const { return done_; }
    [[nodiscard]] std::string_view key() const { return keys_[at_]; }
    [[nodiscard]] std::uint64_t space_id() const { return row_.space_id; }
    [[nodiscard]] const KeyBlockKeys& block() const { return keys_; }
    [[nodiscard]] bool below(const RunCursor& other) const {
        if (row_.space_id != other.row_.space_id) return row_.space_id < other.row_.space_id;
        return key() < other.key();
    }

    // For a merge: what next() has passed by.
    [[nodiscard]] std::uint64_t taken() const { return taken_; }
    // Deletes the blocks of which all is taken, and what is taken of the one that it stands in.
    Status drop_taken() {
        statement_.reset();
        for (const std::uint64_t id : used_up_) {
            database_.statements.delete_block.bind(1, id);
            KLOG_TRY(run(database_.statements.delete_block));
        }
        if (done_ || at_ == 0) return {};
        KeyBlockBuilder rest;
        for (std::size_t i = at_; i < keys_.size(); ++i) rest.add_anyway(keys_[i]);
        const KeyBlock block = rest.take();
        Statement& change = database_.statements.change_block;
        change.bind(1, row_.id);
        change.bind(2, block.first);
        change.bind(3, block.count);
        change.bind(4, block.crc);
        change.bind(5, block.text);
        return run(change);
    }

private:
    Status next_block() {
        at_ = 0;
        KLOG_TRY_ASSIGN(const bool row, statement_.step());
        done_ = !row;
        if (done_) return {};
        return database_.read_block(statement_, row_, keys_);
    }

    Database& database_;
    Statement& statement_;
    Use use_;
    BlockRow row_;
    KeyBlockKeys keys_;
    std::size_t at_ = 0;
    bool done_ = false;
    std::uint64_t taken_ = 0;
    std::vector<std::uint64_t> used_up_;
};

// Cursors of which the lowest is on top.
class CursorHeap {
public:
    [[nodiscard]] bool empty() const { return heap_.empty(); }
    void add(RunCursor& cursor) {
        if (cursor.done()) return;
        heap_.push_back(&cursor);
        std::push_heap(heap_.begin(), heap_.end(), above);
    }
    [[nodiscard]] const RunCursor& top() const { return *heap_.front(); }
    Status next() {
        std::pop_heap(heap_.begin(), heap_.end(), above);
        RunCursor& cursor = *heap_.back();
        heap_.pop_back();
        KLOG_TRY(cursor.next());
        add(cursor);
        return {};
    }

private:
    static bool above(const RunCursor* a, const RunCursor* b) { return b->below(*a); }
    std::vector<RunCursor*> heap_;
};

// The merge that is at work on the lowest level: its runs, and the one they become.
struct Merge {
    std::vector<Run> from;
    Run into;
    bool begins = false;
};

std::optional<Merge> begun_merge(const std::vector<Run>& runs) {
    std::optional<Run> into;
    for (const Run& run : runs) {
        if (run.into == 0) continue;
        const auto at = std::find_if(runs.begin(), runs.end(),
                                     [&](const Run& other) { return other.id == run.into; });
        if (at != runs.end() && (!into || at->level < into->level)) into = *at;
    }
    if (!into) return std::nullopt;
    Merge merge{{}, *into, false};
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(merge.from),
                 [&](const Run& run) { return run.into == into->id; });
    return merge;
}

// One that can begin on a level below `below`.
std::optional<Merge> new_merge(const Database& database, std::optional<std::uint64_t> below) {
    std::map<std::uint64_t, std::vector<Run>> waiting;
    const std::vector<Run>& runs = database.runs;
    for (const Run& run : runs) {
        const bool grows = std::any_of(runs.begin(), runs.end(),
                                       [&](const Run& other) { return other.into == run.id; });
        if (run.into == 0 && !grows) waiting[run.level].push_back(run);
    }
    for (auto& [level, list] : waiting) {
        if (below && level >= *below) return std::nullopt;
        if (list.size() < kFanIn) continue;
        list.resize(kFanIn);
        Merge merge{std::move(list), Run{database.next_run(), level + 1, 0, 0}, true};
        for (Run& run : merge.from) run.into = merge.into.id;
        return merge;
    }
    return std::nullopt;
}

std::optional<Merge> pick_merge(const Database& database) {
    std::optional<Merge> begun = begun_merge(database.runs);
    std::optional<std::uint64_t> below;
    if (begun) below = begun->into.level - 1;
    std::optional<Merge> fresh = new_merge(database, below);
    return fresh ? std::move(fresh) : std::move(begun);
}

// One step, in a transaction.
class Merging {
public:
    Merging(Database& database, Merge& merge) : database_(database), merge_(merge) {}

    Status step(std::uint64_t keys_max) {
        KLOG_TRY(open());
        KLOG_TRY(take(keys_max));
        for (const auto& cursor : cursors_) KLOG_TRY(cursor->drop_taken());
        for (const auto& [space_id, block] : made_) {
            KLOG_TRY(database_.add_block(merge_.into.id, space_id, block));
        }
        return save_runs();
    }
    [[nodiscard]] std::uint64_t taken() const { return taken_; }

private:
    Status open() {
        KLOG_TRY(database_.fill_pool(database_.statements.blocks_of_run, merge_.from.size(),
                                     kBlocksOfRun));
        for (std::size_t i = 0; i < merge_.from.size(); ++i) {
            Statement& statement = database_.statements.blocks_of_run[i];
            statement.bind(1, merge_.from[i].id);
            cursors_.push_back(std::make_unique<RunCursor>(database_, statement));
            KLOG_TRY(cursors_.back()->begin());
            heap_.add(*cursors_.back());
        }
        return {};
    }

    Status take(std::uint64_t keys_max) {
        KeyBlockBuilder builder;
        std::uint64_t space_id = 0;
        std::string last;
        const auto finish_block = [&] {
            if (!builder.empty()) made_.emplace_back(space_id, builder.take());
        };
        for (; !heap_.empty(); ++taken_) {
            const RunCursor& top = heap_.top();
            const bool same_space = top.space_id() == space_id;
            const bool repeat = taken_ > 0 && same_space && top.key() == last;
            if (taken_ >= keys_max && !repeat) break;
            if (!same_space) finish_block();
            space_id = top.space_id();
            if (!repeat) {
                last = top.key();
                if (!builder.add(last)) {
                    finish_block();
                    static_cast<void>(builder.add(last));  // an empty one takes any key
                }
                ++merge_.into.keys;
            }
            KLOG_TRY(heap_.next());
        }
        finish_block();
        return {};
    }

    Status save_runs() {
        if (merge_.begins)
            KLOG_TRY(database_.add_run(Run{merge_.into.id, merge_.into.level, 0, 0}));
        for (std::size_t i = 0; i < merge_.from.size(); ++i) {
            Run& from = merge_.from[i];
            if (cursors_[i]->done()) {
                database_.statements.delete_run.bind(1, from.id);
                KLOG_TRY(run(database_.statements.delete_run));
                from.keys = 0;
                continue;
            }
            // It holds at least the one that its cursor stands at, whatever its row said.
            const std::uint64_t taken = cursors_[i]->taken();
            from.keys = from.keys > taken ? from.keys - taken : 1;
            KLOG_TRY(change_run(from));
        }
        return change_run(merge_.into);
    }

    Status change_run(const Run& changed) {
        Statement& change = database_.statements.change_run;
        change.bind(1, changed.id);
        change.bind(2, changed.keys);
        change.bind(3, changed.into);
        return run(change);
    }

    Database& database_;
    Merge& merge_;
    std::vector<std::unique_ptr<RunCursor>> cursors_;
    CursorHeap heap_;
    std::vector<std::pair<std::uint64_t, KeyBlock>> made_;  // with the number of its space
    std::uint64_t taken_ = 0;
};

}  // namespace

std::string prefix_end(std::string_view prefix) {
    std::string end(prefix);
    while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xffU) end.pop_back();
    if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1U);
    return end;
}

Result<std::vector<std::string>> list_keys(Database& database, std::string_view space,
                                           std::string_view prefix, std::string_view after,
                                           std::size_t limit) {
    std::vector<std::string> out;
    KLOG_TRY_ASSIGN(const std::uint64_t id, database.space_id(space, false));
    if (id == 0 || limit == 0) return out;
    KLOG_TRY_ASSIGN(const std::vector<Run> runs, database.read_runs());
    KLOG_TRY(database.fill_pool(database.statements.blocks_from, runs.size(), kBlocksFrom));
    const bool is_after = !after.empty() && after >= prefix;
    const std::string_view start = is_after ? after : prefix;
    std::vector<std::unique_ptr<RunCursor>> cursors;
    CursorHeap heap;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        Statement& statement = database.statements.blocks_from[i];
        statement.bind(1, runs[i].id);
        statement.bind(2, id);
        statement.bind(3, start);
        cursors.push_back(std::make_unique<RunCursor>(database, statement));
        RunCursor& cursor = *cursors.back();
        KLOG_TRY(cursor.begin());
        if (cursor.done()) continue;
        const KeyBlockKeys& keys = cursor.block();
        KLOG_TRY(cursor.skip(is_after ? keys.upper_bound(start) : keys.lower_bound(start)));
        heap.add(cursor);
    }
    while (!heap.empty() && out.size() < limit) {
        const std::string_view key = heap.top().key();
        if (key.substr(0, prefix.size()) != prefix) break;
        if (out.empty() || out.back() != key) out.emplace_back(key);
        KLOG_TRY(heap.next());
    }
    return out;
}

Result<MergeStep> merge_step(Database& database, std::uint64_t keys_max) {
    MergeStep done;
    std::optional<Merge> merge = pick_merge(database);
    if (!merge) return done;
    KLOG_TRY(database.transact([&]() -> Status {
        Merging merging(database, *merge);
        Status status = merging.step(keys_max);
        done.keys = merging.taken();
        return status;
    }));
    const auto left = [](const Run& run) { return run.keys > 0; };
    done.finished = std::none_of(merge->from.begin(), merge->from.end(), left);
    std::vector<Run> runs;
    const auto is_of_merge = [&](const Run& run) {
        return run.id == merge->into.id ||
               std::any_of(merge->from.begin(), merge->from.end(),
                           [&](const Run& from) { return from.id == run.id; });
    };
    std::remove_copy_if(database.runs.begin(), database.runs.end(), std::back_inserter(runs),
                        is_of_merge);
    std::copy_if(merge->from.begin(), merge->from.end(), std::back_inserter(runs), left);
    runs.push_back(merge->into);
    std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.id < b.id; });
    database.runs = std::move(runs);
    return done;
}

}  // namespace klog::key_index_db
