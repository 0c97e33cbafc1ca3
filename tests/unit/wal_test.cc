#include "segment/wal.h"

#include <doctest/doctest.h>

#include <thread>

#include "env/sim_env.h"
#include "tests/support/wal_testing.h"

using namespace klog;
using namespace klog::testing;

namespace {

WalOptions small_options() {
    WalOptions options;
    options.dir = "/data";
    options.first_file_bytes = 16 << 10;
    options.file_bytes = 64 << 10;
    options.writer = "klog test";
    return options;
}

std::unique_ptr<Wal> open_wal(Env& env, const WalOptions& options = small_options()) {
    auto opened = Wal::open(env, options, {});
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().message));
    return std::move(opened.value().wal);
}

std::vector<std::uint64_t> seqs_to(std::uint64_t last) {
    std::vector<std::uint64_t> seqs;
    for (std::uint64_t seq = 1; seq <= last; ++seq) seqs.push_back(seq);
    return seqs;
}

void commit_up_to(Wal& wal, std::uint64_t first, std::uint64_t last, std::size_t value_bytes = 0) {
    for (std::uint64_t seq = first; seq <= last; ++seq) {
        Frame frame = numbered_frame(seq, 1, value_bytes);
        const CommitResult result = commit_one(wal, frame);
        REQUIRE_MESSAGE(result.outcome == CommitOutcome::durable,
                        (result.error ? result.error->message : ""));
    }
}

std::size_t spare_count(const SimEnv& env) {
    std::size_t count = 0;
    for (const std::string& path : env.files()) count += path.find("/spare-") != path.npos;
    return count;
}

}  // namespace

TEST_CASE("wal: a new store has one file, one spare, and no frame") {
    SimEnv env(1);
    auto opened = Wal::open(env, small_options(), {});
    REQUIRE(opened.ok());
    CHECK(opened->created);
    CHECK(opened->report.clean);
    CHECK(opened->wal->end() == WalPosition{1, kWalFileHeaderBytes});
    CHECK(opened->wal->incarnation() == 1);
    REQUIRE(opened->wal->files().size() == 1);
    CHECK(opened->wal->files()[0].header.writer == "klog test");
    CHECK(spare_count(env) == 1);
    CHECK(read_log(*opened->wal).seqs.empty());
}

TEST_CASE("wal: a group is one write and one sync, and comes back in order") {
    SimEnv env(2);
    const auto wal = open_wal(env);
    Frame first = numbered_frame(1, 3);
    Frame second = numbered_frame(4, 2, 0, LogId::system);
    Frame* const frames[] = {&first, &second};
    const std::uint64_t writes = env.calls(SimCall::write);
    const std::uint64_t syncs = env.calls(SimCall::sync);
    CHECK(wal->commit(frames).outcome == CommitOutcome::durable);
    CHECK(env.calls(SimCall::write) == writes + 1);
    CHECK(env.calls(SimCall::sync) == syncs + 1);
    CHECK(second.header.offset == first.header.offset + first.header.total_bytes());
    CHECK(second.header.offset % kFrameAlignment == 0);
    CHECK(second.header.synced_upto == first.header.offset);
    CHECK(second.header.prev_crc == first.header.header_crc);
    CHECK(wal->end().offset == second.header.offset + second.header.total_bytes());
    const LogContents contents = read_log(*wal);
    CHECK(contents.error == "");
    CHECK(contents.seqs == seqs_to(5));
}

TEST_CASE("wal: what is committed survives the loss of all that is not synced") {
    SimEnv env(3);
    auto wal = open_wal(env);
    commit_up_to(*wal, 1, 3);
    wal.reset();
    env.crash_lose_all();
    auto opened = Wal::open(env, small_options(), {});
    REQUIRE(opened.ok());
    CHECK_FALSE(opened->created);
    CHECK_FALSE(opened->report.clean);
    CHECK(opened->wal->incarnation() == 2);
    CHECK(opened->report.bytes_carried_over > 0);
    CHECK(read_log(*opened->wal).seqs == seqs_to(3));
    commit_up_to(*opened->wal, 4, 5);
    CHECK(read_log(*opened->wal).seqs == seqs_to(5));
}

TEST_CASE("wal: a clean stop leaves a marker, and nothing is carried over") {
    SimEnv env(4);
    auto wal = open_wal(env);
    const StoreUuid uuid = wal->store_uuid();
    wal->set_settings_checkpoint(LogId::default_log, Seq{2});
    commit_up_to(*wal, 1, 2);
    REQUIRE(wal->close({7, 3}, 0).ok());
    Frame late = numbered_frame(3);
    const CommitResult refused = commit_one(*wal, late);
    CHECK(refused.outcome == CommitOutcome::absent);
    CHECK(refused.error->code == Code::stopping);
    wal.reset();
    env.crash_lose_all();
    auto opened = Wal::open(env, small_options(), {});
    REQUIRE(opened.ok());
    CHECK(opened->report.clean);
    CHECK(opened->report.bytes_carried_over == 0);
    REQUIRE(opened->clean_next_seqs.has_value());
    CHECK((*opened->clean_next_seqs)[0] == 7);
    CHECK((*opened->clean_next_seqs)[1] == 3);
    CHECK(opened->wal->store_uuid() == uuid);
    CHECK(opened->wal->end() == WalPosition{2, kWalFileHeaderBytes});
    CHECK(read_log(*opened->wal).seqs == seqs_to(2));
    // The marker is stale from here on.
    opened->wal.reset();
    env.kill();
    auto again = Wal::open(env, small_options(), {});
    REQUIRE(again.ok());
    CHECK_FALSE(again->report.clean);
    CHECK_FALSE(again->clean_next_seqs.has_value());
}

TEST_CASE("wal: a full file is closed at its end and the next one begins") {
    SimEnv env(5);
    auto wal = open_wal(env);
    std::vector<std::uint64_t> closed;
    wal->on_file_closed([&closed](std::uint64_t id) { closed.push_back(id); });
    auto early = wal->open_file(1, kWalFileHeaderBytes);
    REQUIRE(early.ok());
    wal->set_settings_checkpoint(LogId::system, Seq{9});
    commit_up_to(*wal, 1, 60, 1000);
    const auto files = wal->files();
    REQUIRE(files.size() > 3);
    CHECK(closed.size() == files.size() - 1);
    CHECK(closed.front() == 1);
    for (std::size_t i = 0; i + 1 < files.size(); ++i) {
        CHECK(files[i].closed);
        CHECK(env.read_file(files[i].path)->size() == files[i].end);
        CHECK(files[i + 1].header.previous_end == files[i].end);
        CHECK(files[i + 1].header.salt != files[i].header.salt);
        CHECK(files[i + 1].header.settings_checkpoint[0] == 9);
    }
    CHECK(read_log(*wal, 1000).seqs == seqs_to(60));
    CHECK(early.value()->next().ok());  // opened before the file had frames: it ends at once
    CHECK(wal->stats().wal_files == files.size());
    wal.reset();
    env.crash_lose_all();
    CHECK(read_log(*open_wal(env), 1000).seqs == seqs_to(60));
}

TEST_CASE("wal: a reader that is open stays right when its file is closed and cut") {
    SimEnv env(6);
    const auto wal = open_wal(env);
    commit_up_to(*wal, 1, 8, 1000);
    auto reader = wal->open_file(1, kWalFileHeaderBytes);
    REQUIRE(reader.ok());
    commit_up_to(*wal, 9, 40, 1000);
    LogContents contents;
    while (true) {
        const auto frame = reader.value()->next();
        REQUIRE(frame.ok());
        if (!frame.value()) break;
        read_frame(*frame.value(), 1000, contents);
    }
    CHECK(contents.seqs == seqs_to(8));
}

TEST_CASE("wal: a group larger than a file gets one that is long enough, and so does the spare") {
    SimEnv env(7);
    auto wal = open_wal(env);
    commit_up_to(*wal, 1, 1);
    Frame big = numbered_frame(2, 100, 3000);
    REQUIRE(commit_one(*wal, big).outcome == CommitOutcome::durable);
    CHECK(wal->files().size() == 2);
    // A crash right behind it needs a spare that takes all of it, also on a full disk.
    wal.reset();
    env.crash_lose_all();
    env.set_capacity(env.used_bytes());
    auto opened = Wal::open(env, small_options(), {});
    REQUIRE(opened.ok());
    CHECK(opened->report.bytes_carried_over >= 300'000);
}

TEST_CASE("wal: the idle mark is written once and raises the watermark") {
    SimEnv env(8);
    auto wal = open_wal(env);
    const auto end = wal->end();
    CHECK(wal->mark_idle().outcome == CommitOutcome::durable);
    CHECK(wal->end() == end);  // there is nothing to cover
    commit_up_to(*wal, 1, 1);
    CHECK(wal->mark_idle().outcome == CommitOutcome::durable);
    const auto marked = wal->end();
    CHECK(marked.offset > end.offset + 2 * kFrameHeaderBytes);
    CHECK(wal->mark_idle().outcome == CommitOutcome::durable);
    CHECK(wal->end() == marked);
    // Damage to the record is told apart from a torn tail now.
    wal.reset();
    env.kill();
    REQUIRE(env.flip("/data/wal/00000000000000000001.wal", kWalFileHeaderBytes + 9).ok());
    const auto opened = Wal::open(env, small_options(), {});
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == Code::corrupt);
}

TEST_CASE("wal: spares are made in the background and grow with the files") {
    SimEnv env(9);
    auto wal = open_wal(env);
    CHECK(wal->spares_wanted());
    REQUIRE(wal->prepare_spares().ok());
    CHECK_FALSE(wal->spares_wanted());
    CHECK(spare_count(env) == 2);
    commit_up_to(*wal, 1, 10, 1000);  // past the half
    CHECK(wal->spares_wanted());
    REQUIRE(wal->prepare_spares().ok());
    CHECK(spare_count(env) == 2);
    for (const std::string& path : env.files()) {
        if (path.find("/spare-") == path.npos) continue;
        CHECK(env.read_file(path)->size() == small_options().file_bytes);
    }
    const std::uint64_t creates = env.calls(SimCall::create);
    commit_up_to(*wal, 11, 30, 1000);
    CHECK(wal->files().size() == 2);
    CHECK(env.calls(SimCall::create) == creates);  // rotation found its spares
}

TEST_CASE("wal: spares are filled with zeros for small groups, and not for large ones") {
    constexpr std::uint64_t kFileBytes = 4 << 20;
    constexpr std::uint64_t kFrames = 20;
    SimEnv env(9);
    WalOptions options = small_options();
    options.first_file_bytes = kFileBytes;
    options.file_bytes = kFileBytes;
    auto wal = open_wal(env, options);
    std::uint64_t seq = 1;
    // How often the disk was asked to sync for the spares that one more file of groups leads to.
    const auto syncs_for_spares = [&](std::size_t value_bytes) {
        REQUIRE(wal->prepare_spares().ok());
        const std::size_t files = wal->files().size();
        for (std::uint64_t end = seq + kFrames; seq < end || wal->files().size() == files; ++seq) {
            Frame frame = numbered_frame(seq, 1, value_bytes);
            REQUIRE(commit_one(*wal, frame).outcome == CommitOutcome::durable);
        }
        REQUIRE(wal->spares_wanted());
        const std::uint64_t before = env.calls(SimCall::sync);
        REQUIRE(wal->prepare_spares().ok());
        CHECK_FALSE(wal->spares_wanted());
        return env.calls(SimCall::sync) - before;
    };
    CHECK(syncs_for_spares(16 << 10) == 4);   // each megabyte
    CHECK(syncs_for_spares(384 << 10) == 1);  // once
    CHECK(syncs_for_spares(16 << 10) == 4);
    for (const std::string& path : env.files()) {
        if (path.find("/spare-") == path.npos) continue;
        CHECK(env.read_file(path)->size() == kFileBytes);
    }
}

TEST_CASE("wal: without room commits are absent, reads go on, and room brings it back") {
    SimEnv env(10);
    auto wal = open_wal(env);
    env.set_capacity(env.used_bytes());
    std::uint64_t last = 0;
    CommitResult result;
    while (true) {
        Frame frame = numbered_frame(last + 1, 1, 1000);
        const std::string before = frame.bytes;
        result = commit_one(*wal, frame);
        if (result.outcome != CommitOutcome::durable) {
            CHECK(frame.bytes == before);
            break;
        }
        ++last;
    }
    CHECK(result.outcome == CommitOutcome::absent);
    CHECK(result.error->code == Code::disk_full);
    CHECK(last > 5);
    CHECK(spare_count(env) == 1);  // the last one stays for recovery
    CHECK_FALSE(wal->stats().writable);
    CHECK_FALSE(wal->stats().failed);
    CHECK(read_log(*wal, 1000).seqs == seqs_to(last));
    CHECK(wal->prepare_spares().error().code == Code::disk_full);

    // Room is looked for every tenth of a second.
    env.set_capacity(env.used_bytes() + (1 << 20));
    env.advance(100'000);
    commit_up_to(*wal, last + 1, last + 1, 1000);
    CHECK(wal->stats().writable);
    CHECK(read_log(*wal, 1000).seqs == seqs_to(last + 1));
}

TEST_CASE("wal: an old store opens on a full disk without a spare, for reading") {
    for (const bool clean : {true, false}) {
        SimEnv env(11);
        auto wal = open_wal(env);
        commit_up_to(*wal, 1, 2);
        REQUIRE(wal->mark_idle().outcome == CommitOutcome::durable);
        if (clean) REQUIRE(wal->close({1, 3}, 0).ok());
        wal.reset();
        env.crash_lose_all();
        for (const std::string& path : env.files()) {
            if (path.find("/spare-") != path.npos) REQUIRE(env.remove(path).ok());
        }
        if (!clean) {  // the mark itself would have to be carried over: tear it
            const std::string path = "/data/wal/00000000000000000001.wal";
            const std::string bytes = *env.read_file(path);
            const std::size_t mark = bytes.find_last_not_of('\0');
            REQUIRE(env.flip(path, mark).ok());
        }
        env.set_capacity(env.used_bytes());
        const auto opened = Wal::open(env, small_options(), {});
        if (!clean) {
            // The torn mark took the watermark with it, so the record has to be copied first.
            REQUIRE_FALSE(opened.ok());
            CHECK(opened.error().code == Code::disk_full);
            continue;
        }
        REQUIRE(opened.ok());
        Wal& reopened = *opened->wal;
        CHECK_FALSE(reopened.stats().writable);
        CHECK(read_log(reopened).seqs == seqs_to(2));
        Frame frame = numbered_frame(3);
        CHECK(commit_one(reopened, frame).error->code == Code::disk_full);
        env.set_capacity(env.used_bytes() + (1 << 20));
        CHECK(reopened.prepare_spares().ok());
        CHECK(reopened.stats().writable);
        CHECK(commit_one(reopened, frame).outcome == CommitOutcome::durable);
        CHECK(read_log(reopened).seqs == seqs_to(3));
        CHECK(reopened.files().size() == 2);
    }
}

TEST_CASE("wal: a failed write leaves nothing behind, and the next group takes its place") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SimEnv env(seed);
        auto wal = open_wal(env);
        commit_up_to(*wal, 1, 2);
        env.inject({.kinds = {SimCall::write}, .code = Code::io});
        Frame a = numbered_frame(3, 1, 900);
        Frame b = numbered_frame(4, 1, 900);
        Frame* const frames[] = {&a, &b};
        const auto position = wal->end();
        const CommitResult failed = wal->commit(frames);
        CHECK(failed.outcome == CommitOutcome::absent);
        CHECK(failed.error->code == Code::io);
        CHECK(wal->end() == position);
        // The very same first frame again: the second one of the failed group would follow on it.
        Frame* const retry[] = {&a};
        REQUIRE(wal->commit(retry).outcome == CommitOutcome::durable);
        wal.reset();
        env.crash_keep_all();
        LogContents contents = read_log(*open_wal(env), 900);
        contents.error.clear();  // the first two values are short
        CHECK(contents.seqs == seqs_to(3));
    }
}

TEST_CASE("wal: a failed sync is final") {
    SimEnv env(12);
    auto wal = open_wal(env);
    commit_up_to(*wal, 1, 1);
    env.inject({.kinds = {SimCall::sync}});
    Frame frame = numbered_frame(2);
    const CommitResult unknown = commit_one(*wal, frame);
    CHECK(unknown.outcome == CommitOutcome::unknown);
    CHECK(unknown.error->code == Code::outcome_unknown);
    Frame next = numbered_frame(3);
    const CommitResult refused = commit_one(*wal, next);
    CHECK(refused.outcome == CommitOutcome::absent);
    CHECK(refused.error->code == Code::io);
    CHECK(wal->stats().failed);
    CHECK_FALSE(wal->close({1, 3}, 0).ok());
    CHECK(read_log(*wal).seqs == seqs_to(1));  // what is not durable is not visible
}

TEST_CASE("wal: if the undoing of a failed write fails, its outcome is unknown") {
    SimEnv env(13);
    auto wal = open_wal(env);
    env.inject({.kinds = {SimCall::write}});
    env.inject({.kinds = {SimCall::sync}});
    Frame frame = numbered_frame(1);
    CHECK(commit_one(*wal, frame).outcome == CommitOutcome::unknown);
    CHECK(wal->stats().failed);

    SimEnv other(14);
    auto second = open_wal(other);
    other.inject({.kinds = {SimCall::write}, .times = 2});
    CHECK(commit_one(*second, frame).outcome == CommitOutcome::unknown);
}

TEST_CASE("wal: readers name the file and the offset of damage") {
    SimEnv env(15);
    const auto wal = open_wal(env);
    commit_up_to(*wal, 1, 3);
    const std::string path = wal->files()[0].path;
    auto reader = wal->open_file(1, kWalFileHeaderBytes);
    REQUIRE(reader.value()->next().ok());
    const std::uint64_t second = reader.value()->offset();
    REQUIRE(env.flip(path, second + kFrameHeaderBytes + 3).ok());
    auto damaged = wal->open_file(1, kWalFileHeaderBytes);
    REQUIRE(damaged.value()->next().ok());
    const auto frame = damaged.value()->next();
    REQUIRE_FALSE(frame.ok());
    CHECK(frame.error().code == Code::corrupt);
    CHECK(frame.error().message.find(path) != std::string::npos);
    CHECK(frame.error().message.find(std::to_string(second)) != std::string::npos);
    CHECK(wal->open_file(1, 1'000'000).error().code == Code::bad_request);
    CHECK(wal->open_file(9, kWalFileHeaderBytes).error().code == Code::not_found);
}

TEST_CASE("wal: no frame of a failed group follows on a later one that ends where it begins") {
    SimEnv env(16);
    WalOptions options = small_options();
    options.first_file_bytes = 16 << 20;
    auto wal = open_wal(env, options);
    // A new store begins on short files: the next one has room for the whole group.
    REQUIRE(wal->prepare_spares().ok());
    Frame first = numbered_frame(1, 1, 100'000);
    REQUIRE(commit_one(*wal, first).outcome == CommitOutcome::durable);
    const std::size_t files = wal->files().size();
    // Three frames, of which the large one is written by itself: the first two go out, the third
    // fails.
    Frame a = numbered_frame(2);
    Frame b = numbered_frame(3, 1, 5 << 20);
    Frame c = numbered_frame(4);
    Frame* const group[] = {&a, &b, &c};
    env.inject({.kinds = {SimCall::write}, .skip = 2});
    REQUIRE(wal->commit(group).outcome == CommitOutcome::absent);
    REQUIRE(env.calls_failed() == 1);
    REQUIRE(wal->files().size() == files);
    // The first again, alone, at the same place: the second would be the sound next frame.
    REQUIRE(commit_one(*wal, a).outcome == CommitOutcome::durable);
    wal.reset();
    env.kill();
    CHECK(read_log(*open_wal(env, options)).seqs == seqs_to(2));
}

TEST_CASE("wal: a sync that fails at a rotation is final too, and the group is absent") {
    for (const SimCall call : {SimCall::sync, SimCall::sync_dir}) {
        SimEnv env(17);
        auto wal = open_wal(env);
        REQUIRE(wal->prepare_spares().ok());
        commit_up_to(*wal, 1, 6, 1700);
        REQUIRE(wal->files().size() == 1);
        env.inject({.kinds = {call}});
        Frame frame = numbered_frame(7, 1, 1700);
        CHECK(commit_one(*wal, frame).outcome == CommitOutcome::absent);
        CHECK(wal->stats().failed);
        CHECK(commit_one(*wal, frame).error->code == Code::io);
        wal.reset();
        env.kill();
        CHECK(read_log(*open_wal(env), 1700).seqs == seqs_to(6));
    }
}

TEST_CASE("wal: spares are made and files are read beside commits") {
    SimEnv env(18);
    const auto wal = open_wal(env);
    std::jthread maintenance([&wal](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            if (wal->spares_wanted()) CHECK(wal->prepare_spares().ok());
            const LogContents contents = read_log(*wal, 1000);
            CHECK(contents.error == "");
            CHECK(contents.seqs == seqs_to(contents.seqs.size()));
            static_cast<void>(wal->stats());
        }
    });
    commit_up_to(*wal, 1, 400, 1000);
    maintenance.request_stop();
    maintenance.join();
    CHECK(wal->files().size() > 5);
    CHECK(read_log(*wal, 1000).seqs == seqs_to(400));
}

TEST_CASE("wal: a reader that begins in the middle gives the frames from there") {
    SimEnv env(19);
    WalOptions options = small_options();
    options.first_file_bytes = 1 << 20;
    const auto wal = open_wal(env, options);
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t seq = 1; seq <= 60; ++seq) {
        offsets.push_back(wal->end().offset);
        commit_up_to(*wal, seq, seq, 500);
    }
    REQUIRE(wal->files().size() == 1);
    for (const std::size_t from : {std::size_t{1}, std::size_t{30}, std::size_t{59}}) {
        auto reader = wal->open_file(1, offsets[from]);
        REQUIRE(reader.ok());
        LogContents contents;
        while (true) {
            const auto frame = reader.value()->next();
            REQUIRE(frame.ok());
            if (!frame.value()) break;
            read_frame(*frame.value(), 500, contents);
        }
        CHECK(contents.error == "");
        REQUIRE(contents.seqs.size() == 60 - from);
        CHECK(contents.seqs.front() == from + 1);
    }
    // Not where a frame begins.
    CHECK(wal->open_file(1, offsets[3] + 8).value()->next().error().code == Code::corrupt);
}
