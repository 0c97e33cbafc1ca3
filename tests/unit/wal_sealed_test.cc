// A WAL of which the oldest files are sealed.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "segment/clean_marker.h"
#include "tests/support/sealed_wal.h"

using namespace klog;
using namespace klog::testing;

namespace {

constexpr std::size_t kValueBytes = WalWorkload::kValueBytes;

Error open_error(Env& env) {
    auto opened = open_with_set(env);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == Code::corrupt);
    CHECK(opened.error().hint.find("copy") != std::string::npos);
    return std::move(opened).error();
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// Empty, or what is wrong: the set and the WAL together hold each seq up to the last once.
std::string broken_whole(Env& env, std::uint64_t last_seq) {
    auto opened = open_with_set(env);
    if (!opened.ok()) return opened.error().message;
    const LogContents contents = read_log(*opened->wal, kValueBytes);
    if (!contents.error.empty()) return contents.error;
    const SegmentSetState set = read_set(env);
    std::uint64_t upto = set.logs[1].empty() ? 0 : set.logs[1].back().covered.last.value;
    for (const std::uint64_t seq : contents.seqs) {
        if (seq != upto + 1)
            return "seq " + std::to_string(seq) + " behind " + std::to_string(upto);
        upto = seq;
    }
    return upto == last_seq ? "" : "the log ends at seq " + std::to_string(upto);
}

}  // namespace

TEST_CASE("wal sealed: a closed file says where its chain ends, as its successor's header does") {
    LivingWal living(4);
    const std::vector<WalFileInfo> files = living.wal->files();
    for (std::size_t i = 0; i + 1 < files.size(); ++i) {
        CHECK(files[i].closed);
        CHECK(files[i].end == files[i + 1].header.previous_end);
        CHECK(files[i].chain == files[i + 1].header.previous_chain);
    }
    CHECK_FALSE(files.back().closed);
    CHECK(files.back().chain == 0);
}

TEST_CASE("wal sealed: what is dropped is gone, what is open stays readable, the log goes on") {
    LivingWal living(5);
    Wal& wal = *living.wal;
    REQUIRE(seal(living.env, wal, 2).ok());
    const auto reader = wal.open_file(1, kWalFileHeaderBytes);
    REQUIRE(reader.ok());
    const SegmentSetState set = read_set(living.env);
    REQUIRE(wal.drop_sealed(set.sealed).ok());
    CHECK(wal.files().front().header.wal_id == 3);
    CHECK(wal.stats().wal_files == 3);
    CHECK_FALSE(*living.env.exists(wal_path(1)));
    CHECK_FALSE(*living.env.exists(wal_path(2)));
    CHECK(wal.open_file(2, kWalFileHeaderBytes).error().code == Code::not_found);
    REQUIRE(reader.value()->next().ok());
    // The removal is durable, and nothing happens twice.
    const auto lost = living.env.clone(1);
    lost->crash_lose_all();
    CHECK_FALSE(*lost->exists(wal_path(1)));
    const std::uint64_t calls = living.env.calls();
    REQUIRE(wal.drop_sealed(set.sealed).ok());
    CHECK(living.env.calls() == calls);

    const std::uint64_t newest = wal.files().back().header.wal_id;
    while (wal.files().back().header.wal_id == newest) living.commit();
    CHECK(wal.files().back().header.wal_id == newest + 1);
    CHECK(read_log(wal, kValueBytes).seqs.back() == living.last_seq);
    living.die();
    CHECK(broken_whole(living.env, living.last_seq) == "");
}

TEST_CASE("wal sealed: only closed files that end as the set says are dropped") {
    LivingWal living(3);
    Wal& wal = *living.wal;
    const WalFileInfo second = wal.files()[1];
    const SealedUpto right{2, second.end, second.chain};
    SealedUpto wrong = right;
    wrong.chain ^= 1U;
    CHECK(wal.drop_sealed(wrong).error().code == Code::bug);
    wrong = right;
    wrong.end += 8;
    CHECK(wal.drop_sealed(wrong).error().code == Code::bug);
    CHECK(wal.drop_sealed({3, wal.end().offset, 0}).error().code == Code::bug);
    CHECK(wal.drop_sealed({4, right.end, right.chain}).error().code == Code::bug);
    CHECK(wal.drop_sealed({}).ok());
    CHECK(wal.files().size() == 3);
    CHECK(*living.env.exists(wal_path(1)));
    CHECK(wal.drop_sealed(right).ok());
    CHECK(wal.files().size() == 1);
}

TEST_CASE("wal sealed: what cannot be removed is forgotten, and removed the next time") {
    LivingWal living(4);
    REQUIRE(seal(living.env, *living.wal, 3).ok());
    const SealedUpto sealed = read_set(living.env).sealed;
    living.env.inject({.kinds = {SimCall::remove, SimCall::rename}, .path_part = wal_file_name(2)});
    CHECK(living.wal->drop_sealed(sealed).error().code == Code::io);
    CHECK(living.wal->files().size() == 1);
    CHECK_FALSE(*living.env.exists(wal_path(1)));
    CHECK(*living.env.exists(wal_path(2)));
    CHECK_FALSE(*living.env.exists(wal_path(3)));
    CHECK(living.wal->drop_sealed(sealed).ok());
    CHECK_FALSE(*living.env.exists(wal_path(2)));
}

TEST_CASE("wal sealed: files that a crash left behind their edit are void") {
    for (const bool close : {false, true}) {
        // Each subset of the three, as removals become durable one by one; and whatever they hold.
        for (unsigned there = 0; there < 8; ++there) {
            SealedWal store(5, 3, close);
            for (std::uint64_t id = 1; id <= 3; ++id) {
                if ((there & (1U << (id - 1))) == 0) {
                    REQUIRE(store.env.remove(wal_path(id)).ok());
                } else if (there % 2 == 0) {
                    REQUIRE(store.env.write_file(wal_path(id), "no header").ok());
                }
            }
            auto opened = open_with_set(store.env);
            REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().message));
            CHECK(opened->report.clean == close);
            CHECK(opened->report.notices.empty());
            CHECK(opened->wal->files().front().header.wal_id == 4);
            CHECK(opened->wal->files().back().header.wal_id == 6);
            CHECK(read_log(*opened->wal, kValueBytes).seqs == store.left());
            for (std::uint64_t id = 1; id <= 3; ++id) CHECK_FALSE(*store.env.exists(wal_path(id)));
        }
    }
}

TEST_CASE("wal sealed: a void file that cannot be removed is a notice, and goes later") {
    SealedWal store(4, 2);
    store.env.inject({.kinds = {SimCall::remove}, .path_part = wal_file_name(1)});
    auto opened = open_with_set(store.env);
    REQUIRE(opened.ok());
    REQUIRE(opened->report.notices.size() == 1);
    CHECK(has(opened->report.notices[0], wal_path(1)));
    CHECK(read_log(*opened->wal, kValueBytes).seqs == store.left());
    CHECK(*store.env.exists(wal_path(1)));
    CHECK(opened->wal->drop_sealed(read_set(store.env).sealed).ok());
    CHECK_FALSE(*store.env.exists(wal_path(1)));
}

TEST_CASE("wal sealed: void files go first, so that a full disk has room for a new file") {
    SealedWal store(5, 3, true);
    for (const std::string& path : store.env.files()) {
        if (has(path, "/spare-")) REQUIRE(store.env.remove(path).ok());
    }
    REQUIRE(store.env.sync_dir("/data/wal").ok());
    store.env.set_capacity(store.env.used_bytes());
    auto opened = open_with_set(store.env);
    REQUIRE(opened.ok());
    CHECK(opened->wal->stats().writable);
}

TEST_CASE("wal sealed: a gap between the set and the oldest file is named") {
    SealedWal store(5, 2, true);
    const auto env = store.env.clone(1);
    REQUIRE(env->remove(wal_path(3)).ok());
    CHECK(has(open_error(*env).message,
              "the set of segments ends with WAL file 2, the oldest file left is 4"));
    // Nothing was done about it.
    CHECK(*env->exists(wal_path(1)));
    for (std::uint64_t id = 4; id <= 5; ++id) REQUIRE(env->remove(wal_path(id)).ok());
    CHECK(has(open_error(*env).message,
              "the set of segments ends with WAL file 2, and no newer file is there"));
    // Nor is it taken for a new store where all is gone but the set.
    for (const std::string& path : env->files()) {
        if (!has(path, "/seg/")) REQUIRE(env->remove(path).ok());
    }
    CHECK(has(open_error(*env).message, "no newer file is there"));
}

TEST_CASE("wal sealed: a set without its files, and files without their set, stop the start") {
    SealedWal store(5, 2);
    REQUIRE(open_with_set(store.env).ok());
    store.env.crash_lose_all();
    const auto env = store.env.clone(1);
    REQUIRE(env->remove("/data/seg/manifest").ok());
    const Error error = open_error(*env);
    CHECK(has(error.message, wal_file_name(3)));
    CHECK(has(error.message, "seg/manifest"));
    // An older set, as from a copy of yesterday.
    SegmentSetState older = read_set(store.env);
    older.sealed.wal_id = 1;
    CHECK(has(Wal::open(store.env, workload_options(), older).error().message,
              "ends with WAL file 1, the oldest file left is 3"));
}

TEST_CASE("wal sealed: the oldest file must follow on what is sealed, in the same store") {
    SealedWal store(4, 2);
    const auto message = [&](const auto& change) {
        SegmentSetState set = read_set(store.env);
        change(set);
        const auto env = store.env.clone(1);
        const auto opened = Wal::open(*env, workload_options(), set);
        if (opened.ok()) return std::string();
        CHECK(opened.error().code == Code::corrupt);
        CHECK(*env->exists(wal_path(1)));
        return opened.error().message;
    };
    using State = SegmentSetState;
    CHECK(message([](State&) {}).empty());
    CHECK(has(message([](State& s) { s.sealed.chain ^= 1U; }), "with another content"));
    CHECK(has(message([](State& s) { s.sealed.end += 8; }), "before it ends at"));
    CHECK(has(message([](State& s) { s.store_uuid[0] ^= 1; }), "different stores"));
    CHECK(has(message([](State& s) { s.hash_key[0] ^= 1; }), "different stores"));
    // A set without sealed files, of another store.
    CHECK(has(message([](State& s) {
                  s.sealed = {};
                  s.store_uuid[0] ^= 1;
              }),
              "different stores"));
}

TEST_CASE("wal sealed: a set that is older than a clean stop saw it was lost or put back") {
    LivingWal living(3);
    REQUIRE(seal(living.env, *living.wal, 1).ok());
    const auto before = *living.env.read_file("/data/seg/manifest");
    REQUIRE(living.wal->drop_sealed(read_set(living.env).sealed).ok());
    // An edit that seals nothing, such as a merge.
    SegmentSetState merged = read_set(living.env);
    merged.logs[1][0].generation = 1;
    REQUIRE(apply_set(living.env, merged).ok());
    REQUIRE(living.wal->close({1, living.last_seq + 1}, 2).ok());
    living.die();
    CHECK(decode_clean_marker(*living.env.read_file("/data/wal/clean"), "m")->manifest_number == 2);

    const auto old = living.env.clone(1);
    REQUIRE(old->write_file("/data/seg/manifest", before).ok());
    const Error error = open_error(*old);
    CHECK(has(error.message, "the number 2"));
    CHECK(has(error.message, "the number 1"));
    // It counts from there on, also once the marker is stale.
    REQUIRE(open_with_set(living.env).ok());
    living.env.crash_lose_all();
    REQUIRE(open_with_set(living.env).ok());
    REQUIRE(living.env.write_file("/data/seg/manifest", before).ok());
    CHECK(has(open_error(living.env).message, "the number 1"));
}

TEST_CASE("wal sealed: a set that is gone after a clean stop is missed") {
    LivingWal living(1);
    REQUIRE(seal(living.env, *living.wal, 0).ok());
    REQUIRE(living.wal->close({1, living.last_seq + 1}, 1).ok());
    living.die();
    REQUIRE(living.env.remove("/data/seg/manifest").ok());
    CHECK(has(open_error(living.env).message, "now there is none"));
}

TEST_CASE("wal sealed: whatever call the power goes at, each record is there once") {
    for (int first_end = 0; first_end < 4; ++first_end) {
        std::uint64_t calls = 0;
        for (std::uint64_t call = 1; calls == 0 || call <= calls + 1; ++call) {
            for (int second_end = 0; second_end < 4; ++second_end) {
                CAPTURE(first_end);
                CAPTURE(call);
                CAPTURE(second_end);
                LivingWal living(4, call);
                SimEnv& env = living.env;
                const SegmentSetState next = sealed_set(*living.wal, read_set(env), 2);
                const std::uint64_t begun = env.calls();
                env.crash_at_call(begun + call);
                Status done = apply_set(env, next);
                if (done.ok()) done = living.wal->drop_sealed(next.sealed);
                if (done.ok()) calls = env.calls() - begun;
                living.wal.reset();
                const auto end = [&env](int how) {
                    if (how == 0) env.crash();
                    if (how == 1) env.crash_lose_all();
                    if (how == 2) env.crash_keep_all();
                    if (how == 3) env.kill();
                };
                end(first_end);
                // What a start removes must not be needed once the power goes behind it.
                REQUIRE(broken_whole(env, living.last_seq) == "");
                end(second_end);
                REQUIRE(broken_whole(env, living.last_seq) == "");
            }
        }
    }
}

namespace {

std::size_t spares_of(const SimEnv& env) {
    const std::vector<std::string> files = env.files();
    return static_cast<std::size_t>(std::count_if(
        files.begin(), files.end(), [](const std::string& path) { return has(path, "/spare-"); }));
}

}  // namespace

TEST_CASE("wal sealed: a dropped file becomes a spare, and the next file of the log") {
    LivingWal living(5);
    Wal& wal = *living.wal;
    const SegmentSetState set = sealed_set(wal, read_set(living.env), 4);
    REQUIRE(apply_set(living.env, set).ok());
    REQUIRE(spares_of(living.env) == 2);
    REQUIRE(wal.drop_sealed(set.sealed).ok());
    CHECK(spares_of(living.env) == 3);  // the others were removed
    for (std::uint64_t id = 1; id <= 4; ++id) CHECK_FALSE(*living.env.exists(wal_path(id)));
    const std::uint64_t created = living.env.calls(SimCall::create);
    const std::uint64_t next = wal.files().back().header.wal_id + 1;
    while (wal.files().back().header.wal_id < next) living.commit();
    CHECK(living.env.calls(SimCall::create) == created);
    // Behind the few frames of its own it holds old ones, sound in themselves.
    const std::string bytes = *living.env.read_file(wal_path(next));
    const std::size_t old = bytes.find("KFRM", static_cast<std::size_t>(wal.files().back().end));
    REQUIRE(old != std::string::npos);
    std::uint64_t wal_id = 0;
    std::memcpy(&wal_id, bytes.data() + old + 24, sizeof wal_id);
    CHECK((wal_id >= 1 && wal_id <= 4));
    living.wal.reset();
    for (const bool clean_disk : {true, false}) {
        const auto after = living.env.clone(7);
        if (clean_disk) after->kill();
        if (!clean_disk) after->crash();
        CHECK(broken_whole(*after, living.last_seq) == "");
    }
}

TEST_CASE("wal sealed: a full disk is no reason not to drop a file") {
    LivingWal living(5);
    const SegmentSetState set = sealed_set(*living.wal, read_set(living.env), 4);
    REQUIRE(apply_set(living.env, set).ok());
    living.env.set_capacity(living.env.used_bytes());
    CHECK(living.wal->drop_sealed(set.sealed).ok());
    CHECK(spares_of(living.env) == 3);
    const std::uint64_t calls = living.env.calls();
    CHECK(living.wal->drop_sealed(set.sealed).ok());
    CHECK(living.env.calls() == calls);  // nothing is left to be removed
    living.commit();
    living.die();
    CHECK(broken_whole(living.env, living.last_seq) == "");
}

TEST_CASE("wal sealed: a file that somebody reads becomes no spare, and stays as it was") {
    LivingWal living(5);
    Wal& wal = *living.wal;
    const SegmentSetState set = sealed_set(wal, read_set(living.env), 4);
    std::vector<std::uint64_t> expected;
    std::vector<std::unique_ptr<WalFrameReader>> readers;
    for (std::uint64_t id = 1; id <= 4; ++id) {
        const std::vector<std::uint64_t> seqs = seqs_of(wal, id);
        expected.insert(expected.end(), seqs.begin(), seqs.end());
        auto reader = wal.open_file(id, kWalFileHeaderBytes);
        REQUIRE(reader.ok());
        readers.push_back(std::move(reader).value());
    }
    REQUIRE(apply_set(living.env, set).ok());
    REQUIRE(wal.drop_sealed(set.sealed).ok());
    const std::size_t spares = spares_of(living.env);
    const std::uint64_t newest = wal.files().back().header.wal_id;
    while (wal.files().back().header.wal_id < newest + 3) living.commit();
    LogContents contents;
    for (const auto& reader : readers) {
        while (true) {
            const auto frame = reader->next();
            REQUIRE_MESSAGE(frame.ok(), frame.error().message);
            if (!frame.value()) break;
            read_frame(*frame.value(), kValueBytes, contents);
        }
    }
    CHECK(contents.error == "");
    CHECK(contents.seqs == expected);
    CHECK(spares == 2);
}

TEST_CASE("wal sealed: whatever call the power goes at while a dropped file is used again") {
    for (int how = 0; how < 4; ++how) {
        bool whole = false;
        for (std::uint64_t call = 1; !whole; ++call) {
            CAPTURE(how);
            CAPTURE(call);
            LivingWal living(4, call);
            SimEnv& env = living.env;
            REQUIRE(seal(env, *living.wal, 3).ok());
            const SealedUpto sealed = read_set(env).sealed;
            env.crash_at_call(env.calls() + call);
            whole = living.wal->drop_sealed(sealed).ok();
            const std::uint64_t next = living.wal->files().back().header.wal_id + 1;
            while (living.wal->files().back().header.wal_id < next) {
                Frame frame = numbered_frame(living.last_seq + 1, 1, kValueBytes);
                if (commit_one(*living.wal, frame).outcome != CommitOutcome::durable) break;
                ++living.last_seq;
            }
            whole = whole && living.wal->files().back().header.wal_id == next;
            living.wal.reset();
            if (how == 0) env.crash();
            if (how == 1) env.crash_lose_all();
            if (how == 2) env.crash_keep_all();
            if (how == 3) env.kill();
            const std::string broken = broken_whole(env, living.last_seq);
            // A group that was not acknowledged may be there all the same.
            const bool more =
                broken == "the log ends at seq " + std::to_string(living.last_seq + 1);
            REQUIRE_MESSAGE((broken.empty() || more), broken);
        }
    }
}

TEST_CASE("wal sealed: whatever call fails while files are dropped, each record is there once") {
    for (const Code code : {Code::io, Code::disk_full}) {
        for (std::uint64_t call = 0;; ++call) {
            CAPTURE(call);
            LivingWal living(5, call + 1);
            const SegmentSetState next = sealed_set(*living.wal, read_set(living.env), 3);
            living.env.inject({.skip = call, .code = code});
            Status done = apply_set(living.env, next);
            if (done.ok()) done = living.wal->drop_sealed(next.sealed);
            living.env.clear_faults();
            living.commit();
            living.wal.reset();
            living.env.crash();
            REQUIRE(broken_whole(living.env, living.last_seq) == "");
            if (living.env.calls_failed() == 0) break;  // behind the last one
        }
    }
}

TEST_CASE("wal sealed: files are dropped and read concurrently with commits") {
    LivingWal living(2);
    Wal& wal = *living.wal;
    std::atomic<int> drops{0};
    std::atomic<std::uint64_t> reads{0};
    // It reads each file to its end, whatever becomes of the file meanwhile.
    std::jthread reading([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            for (const WalFileInfo& file : wal.files()) {
                const auto reader = wal.open_file(file.header.wal_id, kWalFileHeaderBytes);
                if (!reader.ok()) {
                    CHECK(reader.error().code == Code::not_found);
                    continue;
                }
                for (bool end = false; !end; ++reads) {
                    const auto frame = reader.value()->next();
                    CHECK(frame.ok());
                    end = !frame.ok() || !frame.value();
                }
            }
        }
    });
    std::jthread preparing([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            CHECK(wal.prepare_spares().ok());
            std::this_thread::yield();
        }
    });
    std::jthread sealer([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const std::vector<WalFileInfo> files = wal.files();
            for (const WalFileInfo& file : files) {
                const auto reader = wal.open_file(file.header.wal_id, kWalFileHeaderBytes);
                CHECK((reader.ok() && reader.value()->next().ok()));
            }
            if (files.size() < 3) continue;
            const WalFileInfo& last = files[files.size() - 2];
            CHECK(wal.drop_sealed({last.header.wal_id, last.end, last.chain}).ok());
            ++drops;
        }
    });
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (drops < 10 && std::chrono::steady_clock::now() < limit) {
        if (wal.files().size() < 6) {
            living.commit();
        } else {
            std::this_thread::yield();
        }
    }
    sealer.request_stop();
    sealer.join();
    const std::vector<WalFileInfo> files = wal.files();
    CHECK(drops >= 10);
    CHECK(reads > 0);
    CHECK(files.size() < files.back().header.wal_id);
}
