#include "index/wal_file_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "env/sim_env.h"
#include "index/index_verify.h"

namespace klog {
namespace {

const std::string kPath = "/wal/1.idx";
constexpr std::uint64_t kWalId = 12;
constexpr std::uint64_t kEnd = 40'000'000;

FilterSet filters(std::vector<std::string> yes, std::vector<std::string> no = {}) {
    auto set = FilterSet::parse(yes, no);
    REQUIRE(set.ok());
    return std::move(set).value();
}

struct SentFrame {
    Seq first_seq;
    std::uint32_t count;
    Time base_time;
    Time last_time;
    std::uint64_t offset;
    std::vector<std::uint32_t> entities;
};

// Few entities have close neighbours, many share their first byte.
std::uint32_t fingerprint(std::uint64_t entity) {
    return static_cast<std::uint32_t>(entity % 5 << 29U | entity);
}

// Frames of random sizes whose times often repeat.
std::vector<SentFrame> frames(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<SentFrame> out;
    std::uint64_t seq = 1000;
    std::int64_t time = -50;
    std::uint64_t offset = 4096;
    for (int i = 0; i < 300; ++i) {
        const auto count = static_cast<std::uint32_t>(1 + random() % 20);
        const Time base{time};
        time += static_cast<std::int64_t>(random() % 2);
        std::vector<std::uint32_t> entities;
        for (std::uint32_t n = 0; n < count; ++n) {
            if (random() % 8 != 0) entities.push_back(fingerprint(random() % 400));
        }
        out.push_back({Seq{seq}, count, base, Time{time}, offset, std::move(entities)});
        seq += count + random() % 3;  // another log's records stand between
        time += static_cast<std::int64_t>(random() % 2);
        offset += 64 + random() % 60'000;
    }
    return out;
}

WalFileIndex filled(const std::vector<SentFrame>& all) {
    WalFileIndex index;
    for (const SentFrame& frame : all) {
        index.add_frame(LogId::default_log, frame.first_seq, frame.count, frame.base_time,
                        frame.last_time, frame.offset, frame.entities);
    }
    return index;
}

// The offsets of the stretches that hold a frame with the entity and a seq >= from, by looking at
// every frame.
std::vector<std::uint64_t> scanned(const std::vector<SentFrame>& all, const WalLogIndex& index,
                                   std::uint32_t entity, Seq from) {
    std::set<std::uint64_t> offsets;
    for (const SentFrame& frame : all) {
        const auto& held = frame.entities;
        if (std::find(held.begin(), held.end(), entity) == held.end()) continue;
        const WalLogIndex::Point& point = index.point_of(frame.first_seq);
        const std::size_t number = static_cast<std::size_t>(&point - index.points.data());
        if (index.stretch(number).last_seq >= from) offsets.insert(point.offset);
    }
    return {offsets.begin(), offsets.end()};
}

std::vector<std::uint64_t> offsets_of(const std::vector<WalStretch>& stretches) {
    std::vector<std::uint64_t> offsets;
    for (const WalStretch& stretch : stretches) offsets.push_back(stretch.offset);
    return offsets;
}

struct Answers {
    int right = 0;  // what a scan finds
    int wrong = 0;
    int none = 0;  // the index does not tell
};

// What the index on disk says of every `step`th entity.
Answers ask(SimEnv& env, const std::vector<SentFrame>& all, std::uint64_t step) {
    const auto loaded = load_wal_file_index(env, kPath, kWalId, kEnd);
    const auto file = env.open(kPath, OpenMode::read);
    REQUIRE(loaded.has_value());
    REQUIRE(file.ok());
    const WalLogIndex& index = (*loaded)[1];
    Answers answers;
    for (std::uint64_t entity = 0; entity < 410; entity += step) {
        for (const Seq from : {Seq{1}, all[150].first_seq, index.last_seq}) {
            const std::array<std::uint32_t, 1> wanted{fingerprint(entity)};
            std::vector<WalStretch> found;
            if (!find_entities(**file, index, wanted, from, found)) {
                ++answers.none;
            } else if (offsets_of(found) == scanned(all, index, wanted[0], from)) {
                ++answers.right;
            } else {
                ++answers.wrong;
            }
        }
    }
    return answers;
}

bool finds_all(SimEnv& env, const std::vector<SentFrame>& all) {
    const Answers answers = ask(env, all, 1);
    return answers.right > 0 && answers.wrong == 0 && answers.none == 0;
}

}  // namespace

TEST_CASE("wal_file_index: an entity is found where a scan finds it, in memory and on disk") {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        CAPTURE(seed);
        SimEnv env(1);
        REQUIRE(env.create_dirs("/wal").ok());
        std::vector<SentFrame> all = frames(seed);
        if (seed % 2 == 1) {  // large enough for several pieces, and for runs that fill a page
            std::mt19937_64 random(seed);
            for (SentFrame& frame : all) {
                for (int n = 0; n < 200; ++n) frame.entities.push_back(fingerprint(random() % 7));
                for (int n = 0; n < 100; ++n) frame.entities.push_back(fingerprint(random() % 400));
            }
        }
        const WalFileIndex index = filled(all);
        const WalLogIndex& log = index.log(LogId::default_log);
        REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());
        CHECK(finds_all(env, all));
        for (std::uint64_t entity = 0; entity < 410; ++entity) {
            for (const Seq from : {Seq{1}, all[150].first_seq, log.last_seq}) {
                std::vector<WalStretch> found;
                const std::array<std::uint32_t, 1> wanted{fingerprint(entity)};
                index.entities(LogId::default_log).find(wanted, from, found);
                REQUIRE(offsets_of(found) == scanned(all, log, wanted[0], from));
                for (const WalStretch& stretch : found) {
                    const WalLogIndex::Point& point = log.point_of(stretch.first_seq);
                    CHECK(stretch.first_seq == point.first_seq);
                    const auto number = static_cast<std::size_t>(&point - log.points.data());
                    // Seqs between two frames are another log's.
                    CHECK(stretch.last_seq <= log.stretch(number).last_seq);
                    CHECK(stretch.last_seq >= point.first_seq);
                }
            }
        }
        // Two at once: each stretch once.
        std::vector<WalStretch> both;
        index.entities(LogId::default_log)
            .find(std::array{fingerprint(3), fingerprint(4)}, Seq{1}, both);
        std::vector<std::uint64_t> wanted = scanned(all, log, fingerprint(3), Seq{1});
        for (const std::uint64_t offset : scanned(all, log, fingerprint(4), Seq{1})) {
            wanted.push_back(offset);
        }
        std::sort(wanted.begin(), wanted.end());
        wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
        CHECK(offsets_of(both) == wanted);
    }
}

TEST_CASE("wal_file_index: 4 bytes a record, and little more") {
    EntityPoints points;
    std::mt19937_64 random(1);
    constexpr std::uint64_t kRecords = 400'000;
    for (std::uint64_t seq = 1; seq <= kRecords; seq += 256) {
        std::vector<std::uint32_t> entities(256);
        for (std::uint32_t& entity : entities) entity = static_cast<std::uint32_t>(random());
        points.add_frame(Seq{seq}, Seq{seq + 255}, seq * 130, true, entities);
    }
    CHECK(points.bytes() < kRecords * 5);
}

TEST_CASE("wal_file_index: one of the form before is not read, and is not damage") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/wal").ok());
    std::string header("KLOGWIX\x1a");
    put_fixed(header, std::uint32_t{1});  // format
    put_fixed(header, std::uint32_t{1});  // min_reader
    put_fixed(header, std::uint64_t{0});
    put_fixed(header, std::uint64_t{0});
    put_fixed(header, kWalId);
    put_fixed(header, kEnd);
    const std::string body(32, '\0');
    put_fixed(header, std::uint64_t{body.size()});
    put_fixed(header, crc32c(body));
    put_fixed(header, crc32c(header));
    REQUIRE(header.size() == 64);
    REQUIRE(env.write_file(kPath, header + body).ok());
    CHECK_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
    CHECK(verify_wal_file_index(env, kPath, {}).ok());
    REQUIRE(env.write_file(kPath, header + body + "x").ok());
    CHECK_FALSE(verify_wal_file_index(env, kPath, {}).ok());
}

TEST_CASE("wal_file_index: reading begins early enough, and not much earlier") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        CAPTURE(seed);
        const std::vector<SentFrame> all = frames(seed);
        const WalLogIndex index = filled(all).log(LogId::default_log);
        CHECK(index.points.size() > 50);
        CHECK(index.points.size() < 200);
        for (const SentFrame& frame : all) {
            const std::uint64_t at = index.offset_of(frame.first_seq);
            CHECK(at <= frame.offset);
            CHECK(frame.offset - at < WalFileIndex::kPointBytes + 120'128);
            CHECK(index.offset_of(Seq{frame.first_seq.value + frame.count - 1}) <= frame.offset);
        }
        for (std::int64_t time = -60; time < 400; ++time) {
            const std::uint64_t at = index.offset_of(Time{time});
            for (const SentFrame& frame : all) {
                if (frame.last_time >= Time{time}) {
                    CHECK(at <= frame.offset);
                    break;
                }
            }
        }
        CHECK(index.offset_of(Seq{0}) == 4096);
        CHECK(index.first_seq == all.front().first_seq);
        CHECK(index.last_seq.value == all.back().first_seq.value + all.back().count - 1);
        CHECK(index.first_time == all.front().base_time);
        CHECK(index.last_time == all.back().last_time);
    }
}

TEST_CASE("wal_file_index: comes back as it was written, also after a crash") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/wal").ok());
    WalFileIndex index = filled(frames(1));
    index.add_frame(LogId::system, Seq{5}, 1, Time{9}, Time{9}, 70'000, {});
    index.add_frame(LogId::system, Seq{6}, 0, Time{9}, Time{9}, 80'000, {});  // empty
    index.add_topic(LogId::system, "$klog/x", Seq{5});
    for (std::uint64_t n = 0; n < 500; ++n) {
        index.add_topic(LogId::default_log, "orders/" + std::to_string(n % 100), Seq{1000 + n});
    }
    index.add_topic(LogId::default_log, "é/ü", Seq{1500});
    REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());
    REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());  // replaces
    env.crash_lose_all();

    const auto loaded = load_wal_file_index(env, kPath, kWalId, kEnd);
    REQUIRE(loaded.has_value());
    const WalLogIndex& got = (*loaded)[1];
    const WalLogIndex wanted = index.log(LogId::default_log);
    REQUIRE(got.points.size() == wanted.points.size());
    for (std::size_t i = 0; i < got.points.size(); ++i) {
        CHECK(got.points[i].first_seq == wanted.points[i].first_seq);
        CHECK(got.points[i].base_time == wanted.points[i].base_time);
        CHECK(got.points[i].offset == wanted.points[i].offset);
    }
    CHECK(got.first_seq == wanted.first_seq);
    CHECK(got.last_seq == wanted.last_seq);
    CHECK(got.first_time == wanted.first_time);
    CHECK(got.last_time == wanted.last_time);
    REQUIRE(got.topics.size() == 101);
    CHECK(std::is_sorted(got.topics.begin(), got.topics.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; }));
    CHECK(got.topics[0].first == "orders/0");
    CHECK(got.topics[0].second == TopicCount{5, Seq{1000}, Seq{1400}});
    CHECK(got.topics.back().first == "é/ü");
    const WalLogIndex& system = (*loaded)[0];
    CHECK(system.points.size() == 1);
    CHECK(system.last_seq == Seq{5});
    CHECK(system.topics.size() == 1);
}

TEST_CASE("wal_file_index: another file's, a missing and a damaged one are told") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/wal").ok());
    const std::vector<SentFrame> all = frames(2);
    WalFileIndex index = filled(all);
    for (std::uint64_t n = 0; n < 50; ++n) {
        index.add_topic(LogId::default_log, "t/" + std::to_string(n), Seq{1000 + n});
    }
    CHECK_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
    REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());
    CHECK(finds_all(env, all));
    const std::uint64_t pages_at =
        (*load_wal_file_index(env, kPath, kWalId, kEnd))[1].entities.offset;
    CHECK_FALSE(load_wal_file_index(env, kPath, kWalId + 1, kEnd).has_value());
    CHECK_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd - 1).has_value());

    const std::string bytes = *env.read_file(kPath);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        CAPTURE(at);
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        REQUIRE(env.write_file(kPath, damaged).ok());
        if (at < pages_at) {
            REQUIRE_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
        } else if (at % 29 == 0) {  // a page of entities is checked when it is read
            const Answers answers = ask(env, all, 3);
            REQUIRE(answers.wrong == 0);
            REQUIRE(answers.none > 0);
        }
        REQUIRE(env.write_file(kPath, bytes.substr(0, at)).ok());
        REQUIRE_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
    }
    REQUIRE(env.write_file(kPath, bytes + "x").ok());
    CHECK_FALSE(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
}

TEST_CASE("wal_file_index: a crash or an error at any call leaves no index or a whole one") {
    const WalFileIndex index = filled(frames(3));
    for (const bool crash : {true, false}) {
        bool ok = false;
        for (std::uint64_t call = 1; !ok; ++call) {
            CAPTURE(call);
            SimEnv env(call);
            REQUIRE(env.create_dirs("/wal").ok());
            if (crash) {
                env.crash_at_call(env.calls() + call);
            } else {
                env.inject({.kinds = {}, .skip = call - 1});
            }
            ok = index.write(env, kPath, kWalId, kEnd).ok();
            if (crash) env.crash();
            env.clear_faults();
            const auto loaded = load_wal_file_index(env, kPath, kWalId, kEnd);
            if (ok) CHECK(loaded.has_value());
            if (loaded) CHECK((*loaded)[1].last_seq == index.log(LogId::default_log).last_seq);
            REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());
            CHECK(load_wal_file_index(env, kPath, kWalId, kEnd).has_value());
            REQUIRE(call < 50);
        }
    }
}

TEST_CASE("wal_file_index: what may match is told by the topics") {
    WalLogIndex index;
    CHECK_FALSE(index.may_match(filters({">"})));  // nothing of this log is here
    index.first_seq = Seq{1};
    CHECK(index.may_match(filters({"a/b"})));  // topics are not known
    for (const char* topic : {"$klog/x", "orders/1/done", "orders/2/made", "ordinary", "z/é/1"}) {
        index.topics.emplace_back(topic, TopicCount{1, Seq{1}, Seq{1}});
    }
    CHECK(index.may_match(filters({})));
    CHECK(index.may_match(filters({">"})));
    CHECK(index.may_match(filters({"orders/*/done"})));
    CHECK(index.may_match(filters({"orders/2/>"})));
    CHECK(index.may_match(filters({"*/2/made"})));
    CHECK(index.may_match(filters({"ord*"})));
    CHECK(index.may_match(filters({"$klog/>"})));
    CHECK(index.may_match(filters({"nothing", "z/é/*"})));
    CHECK_FALSE(index.may_match(filters({"orders/3/>"})));
    CHECK_FALSE(index.may_match(filters({"orders"})));
    CHECK_FALSE(index.may_match(filters({"a/>", "zz/>"})));
    CHECK_FALSE(index.may_match(filters({"orders/>"}, {"orders/#"})));
    CHECK(index.may_match(filters({"orders/>"}, {"orders/1/*"})));
    index.topics.resize(1);
    CHECK_FALSE(index.may_match(filters({">"})));  // which klog's own topics do not match
}

TEST_CASE("wal_file_index: too many topics are not named, and anything may match") {
    for (const std::size_t more : {0U, 1U}) {
        SimEnv env(1);
        REQUIRE(env.create_dirs("/wal").ok());
        WalFileIndex index;
        const std::size_t topics = WalFileIndex::kTopicsMax + more;
        index.add_frame(LogId::default_log, Seq{1}, static_cast<std::uint32_t>(topics), Time{1},
                        Time{1}, 4096, {});
        for (std::size_t i = 0; i < topics; ++i) {
            index.add_topic(LogId::default_log, "t/" + std::to_string(i), Seq{i + 1});
        }
        index.add_topic(LogId::default_log, "t/1", Seq{topics});
        REQUIRE(index.write(env, kPath, kWalId, kEnd).ok());
        const auto loaded = load_wal_file_index(env, kPath, kWalId, kEnd);
        REQUIRE(loaded);
        const WalLogIndex& log = loaded->at(static_cast<std::size_t>(LogId::default_log));
        CHECK(log.topics.size() == (more == 0 ? topics : 0));
        CHECK(log.last_seq == Seq{topics});
        CHECK(log.may_match(filters({"other/>"})) == (more != 0));
        CHECK(log.may_match(filters({"t/7"})));
    }
}

}  // namespace klog
