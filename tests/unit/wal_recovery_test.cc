#include "segment/wal_recovery.h"

#include <doctest/doctest.h>

#include "env/sim_env.h"
#include "tests/support/wal_testing.h"
#include "tests/support/wal_workload.h"

using namespace klog;
using namespace klog::testing;

namespace {

constexpr const char* kFirst = "/data/wal/00000000000000000001.wal";
constexpr std::uint64_t kGroups = 14;
constexpr std::size_t kValueBytes = WalWorkload::kValueBytes;

// The ends that a life may find.
constexpr int kEnds = 4;
void end_life(SimEnv& env, int end) {
    if (end == 0) env.crash();
    if (end == 1) env.crash_lose_all();
    if (end == 2) env.crash_keep_all();
    if (end == 3) env.kill();
}

// Opens what is left and compares it with the promises.
std::string judge(SimEnv& env, const WalPromises& promises) {
    auto opened = Wal::open(env, workload_options(), {});
    if (!opened.ok()) return "refused to start: " + opened.error().message;
    return broken_promise(read_log(*opened->wal, kValueBytes), promises);
}

Error open_error(SimEnv& env) {
    auto opened = Wal::open(env, workload_options(), {});
    REQUIRE_FALSE(opened.ok());
    return std::move(opened).error();
}

// A store with `frames` committed one by one, and where each begins (the last: the end).
struct Prepared {
    SimEnv env;
    std::vector<std::uint64_t> offsets;
    explicit Prepared(std::uint64_t frames, bool mark = false, bool close = false) : env(99) {
        auto opened = Wal::open(env, workload_options(), {});
        REQUIRE(opened.ok());
        Wal& wal = *opened->wal;
        for (std::uint64_t seq = 1; seq <= frames; ++seq) {
            offsets.push_back(wal.end().offset);
            Frame frame = numbered_frame(seq, 1, kValueBytes);
            REQUIRE(commit_one(wal, frame).outcome == CommitOutcome::durable);
        }
        offsets.push_back(wal.end().offset);
        if (mark) REQUIRE(wal.mark_idle().outcome == CommitOutcome::durable);
        if (close) REQUIRE(wal.close({1, frames + 1}, 0).ok());
        opened->wal.reset();
        env.crash_lose_all();
    }
};

}  // namespace

TEST_CASE("wal recovery: whatever the call at which the power goes, promises hold") {
    std::uint64_t calls = 0;
    {
        SimEnv env(1);
        WalWorkload work(env);
        const WalPromises promises = work.live(kGroups, true);
        REQUIRE(promises.durable.size() > 2 * kGroups);
        REQUIRE(promises.clean);
        calls = env.calls();
    }
    for (std::uint64_t call = 1; call <= calls + 1; ++call) {
        for (int end = 0; end < kEnds; ++end) {
            SimEnv env(call * kEnds + static_cast<std::uint64_t>(end));
            WalWorkload work(env);
            env.crash_at_call(call);
            const WalPromises promises = work.live(kGroups, true);
            end_life(env, end);
            const std::string broken = judge(env, promises);
            REQUIRE_MESSAGE(broken.empty(), "call ", call, ", end ", end, ": ", broken);
        }
    }
}

TEST_CASE("wal recovery: a crash at any step of a start leaves what was there") {
    SimEnv first(7);
    WalWorkload first_work(first);
    // In the middle of a commit, so that a tail is there to be carried over.
    WalPromises before = first_work.live(kGroups - 3, false);
    REQUIRE(before.durable.size() > 10);
    std::uint64_t calls = 0;
    {
        const auto env = first.clone(1);
        env->kill();
        const std::uint64_t begun = env->calls();
        REQUIRE(Wal::open(*env, workload_options(), {}).ok());
        calls = env->calls() - begun;
    }
    for (std::uint64_t call = 1; call <= calls + 1; ++call) {
        for (int end = 0; end < kEnds * kEnds; ++end) {
            const auto env = first.clone(call);
            end_life(*env, end / kEnds);
            env->crash_at_call(env->calls() + call);
            const auto interrupted = Wal::open(*env, workload_options(), {});
            CHECK((interrupted.ok() || call <= calls));
            end_life(*env, end % kEnds);
            const std::string broken = judge(*env, before);
            REQUIRE_MESSAGE(broken.empty(), "call ", call, ", ends ", end, ": ", broken);
        }
    }
}

TEST_CASE("wal recovery: crash after crash, with work between them") {
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
        SimEnv env(seed);
        WalWorkload work(env);
        WalPromises all;
        for (std::uint64_t life = 0; life < 5; ++life) {
            env.crash_at_call(env.calls() + 5 + (seed * 37 + life * 61) % 170);
            const WalPromises promises = work.live(6, life % 2 == 0);
            add_promises(all, promises);
            end_life(env, static_cast<int>((seed + life) % kEnds));
            const auto trial = env.clone(seed);
            const std::string broken = judge(*trial, all);
            REQUIRE_MESSAGE(broken.empty(), "seed ", seed, ", life ", life, ": ", broken);
        }
    }
}

TEST_CASE("wal recovery: whatever call fails, once or for good, promises hold") {
    std::uint64_t calls = 0;
    {
        SimEnv env(1);
        WalWorkload work(env);
        static_cast<void>(work.live(kGroups, true));
        calls = env.calls();
    }
    for (const Code code : {Code::io, Code::disk_full}) {
        for (std::uint64_t call = 0; call < calls; ++call) {
            for (const std::uint64_t times : {std::uint64_t{1}, SimFault::kForever}) {
                SimEnv env(call);
                WalWorkload work(env);
                env.inject({.skip = call, .times = times, .code = code});
                WalPromises all = work.live(kGroups, true);
                const bool lived = all.opened;
                end_life(env, static_cast<int>(call % kEnds));
                const std::string broken = judge(env, all);
                REQUIRE_MESSAGE(broken.empty(), code_name(code), " at call ", call, " for ", times,
                                ", opened ", lived, ": ", broken);
            }
        }
    }
}

TEST_CASE("wal recovery: whatever sync fails, promises hold and nothing is written after it") {
    for (std::uint64_t sync = 0; sync < 40; ++sync) {
        for (int end = 0; end < kEnds; ++end) {
            SimEnv env(sync);
            WalWorkload work(env);
            env.inject({.kinds = {SimCall::sync, SimCall::sync_dir}, .skip = sync});
            WalPromises all = work.live(kGroups, true);
            end_life(env, end);
            // Another life on top of pages that look clean and are not.
            add_promises(all, work.live(3, false));
            end_life(env, 1);
            const std::string broken = judge(env, all);
            REQUIRE_MESSAGE(broken.empty(), "sync ", sync, ", end ", end, ": ", broken);
        }
    }
}

TEST_CASE("wal recovery: a disk that is full at any size leaves nothing half done") {
    for (std::uint64_t capacity = 0; capacity < 120'000; capacity += 1'531) {
        SimEnv env(capacity);
        env.set_capacity(capacity);
        WalWorkload work(env);
        WalPromises all = work.live(kGroups, true);
        CHECK(all.unknown.empty());
        env.crash();
        // It starts on the same full disk, if it ever did.
        add_promises(all, work.live(2, false));
        end_life(env, 1);
        if (all.durable.empty()) continue;
        const std::string broken = judge(env, all);
        REQUIRE_MESSAGE(broken.empty(), "capacity ", capacity, ": ", broken);
    }
}

TEST_CASE("wal recovery: a torn tail is dropped, damage below the watermark refused") {
    Prepared store(4);
    for (std::size_t frame = 0; frame < 4; ++frame) {
        const std::uint64_t begin = store.offsets[frame];
        const std::uint64_t last_byte = store.offsets[frame + 1] - kFrameAlignment;
        for (const std::uint64_t at : {begin, begin + 9, begin + kFrameHeaderBytes, last_byte}) {
            const auto env = store.env.clone(1);
            REQUIRE(env->flip(kFirst, at).ok());
            auto opened = Wal::open(*env, workload_options(), {});
            if (frame == 3) {
                REQUIRE(opened.ok());
                CHECK(opened->report.bytes_dropped > 0);
                const LogContents contents = read_log(*opened->wal, kValueBytes);
                CHECK(contents.error == "");
                // The frame before the torn one is below no watermark any more: it was carried.
                CHECK(contents.seqs.size() == 3);
                continue;
            }
            // Damage shows at the start (headers) or when it is read (payloads): never as a hole.
            const std::string error =
                opened.ok() ? read_log(*opened->wal, kValueBytes).error : opened.error().message;
            CHECK(error.find(kFirst) != std::string::npos);
            if (at < begin + kFrameHeaderBytes) {
                REQUIRE_FALSE(opened.ok());
                CHECK(opened.error().code == Code::corrupt);
                CHECK(error.find("offset " + std::to_string(begin)) != std::string::npos);
                CHECK_FALSE(opened.error().hint.empty());
            }
        }
    }
}

TEST_CASE("wal recovery: what a start took over counts as synced") {
    Prepared store(3);
    std::string carried_to;
    {
        auto opened = Wal::open(store.env, workload_options(), {});
        REQUIRE(opened.ok());
        REQUIRE(opened->report.bytes_carried_over > 0);
        carried_to = opened->wal->files().back().path;
    }
    store.env.crash_lose_all();
    // Its last frame: without a word in the header this would be a torn tail.
    REQUIRE(store.env.flip(carried_to, kWalFileHeaderBytes + 9).ok());
    const Error error = open_error(store.env);
    CHECK(error.code == Code::corrupt);
    CHECK(error.message.find(carried_to) != std::string::npos);
}

TEST_CASE("wal recovery: a sound frame behind a broken one raises the watermark") {
    Prepared store(2);
    // The first frame goes: only the second one, off the chain now, says that it was synced.
    std::string bytes = *store.env.read_file(kFirst);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(store.offsets[0]), 200, '\0');
    REQUIRE(store.env.write_file(kFirst, bytes).ok());
    const Error error = open_error(store.env);
    CHECK(error.code == Code::corrupt);
    CHECK(error.message.find("offset " + std::to_string(kWalFileHeaderBytes)) != std::string::npos);
}

TEST_CASE("wal recovery: no flipped byte is ever served") {
    for (const bool close : {false, true}) {
        Prepared store(2, !close, close);
        const std::uint64_t used = store.offsets.back() + (close ? 0 : kFrameHeaderBytes);
        for (std::uint64_t at = 0; at < used; ++at) {
            const auto env = store.env.clone(at);
            REQUIRE(env->flip(kFirst, at, static_cast<std::uint8_t>(1U << (at % 8))).ok());
            auto opened = Wal::open(*env, workload_options(), {});
            if (!opened.ok()) {
                CHECK(opened.error().message.find("/data/wal/") != std::string::npos);
                continue;
            }
            const LogContents contents = read_log(*opened->wal, kValueBytes);
            const bool whole = contents.seqs == std::vector<std::uint64_t>{1, 2};
            REQUIRE_MESSAGE((whole || !contents.error.empty()), "flip at ", at);
        }
    }
}

TEST_CASE("wal recovery: no truncation of a file that was closed cleanly goes unseen") {
    Prepared store(3, false, true);
    const std::string bytes = *store.env.read_file(kFirst);
    for (std::uint64_t size = 0; size < store.offsets.back(); size += 13) {
        const auto env = store.env.clone(size);
        REQUIRE(env->write_file(kFirst, bytes.substr(0, size)).ok());
        CHECK(open_error(*env).code == Code::corrupt);
    }
}

TEST_CASE("wal recovery: old bytes behind a cut never come back") {
    Prepared store(3);
    // Tear the second-last frame's follower: seq 3 goes, its bytes stay in the old file.
    REQUIRE(store.env.flip(kFirst, store.offsets[2] + 1).ok());
    WalPromises promises;
    promises.durable = {1, 2};
    const std::string before = *store.env.read_file(kFirst);
    CHECK(judge(store.env, promises) == "");
    // Even if the whole old file comes back as it was, with the frame mended.
    std::string mended = before;
    mended[store.offsets[2] + 1] = static_cast<char>(mended[store.offsets[2] + 1] ^ 1);
    REQUIRE(store.env.write_file(kFirst, mended).ok());
    CHECK(judge(store.env, promises) == "");
    // And a spare that holds old frames gives none of them to the file it becomes.
    for (const std::string& path : store.env.files()) {
        if (path.find("/spare-") == path.npos) continue;
        REQUIRE(store.env.write_file(path, mended).ok());
    }
    CHECK(judge(store.env, promises) == "");
    CHECK(judge(store.env, promises) == "");
}

TEST_CASE("wal recovery: a frame that hangs on another history is not taken up") {
    // The frame of `seq` becomes another one that is sound in itself and as long.
    const auto replace_frame = [](Prepared& store, std::uint64_t seq) {
        std::string bytes = *store.env.read_file(kFirst);
        const auto file = decode_file_header(bytes.substr(0, kWalFileHeaderBytes), kFirst);
        REQUIRE(file.ok());
        const std::uint64_t at = store.offsets[static_cast<std::size_t>(seq - 1)];
        const auto from = static_cast<std::size_t>(at);
        auto header =
            decode_frame_header(std::string_view(bytes).substr(from), file->salt, file->wal_id, at);
        REQUIRE(header);
        header->base_time.micros += 1;
        encode_frame_header(*header, file->salt, bytes.data() + from);
        REQUIRE(store.env.write_file(kFirst, bytes).ok());
    };
    // The newest frame is above the watermark: it goes, like a torn one.
    Prepared torn(3);
    replace_frame(torn, 2);
    WalPromises promises;
    promises.durable = {1, 2};
    CHECK(judge(torn.env, promises) == "");
    // Below the watermark the log was lost, and so after a clean stop.
    Prepared damaged(3, true);
    replace_frame(damaged, 1);
    CHECK(open_error(damaged.env).code == Code::corrupt);
    Prepared closed(3, true, true);
    replace_frame(closed, 2);
    CHECK(open_error(closed.env).code == Code::corrupt);
}

TEST_CASE("wal recovery: files that are missing, empty, zero or misnamed stop the start") {
    SimEnv env(5);
    WalWorkload work(env);
    const WalPromises promises = work.live(kGroups, true);
    REQUIRE(promises.clean);
    env.kill();
    std::vector<std::string> files;
    for (const std::string& path : env.files()) {
        if (path.ends_with(".wal")) files.push_back(path);
    }
    REQUIRE(files.size() >= 3);
    for (const std::string& path : files) {
        CAPTURE(path);
        const std::string bytes = *env.read_file(path);
        const auto gone = env.clone(1);
        REQUIRE(gone->remove(path).ok());
        CHECK(open_error(*gone).code == Code::corrupt);
        for (const std::string& broken :
             {std::string(), std::string(bytes.size(), '\0'), bytes.substr(0, 4000)}) {
            const auto damaged = env.clone(1);
            REQUIRE(damaged->write_file(path, broken).ok());
            const Error error = open_error(*damaged);
            CHECK(error.code == Code::corrupt);
            CHECK(error.message.find(path) != std::string::npos);
        }
        const auto swapped = env.clone(1);
        REQUIRE(swapped->write_file(path, *env.read_file(files[path == files[0] ? 1 : 0])).ok());
        CHECK(open_error(*swapped).code == Code::corrupt);
    }
    const auto all_gone = env.clone(1);
    for (const std::string& path : files) REQUIRE(all_gone->remove(path).ok());
    CHECK(open_error(*all_gone).code == Code::corrupt);  // the clean marker speaks of a log
}

TEST_CASE("wal recovery: a damaged clean marker counts as an unclean stop") {
    Prepared store(2, false, true);
    REQUIRE(store.env.flip("/data/wal/clean", 40).ok());
    auto opened = Wal::open(store.env, workload_options(), {});
    REQUIRE(opened.ok());
    CHECK_FALSE(opened->report.clean);
    CHECK_FALSE(opened->clean_next_seqs.has_value());
    REQUIRE(opened->report.notices.size() == 1);
    CHECK(opened->report.notices[0].find("/data/wal/clean") != std::string::npos);
    CHECK(read_log(*opened->wal, kValueBytes).seqs == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("wal recovery: a marker of another store, or of a later run, is refused") {
    Prepared store(2, false, true);
    const std::string bytes = *store.env.read_file("/data/wal/clean");
    const CleanMarker marker = *decode_clean_marker(bytes, "clean");
    CleanMarker other = marker;
    other.store_uuid[0] ^= 1U;
    CleanMarker later = marker;
    later.incarnation += 1;
    CleanMarker next_file = marker;
    next_file.wal_id += 1;
    CleanMarker longer = marker;
    longer.end += 8;
    CleanMarker shorter = marker;
    shorter.end -= 8;
    CleanMarker unchained = marker;
    unchained.chain ^= 1U;
    for (const CleanMarker& wrong : {other, later, next_file, longer, shorter, unchained}) {
        const auto env = store.env.clone(1);
        REQUIRE(env->write_file("/data/wal/clean", encode_clean_marker(wrong)).ok());
        CHECK(open_error(*env).code == Code::corrupt);
    }
}

TEST_CASE("wal recovery: a batch without its last frame is dropped") {
    SimEnv env(3);
    auto opened = Wal::open(env, workload_options(), {});
    REQUIRE(opened.ok());
    Frame one = numbered_frame(1, 1, kValueBytes);
    REQUIRE(commit_one(*opened->wal, one).outcome == CommitOutcome::durable);
    Frame a = numbered_frame(2, 1, kValueBytes);
    Frame b = numbered_frame(3, 1, kValueBytes);
    a.header.flags = FrameHeader::kTxnFirst;
    b.header.flags = FrameHeader::kTxnLast;
    Frame* const batch[] = {&a, &b};
    REQUIRE(opened->wal->commit(batch).outcome == CommitOutcome::durable);
    opened->wal.reset();
    env.kill();
    REQUIRE(env.flip(kFirst, b.header.offset + 20).ok());
    WalPromises promises;
    promises.durable = {1};
    CHECK(judge(env, promises) == "");
}

TEST_CASE("wal recovery: a start that was killed while it made the store loses no later promise") {
    for (std::uint64_t call = 1; call < 40; ++call) {
        SimEnv env(call);
        WalWorkload work(env);
        env.crash_at_call(call);
        static_cast<void>(Wal::open(env, workload_options(), {}));
        env.kill();  // folders and files are there, but none of them need be durable
        const WalPromises promises = work.live(2, false);
        REQUIRE(promises.durable.size() == 4);
        env.crash_lose_all();
        const std::string broken = judge(env, promises);
        REQUIRE_MESSAGE(broken.empty(), "call ", call, ": ", broken);
    }
}

TEST_CASE("wal recovery: a closed file must end with the frame that its successor names") {
    Prepared store(2, false, true);
    {
        auto opened = Wal::open(store.env, workload_options(), {});
        REQUIRE(opened.ok());
    }
    store.env.kill();
    const std::string second = "/data/wal/00000000000000000002.wal";
    std::string bytes = *store.env.read_file(second);
    WalFileHeader header = *decode_file_header(bytes, second);
    header.previous_chain ^= 1U;
    bytes.replace(0, kWalFileHeaderBytes, encode_file_header(header));
    REQUIRE(store.env.write_file(second, bytes).ok());
    auto opened = Wal::open(store.env, workload_options(), {});
    REQUIRE(opened.ok());
    CHECK(read_log(*opened->wal, kValueBytes).error.find(kFirst) != std::string::npos);
}

TEST_CASE("wal recovery: a store of a later version is left alone") {
    Prepared store(1, false, true);
    std::string bytes = *store.env.read_file(kFirst);
    WalFileHeader header = *decode_file_header(bytes, kFirst);
    header.incompatible_bits = 4;
    header.writer = "klog 9.1";
    bytes.replace(0, kWalFileHeaderBytes, encode_file_header(header));
    REQUIRE(store.env.write_file(kFirst, bytes).ok());
    const std::vector<std::string> files = store.env.files();
    const Error error = open_error(store.env);
    CHECK(error.code == Code::format_unknown);
    CHECK(error.message.find("klog 9.1") != std::string::npos);
    CHECK(*store.env.read_file(kFirst) == bytes);
    CHECK(store.env.files() == files);
}
