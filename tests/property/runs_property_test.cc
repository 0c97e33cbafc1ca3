// A set of runs against maps: whatever is added, merged, crashed and opened again in whatever
// order, it holds the newest entry of every hash up to its watermark.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "index/run_format.h"
#include "index/runs.h"
#include "index/runs_merge.h"

namespace {

using klog::Hash128;
using klog::HeadEntry;
using klog::IdEntry;
using klog::RunContents;
using klog::RunSet;
using klog::Seq;
using klog::SessionEntry;

constexpr std::array<std::uint8_t, 16> kStore{4, 2};
const std::string kDir = "/index/1";

struct Model {
    std::map<Hash128, HeadEntry> heads;
    std::map<Hash128, IdEntry> ids;
    std::map<Hash128, SessionEntry> sessions;
    Seq upto;
};

// Few different hashes, so that runs share many; spread, so that they fill several blocks.
rc::Gen<Hash128> hash() {
    return rc::gen::map(rc::gen::inRange<std::uint64_t>(0, 600), [](std::uint64_t n) {
        return Hash128{n * 0x9e3779b97f4a7c15ULL, n * 0xc2b2ae3d27d4eb4fULL};
    });
}

rc::Gen<std::vector<Hash128>> hashes(std::size_t most) {
    return rc::gen::mapcat(rc::gen::inRange<std::size_t>(0, most), [](std::size_t n) {
        return rc::gen::container<std::vector<Hash128>>(n, hash());
    });
}

RunContents next_contents(Model& model) {
    RunContents out;
    const std::uint64_t after = model.upto.value;
    out.covered_after = model.upto;
    out.covered_upto = Seq{after + *rc::gen::inRange<std::uint64_t>(1, 1000)};
    out.wal_id = after + 1;
    out.wal_offset = after * 8;
    std::map<Hash128, HeadEntry> heads;
    std::map<Hash128, IdEntry> ids;
    std::map<Hash128, SessionEntry> sessions;
    std::uint64_t n = after;
    for (const Hash128& at : *hashes(400)) {
        ++n;
        heads[at] = {static_cast<klog::EntityState>(n % 4), klog::Version{n}, Seq{n}};
    }
    for (const Hash128& at : *hashes(200)) {
        ids[at] = {Hash128{n, after}, Seq{++n}, klog::Version{n}, klog::Time{-1}};
    }
    for (const Hash128& at : *hashes(20)) {
        sessions[at] = {n, Seq{++n}, klog::Version{n}, klog::Time{static_cast<std::int64_t>(n)}};
    }
    out.heads.assign(heads.begin(), heads.end());
    out.ids.assign(ids.begin(), ids.end());
    out.sessions.assign(sessions.begin(), sessions.end());
    for (const auto& [at, entry] : heads) model.heads[at] = entry;
    for (const auto& [at, entry] : ids) model.ids[at] = entry;
    for (const auto& [at, entry] : sessions) model.sessions[at] = entry;
    model.upto = out.covered_upto;
    return out;
}

std::unique_ptr<RunSet> open_set(klog::SimEnv& env) {
    std::vector<std::string> notices;
    auto set = RunSet::open(env, kDir, kStore, notices);
    RC_ASSERT(set.ok());
    return std::move(set).value();
}

template <class Entry>
void check_table(const std::map<Hash128, Entry>& model,
                 const std::vector<std::pair<Hash128, Entry>>& dump) {
    const std::vector<std::pair<Hash128, Entry>> wanted(model.begin(), model.end());
    RC_ASSERT(dump == wanted);
}

void check(const RunSet& set, const Model& model) {
    RC_ASSERT(set.watermark().covered_upto == model.upto);
    const auto dump = set.dump();
    RC_ASSERT(dump.ok());
    check_table(model.heads, dump->heads);
    check_table(model.ids, dump->ids);
    check_table(model.sessions, dump->sessions);

    const std::vector<Hash128> group = *hashes(300);
    std::vector<std::optional<HeadEntry>> heads(group.size());
    std::vector<std::optional<IdEntry>> ids(group.size());
    RC_ASSERT(set.find_heads(group, heads).ok());
    RC_ASSERT(set.find_ids(group, ids).ok());
    for (std::size_t i = 0; i < group.size(); ++i) {
        const auto head = model.heads.find(group[i]);
        RC_ASSERT(heads[i].has_value() == (head != model.heads.end()));
        if (heads[i]) RC_ASSERT(*heads[i] == head->second);
        const auto id = model.ids.find(group[i]);
        RC_ASSERT(ids[i].has_value() == (id != model.ids.end()));
        if (ids[i]) RC_ASSERT(*ids[i] == id->second);
    }
}

}  // namespace

TEST_CASE("runs: any order of adds, merges, crashes and starts equals a map") {
    CHECK(rc::check([] {
        klog::SimEnv env(*rc::gen::arbitrary<std::uint64_t>());
        Model model;
        auto set = open_set(env);
        const auto steps = *rc::gen::inRange(1, 30);
        for (int step = 0; step < steps; ++step) {
            switch (*rc::gen::inRange(0, 10)) {
                case 0:
                    set.reset();
                    env.crash();
                    set = open_set(env);
                    break;
                case 1: {
                    // Interrupted while it merges; a merge changes nothing that can be seen.
                    env.crash_at_call(env.calls() + *rc::gen::inRange<std::uint64_t>(1, 60));
                    (void)set->merge(klog::Time{INT64_MIN});
                    set.reset();
                    env.crash();
                    set = open_set(env);
                    break;
                }
                case 2:
                    RC_ASSERT(set->merge(klog::Time{INT64_MIN}).ok());
                    RC_ASSERT(set->runs() <= RunSet::kRunsMax);
                    break;
                case 3:
                    check(*set, model);
                    break;
                default:
                    RC_ASSERT(set->add(next_contents(model)).ok());
                    break;
            }
        }
        check(*set, model);
    }));
}

namespace {

// Every state that each hash ever had, so that a set that lost its newest run is still judged.
class Versions {
public:
    void add(const RunContents& contents) {
        for (const auto& [hash, head] : contents.heads) {
            heads_[hash].emplace_back(contents.covered_upto, head);
        }
    }
    [[nodiscard]] std::optional<HeadEntry> at(Hash128 hash, Seq watermark) const {
        const auto known = heads_.find(hash);
        if (known == heads_.end()) return std::nullopt;
        std::optional<HeadEntry> out;
        for (const auto& [upto, head] : known->second) {
            if (upto <= watermark) out = head;
        }
        return out;
    }

private:
    std::map<Hash128, std::vector<std::pair<Seq, HeadEntry>>> heads_;
};

class LongLife {
public:
    static constexpr std::uint64_t kKeys = 30'000;
    static constexpr std::uint64_t kPutsARound = 2000;
    static constexpr std::uint64_t kAskedARound = 1000;

    void round(std::uint64_t number) {
        add();
        // Between nothing and more than all of what a merge needs.
        for (std::uint64_t i = random_() % 6; i > 0; --i) {
            REQUIRE(set_->merge_step(klog::Time{INT64_MIN}).ok());
        }
        ask(*set_, true);
        if (number % 10 == 0) {
            set_.reset();
            env_.crash();
            set_ = open_set(env_);
            ask(*set_, true);
        }
        if (number % 8 == 0) damage();
    }
    [[nodiscard]] std::uint64_t operations() const { return operations_; }
    [[nodiscard]] std::uint64_t told() const { return told_; }

private:
    Hash128 random_hash() {
        const std::uint64_t n = random_() % kKeys;
        return Hash128{n * 0x9e3779b97f4a7c15ULL, n * 0xc2b2ae3d27d4eb4fULL};
    }

    void add() {
        RunContents contents;
        std::map<Hash128, HeadEntry> heads;
        for (std::uint64_t i = 0; i < kPutsARound; ++i) {
            ++operations_;
            heads[random_hash()] = {static_cast<klog::EntityState>(random_() % 4),
                                    klog::Version{operations_ >> (random_() % 20)},
                                    Seq{operations_}};
        }
        contents.heads.assign(heads.begin(), heads.end());
        contents.covered_after = set_->watermark().covered_upto;
        contents.covered_upto = Seq{operations_};
        REQUIRE(set_->add(contents).ok());
        versions_.add(contents);
    }

    // Whatever is answered is right; `sound` says that there has to be an answer.
    void ask(const RunSet& set, bool sound) {
        const Seq watermark = set.watermark().covered_upto;
        if (sound) REQUIRE(watermark == Seq{last_put()});
        std::vector<Hash128> group(1 + random_() % kAskedARound);
        for (Hash128& hash : group) hash = random_hash();
        std::vector<std::optional<HeadEntry>> found(group.size());
        const klog::Status status = set.find_heads(group, found);
        if (!status.ok()) {
            REQUIRE_FALSE(sound);
            REQUIRE(status.error().code == klog::Code::corrupt);
            ++told_;
            return;
        }
        for (std::size_t i = 0; i < group.size(); ++i) {
            REQUIRE(found[i] == versions_.at(group[i], watermark));
        }
    }
    [[nodiscard]] std::uint64_t last_put() const { return operations_; }

    // One byte of one run in a copy of the disk: told, or not asked for, but never believed.
    void damage() {
        for (int i = 0; i < 10; ++i) {
            const auto copy = env_.clone(random_());
            std::vector<std::string> runs;
            for (const std::string& path : copy->files()) {
                if (path.ends_with(".run")) runs.push_back(path);
            }
            const std::string& path = runs[random_() % runs.size()];
            std::string bytes = *copy->read_file(path);
            const std::size_t at = random_() % bytes.size();
            bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1 + random_() % 127));
            REQUIRE(copy->write_file(path, bytes).ok());
            const auto set = open_set(*copy);
            if (set->runs() < runs.size()) ++told_;
            ask(*set, false);
            if (const auto merged = set->merge_step(klog::Time{INT64_MIN}); !merged.ok()) {
                REQUIRE(merged.error().code == klog::Code::corrupt);
            }
            ask(*set, false);
        }
    }

    std::mt19937_64 random_{20251129};
    klog::SimEnv env_{7};
    std::unique_ptr<RunSet> set_ = open_set(env_);
    Versions versions_;
    std::uint64_t operations_ = 0;
    std::uint64_t told_ = 0;
};

}  // namespace

TEST_CASE("runs: a million operations, with merges, crashes and damaged bytes, equal a map") {
    LongLife life;
    std::uint64_t rounds = 0;
    while (life.operations() < 1'000'000) life.round(++rounds);
    CHECK(life.told() > 100);
}

TEST_CASE("runs: a window to merge is always one") {
    CHECK(rc::check([] {
        const auto count = *rc::gen::inRange<std::size_t>(2, 20);
        const auto sizes = *rc::gen::container<std::vector<std::uint64_t>>(
            count, rc::gen::inRange<std::uint64_t>(0, 1ULL << 40U));
        const auto [first, last] = klog::merge_window(sizes);
        RC_ASSERT(first + 2 <= last);
        RC_ASSERT(last <= sizes.size());
    }));
}

TEST_CASE("runs: a header comes back as it was, and damaged bytes never as another one") {
    CHECK(rc::check([] {
        klog::RunHeader header;
        header.writer = "klog 0.1.0";
        header.number = *rc::gen::arbitrary<std::uint64_t>();
        header.covered_after = Seq{*rc::gen::inRange<std::uint64_t>(0, 1000)};
        header.covered_upto = Seq{*rc::gen::inRange<std::uint64_t>(1000, UINT64_MAX)};
        header.last_time = klog::Time{*rc::gen::arbitrary<std::int64_t>()};
        header.wal_id = *rc::gen::arbitrary<std::uint64_t>();
        header.file_bytes = klog::kRunHeaderBytes;
        for (klog::RunSection& section : header.sections) {
            section.entries_offset = section.starts_offset = section.filter_offset =
                klog::kRunHeaderBytes;
        }
        std::string bytes = klog::encode_run_header(header);
        const auto back = klog::decode_run_header(bytes, "p");
        RC_ASSERT(back.ok());
        RC_ASSERT(klog::encode_run_header(*back) == bytes);
        const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
        bytes[at] = static_cast<char>(bytes[at] ^ *rc::gen::inRange(1, 127));
        RC_ASSERT(!klog::decode_run_header(bytes, "p").ok());
    }));
}
