#include "env/sim_env.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "base/crc32c.h"
#include "env/sim_random.h"
#include "env_contract.h"

namespace klog {
namespace {

constexpr std::uint64_t kSeeds = 300;
constexpr std::size_t kSector = 512;

std::unique_ptr<File> open_file(SimEnv& env, const std::string& path, OpenMode mode) {
    auto file = env.open(path, mode);
    REQUIRE_MESSAGE(file.ok(), (file.ok() ? "" : file.error().message));
    return std::move(file).value();
}

std::unique_ptr<File> create_file(SimEnv& env, const std::string& path) {
    return open_file(env, path, OpenMode::create_new);
}

// The content, or "(none)".
std::string content_of(const SimEnv& env, const std::string& path) {
    auto bytes = env.read_file(path);
    return bytes.ok() ? std::move(bytes).value() : "(none)";
}

// All files with their contents, as one text.
std::string tree_of(const SimEnv& env) {
    std::string text;
    for (const std::string& path : env.files()) {
        text += path;
        text += "=";
        text += content_of(env, path);
        text += ";";
    }
    return text;
}

// What the crashes of clones of one state leave, over many seeds.
template <class Look>
std::set<std::string> crash_outcomes(const SimEnv& env, Look look) {
    std::set<std::string> outcomes;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto copy = env.clone(seed);
        copy->crash();
        outcomes.insert(look(*copy));
    }
    return outcomes;
}

using Outcomes = std::set<std::string>;

}  // namespace

TEST_CASE("sim_env: keeps the contract of Env") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/data").ok());
    test::check_env_contract(env, "/data");
    const Status missing = env.sync_dir("/none");
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().code == Code::not_found);
}

TEST_CASE("sim_env: a file whose folder was not synced is lost in some crash, kept in another") {
    SimEnv env(1);
    const auto file = create_file(env, "/f");
    REQUIRE(file->write_at(0, "x").ok());
    REQUIRE(file->sync_data().ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"", "/f=x;"});
    REQUIRE(env.sync_dir("/").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=x;"});
}

TEST_CASE("sim_env: syncing the folder does not make the content durable") {
    SimEnv env(1);
    const auto file = create_file(env, "/f");
    REQUIRE(file->write_at(0, "x").ok());
    REQUIRE(env.sync_dir("/").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=;", "/f=x;", std::string("/f=\0;", 5)});
}

TEST_CASE("sim_env: a folder that its parent does not know for good takes its files along") {
    SimEnv env(1);
    REQUIRE(env.write_file("/other", "y").ok());
    // The first one is that of the folder which exists.
    env.inject({.kinds = {SimCall::sync_dir}, .skip = 1});
    REQUIRE_FALSE(env.create_dirs("/d").ok());
    const auto file = create_file(env, "/d/f");
    REQUIRE(env.sync_dir("/d").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/other=y;", "/d/f=;/other=y;"});
}

TEST_CASE(
    "sim_env: a second try of create_dirs makes durable what the first left, wherever it was "
    "interrupted") {
    SimEnv counter(1);
    REQUIRE(counter.create_dirs("/a/b/c").ok());
    for (std::uint64_t call = 0; call < counter.calls(); ++call) {
        CAPTURE(call);
        SimEnv env(1);
        env.inject({.skip = call});
        REQUIRE_FALSE(env.create_dirs("/a/b/c").ok());
        REQUIRE(env.create_dirs("/a/b/c").ok());
        const auto file = create_file(env, "/a/b/c/f");
        REQUIRE(env.sync_dir("/a/b/c").ok());
        env.crash_lose_all();
        CHECK(tree_of(env) == "/a/b/c/f=;");
    }
}

TEST_CASE("sim_env: unsynced sectors are lost and kept each on its own, and never torn") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", std::string(3 * kSector, 'o')).ok());
    const auto file = open_file(env, "/f", OpenMode::read_write);
    REQUIRE(file->write_at(100, std::string(2 * kSector, 'n')).ok());
    const std::string head(100, 'o');
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto copy = env.clone(seed);
        copy->crash();
        const std::string bytes = content_of(*copy, "/f");
        REQUIRE(bytes.size() == 3 * kSector);
        std::string kept;
        const std::string news[3] = {head + std::string(kSector - 100, 'n'),
                                     std::string(kSector, 'n'),
                                     std::string(100, 'n') + std::string(kSector - 100, 'o')};
        for (std::size_t s = 0; s < 3; ++s) {
            const std::string sector = bytes.substr(s * kSector, kSector);
            const bool is_new = sector == news[s];
            CHECK((is_new || sector == std::string(kSector, 'o')));
            kept += is_new ? "n" : "o";
        }
        seen.insert(kept);
    }
    CHECK(seen == Outcomes{"ooo", "oon", "ono", "onn", "noo", "non", "nno", "nnn"});
}

TEST_CASE("sim_env: a sector written several times may hold any state since the sync") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "0").ok());
    const auto file = open_file(env, "/f", OpenMode::read_write);
    REQUIRE(file->write_at(0, "1").ok());
    REQUIRE(file->write_at(0, "2").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=0;", "/f=1;", "/f=2;"});
    REQUIRE(file->sync_data().ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=2;"});
}

TEST_CASE("sim_env: a cut is ordered with what stood before it and what came after") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "abcdef").ok());
    const auto file = open_file(env, "/f", OpenMode::read_write);
    REQUIRE(file->truncate(2).ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=abcdef;", "/f=ab;"});
    REQUIRE(file->write_at(4, "XY").ok());
    // Never "abcdXY": the bytes behind the cut are gone once anything after it is there.
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=abcdef;", "/f=ab;",
                                                   std::string("/f=ab\0\0\0\0;", 10),
                                                   std::string("/f=ab\0\0XY;", 10)});
}

TEST_CASE("sim_env: a rename leaves the old file or the new one, never none, never both") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "old").ok());
    const auto file = create_file(env, "/t");
    REQUIRE(file->write_at(0, "new").ok());
    REQUIRE(file->sync_data().ok());
    REQUIRE(env.rename("/t", "/f").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=old;", "/f=old;/t=new;", "/f=new;"});
    REQUIRE(env.sync_dir("/").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=new;"});
}

TEST_CASE("sim_env: a rename does not bring unsynced content with it") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "old").ok());
    const auto file = create_file(env, "/t");
    REQUIRE(file->write_at(0, "new").ok());
    REQUIRE(env.rename("/t", "/f").ok());
    REQUIRE(env.sync_dir("/").ok());
    CHECK(crash_outcomes(env, tree_of).contains("/f=;"));
}

TEST_CASE("sim_env: a rename between folders is atomic, and so is reusing the old name") {
    SimEnv env(1);
    REQUIRE(env.write_file("/a/f", "1").ok());
    REQUIRE(env.write_file("/b/g", "2").ok());
    REQUIRE(env.rename("/a/f", "/b/g").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/a/f=1;/b/g=2;", "/b/g=1;"});
    const auto file = create_file(env, "/a/f");
    // The new /a/f cannot be there while the old one still is.
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/a/f=1;/b/g=2;", "/b/g=1;", "/a/f=;/b/g=1;"});
    REQUIRE(env.sync_dir("/a").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/a/f=;/b/g=1;"});
}

TEST_CASE("sim_env: names in one folder are independent of each other") {
    SimEnv env(1);
    const auto a = create_file(env, "/a");
    const auto b = create_file(env, "/b");
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"", "/a=;", "/b=;", "/a=;/b=;"});
}

TEST_CASE("sim_env: a removal that was lost brings the file back with its durable content") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "durable").ok());
    REQUIRE(env.remove("/f").ok());
    CHECK_FALSE(env.exists("/f").value());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"", "/f=durable;"});
    REQUIRE(env.sync_dir("/").ok());
    CHECK(crash_outcomes(env, tree_of) == Outcomes{""});
}

TEST_CASE("sim_env: after a failed sync the pages look clean, and a second sync lies") {
    SimEnv env(1);
    REQUIRE(env.write_file("/f", "old").ok());
    const auto file = open_file(env, "/f", OpenMode::read_write);
    REQUIRE(file->write_at(0, "new").ok());
    env.inject({.kinds = {SimCall::sync}});
    CHECK_FALSE(file->sync_data().ok());
    CHECK(file->sync_data().ok());
    CHECK(test::read_all(env, "/f") == "new");
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=old;", "/f=new;"});

    SUBCASE("a killed process leaves the lie in the page cache") {
        env.kill();
        CHECK(test::read_all(env, "/f") == "new");
        CHECK(open_file(env, "/f", OpenMode::read_write)->sync_data().ok());
        CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=old;", "/f=new;"});
    }
    SUBCASE("writing the same bytes again makes them dirty again") {
        REQUIRE(file->write_at(0, "new").ok());
        REQUIRE(file->sync_data().ok());
        CHECK(crash_outcomes(env, tree_of) == Outcomes{"/f=new;"});
    }
    SUBCASE("the worst crash takes the old bytes, the best one the new") {
        const auto best = env.clone(1);
        best->crash_keep_all();
        CHECK(content_of(*best, "/f") == "new");
        env.crash_lose_all();
        CHECK(content_of(env, "/f") == "old");
    }
}

TEST_CASE("sim_env: a full disk takes a part, says so, and has room again after a removal") {
    std::set<std::size_t> parts;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        SimEnv env(seed);
        REQUIRE(env.write_file("/ballast", std::string(600, 'b')).ok());
        env.set_capacity(1000);
        const auto file = create_file(env, "/f");
        REQUIRE(file->write_at(0, std::string(395, 'x')).ok());
        const Status full = file->write_at(395, "0123456789");
        REQUIRE_FALSE(full.ok());
        CHECK(full.error().code == Code::disk_full);
        const std::string bytes = content_of(env, "/f");
        REQUIRE(bytes.size() <= 400);
        CHECK(bytes.substr(395) == std::string("0123456789").substr(0, bytes.size() - 395));
        parts.insert(bytes.size() - 395);
        // What lies within the size needs no room.
        CHECK(file->write_at(0, std::string(395, 'y')).ok());
        CHECK(file->truncate(1001).error().code == Code::disk_full);
        REQUIRE(env.remove("/ballast").ok());
        CHECK(file->write_at(395, "0123456789").ok());
        CHECK(env.used_bytes() == 405);
        CHECK(env.free_bytes("/") == 595);
    }
    CHECK(parts == std::set<std::size_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("sim_env: a removed file needs its room until it is closed") {
    SimEnv env(1);
    auto file = create_file(env, "/f");
    REQUIRE(file->write_at(0, std::string(100, 'x')).ok());
    REQUIRE(env.remove("/f").ok());
    CHECK(env.used_bytes() == 100);
    file.reset();
    CHECK(env.used_bytes() == 0);
}

TEST_CASE("sim_env: faults hit the calls that they name, so often as they say") {
    SimEnv env(1);
    const auto file = create_file(env, "/f");
    const auto other = create_file(env, "/other");
    env.inject({.kinds = {SimCall::write},
                .path_part = "/f",
                .skip = 1,
                .times = 2,
                .code = Code::disk_full});
    CHECK(file->write_at(0, "a").ok());
    CHECK(other->write_at(0, "a").ok());
    const Status second = file->write_at(0, "a");
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == Code::disk_full);
    CHECK(second.error().message == "write of /f: injected fault");
    CHECK(other->write_at(0, "a").ok());
    CHECK(file->sync_data().ok());
    CHECK_FALSE(file->write_at(0, "a").ok());
    CHECK(file->write_at(0, "a").ok());

    env.inject({.kinds = {SimCall::sync}, .times = SimFault::kForever});
    for (int i = 0; i < 20; ++i) CHECK_FALSE(file->sync_data().ok());
    env.clear_faults();
    CHECK(file->sync_data().ok());

    env.inject({.times = SimFault::kForever, .per_million = 250'000});
    int failed = 0;
    for (int i = 0; i < 1000; ++i) failed += env.exists("/f").ok() ? 0 : 1;
    CHECK(failed > 150);
    CHECK(failed < 350);
}

TEST_CASE("sim_env: every kind of call can fail, and has then done nothing") {
    const auto failures = [](SimEnv& env) {
        std::array<char, 4> buffer{};
        const auto file = env.open("/f", OpenMode::read_write);
        const auto made = env.open("/new", OpenMode::create_new);
        std::vector<bool> ok{file.ok(), made.ok()};
        if (file.ok()) {
            ok.push_back(file.value()->read_at(0, buffer).ok());
            ok.push_back(file.value()->truncate(2).ok());
            ok.push_back(file.value()->size().ok());
            ok.push_back(file.value()->sync_data().ok());
            ok.push_back(file.value()->write_at(0, "x").ok());
        }
        ok.push_back(env.rename("/a", "/b").ok());
        ok.push_back(env.remove("/c").ok());
        ok.push_back(env.exists("/f").ok());
        ok.push_back(env.list_dir("/").ok());
        ok.push_back(env.create_dirs("/d").ok());
        ok.push_back(env.sync_dir("/").ok());
        ok.push_back(env.lock("/lock").ok());
        return std::count(ok.begin(), ok.end(), false);
    };
    for (std::size_t i = 0; i < kSimCalls; ++i) {
        const auto kind = static_cast<SimCall>(i);
        SimEnv env(7);
        for (const char* path : {"/a", "/c"}) REQUIRE(env.write_file(path, path).ok());
        REQUIRE(env.write_file("/f", "ffff").ok());
        env.inject({.kinds = {kind}, .times = SimFault::kForever});
        // A failing sync_dir fails create_dirs too.
        CAPTURE(sim_call_name(kind));
        CHECK(failures(env) == (kind == SimCall::sync_dir ? 2 : 1));
        CHECK(env.calls(kind) >= 1);
        CHECK(env.exists("/a").ok() == (kind != SimCall::exists));
        const std::string tree = tree_of(env);
        CHECK((tree.find("/a=/a;") != std::string::npos) == (kind == SimCall::rename));
        CHECK((tree.find("/c=/c;") != std::string::npos) == (kind == SimCall::remove));
        CHECK((tree.find("/new=;") == std::string::npos) == (kind == SimCall::create));
        CHECK((tree.find("/lock=;") == std::string::npos) == (kind == SimCall::lock));
        CHECK((content_of(env, "/f").size() == 4) ==
              (kind == SimCall::truncate || kind == SimCall::open));
    }
}

TEST_CASE("sim_env: a failed write has written any part from its beginning") {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        SimEnv env(seed);
        REQUIRE(env.write_file("/f", "oooo").ok());
        env.inject({.kinds = {SimCall::write}});
        REQUIRE_FALSE(open_file(env, "/f", OpenMode::read_write)->write_at(0, "nnnn").ok());
        seen.insert(content_of(env, "/f"));
    }
    CHECK(seen == Outcomes{"oooo", "nooo", "nnoo", "nnno", "nnnn"});
}

TEST_CASE("sim_env: from crash_at_call on nothing has an effect, until the crash") {
    const auto run = [](SimEnv& env) {
        const auto file = env.open("/f", OpenMode::create_new);
        if (!file.ok() || !file.value()->write_at(0, "x").ok()) return;
        if (!file.value()->sync_data().ok() || !env.sync_dir("/").ok()) return;
        static_cast<void>(env.remove("/f").ok());
    };
    SimEnv whole(1);
    run(whole);
    REQUIRE(whole.calls() == 5);
    const std::string after[] = {"", "/f=;", "/f=x;", "/f=x;", "/f=x;", ""};
    for (std::uint64_t call = 1; call <= 6; ++call) {
        CAPTURE(call);
        SimEnv env(call);
        env.crash_at_call(call);
        run(env);
        CHECK(env.power_cut() == (call <= 5));
        CHECK(tree_of(env) == after[call - 1]);
        if (call <= 5) {
            const auto refused = env.exists("/f");
            REQUIRE_FALSE(refused.ok());
            CHECK(refused.error().message == "exists of /f: simulated power cut");
        }
        env.crash();
        CHECK_FALSE(env.power_cut());
        CHECK(env.exists("/f").ok());
        if (call == 5) CHECK(tree_of(env) == "/f=x;");
    }
}

TEST_CASE("sim_env: the end of a life closes files and frees locks") {
    for (const bool power : {true, false}) {
        SimEnv env(1);
        const auto file = create_file(env, "/f");
        auto held = env.lock("/lock");
        REQUIRE(held.ok());
        REQUIRE(env.sync_dir("/").ok());
        power ? env.crash() : env.kill();
        std::array<char, 4> buffer{};
        CHECK(file->read_at(0, buffer).error().code == Code::io);
        CHECK(file->write_at(0, "x").error().code == Code::io);
        CHECK(file->sync_data().error().code == Code::io);
        CHECK(file->truncate(0).error().code == Code::io);
        CHECK(file->size().error().code == Code::io);
        auto again = env.lock("/lock");
        REQUIRE(again.ok());
        // The old holder's object goes late and must not free the new holder's lock.
        held = Error{};
        CHECK(env.lock("/lock").error().code == Code::locked);
    }
}

namespace {

// A busy random run. Checks on the way that readers see what a plain string would hold, and that
// what was synced is there after a crash.
std::uint64_t busy_run(std::uint64_t seed) {
    SimEnv env(seed);
    SimRandom random(seed);
    std::string model;
    for (int life = 0; life < 6; ++life) {
        if (life == 0) create_file(env, "/f");
        if (life == 0) REQUIRE(env.sync_dir("/").ok());
        const auto file = open_file(env, "/f", OpenMode::read_write);
        for (int step = 0; step < 40; ++step) {
            const std::uint64_t offset = random.below(5000);
            const std::string data(random.below(3000), static_cast<char>('a' + step % 26));
            switch (random.below(5)) {
                case 0:
                    REQUIRE(file->truncate(offset).ok());
                    model.resize(offset);
                    break;
                case 1:
                    if (random.chance(1, 4)) env.inject({.kinds = {SimCall::sync}});
                    static_cast<void>(file->sync_data().ok());
                    break;
                default:
                    REQUIRE(file->write_at(offset, data).ok());
                    if (!data.empty()) {
                        model.resize(std::max<std::size_t>(model.size(), offset + data.size()));
                        model.replace(offset, data.size(), data);
                    }
            }
            REQUIRE(content_of(env, "/f") == model);
        }
        if (life % 2 == 0) {
            // All sectors dirty again, so that this sync does not lie.
            REQUIRE(file->write_at(0, model).ok());
            REQUIRE(file->sync_data().ok());
            CHECK(env.unsynced() == 0);
            env.crash();
            REQUIRE(content_of(env, "/f") == model);
        } else {
            env.crash();
            model = content_of(env, "/f");
        }
    }
    return env.digest();
}

}  // namespace

TEST_CASE("sim_env: one seed replays a run exactly, another one differs") {
    std::set<std::uint64_t> digests;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        const std::uint64_t digest = busy_run(seed);
        CHECK(busy_run(seed) == digest);
        digests.insert(digest);
    }
    CHECK(digests.size() == 60);
}

TEST_CASE("sim_env: a clone goes its own way") {
    SimEnv env(1);
    const auto file = create_file(env, "/f");
    REQUIRE(file->write_at(0, "x").ok());
    const auto copy = env.clone(2);
    copy->crash_lose_all();
    CHECK(tree_of(*copy).empty());
    CHECK(tree_of(env) == "/f=x;");
    CHECK(file->sync_data().ok());
    CHECK(env.dump() == "/f size=1 unsynced_sectors=0 crc=" + std::to_string(crc32c("x")) + "\n");
}

TEST_CASE("sim_env: the wall clock may jump, the other one only goes on") {
    SimEnv env(1);
    const std::uint64_t before = env.monotonic_micros();
    env.advance(5'000'000);
    CHECK(env.monotonic_micros() == before + 5'000'001);
    env.set_now(Time{42});
    CHECK(env.now() == Time{43});
    CHECK(env.monotonic_micros() > before + 5'000'001);
    CHECK(env.database_path("/x") == ":memory:");
}

TEST_CASE("sim_env: damage from outside shows at once and stays through every crash") {
    SimEnv env(1);
    REQUIRE(env.write_file("/d/f", "aaaa").ok());
    const auto file = open_file(env, "/d/f", OpenMode::read_write);
    REQUIRE(file->write_at(0, "bbbb").ok());
    REQUIRE(env.flip("/d/f", 2).ok());
    CHECK(content_of(env, "/d/f") == "bbcb");
    CHECK(crash_outcomes(env, tree_of) == Outcomes{"/d/f=aa`a;", "/d/f=bbcb;"});
    CHECK(env.flip("/d/f", 4).error().code == Code::bad_request);
    CHECK(env.flip("/d/g", 0).error().code == Code::not_found);
    CHECK(env.read_file("/d").error().code == Code::not_found);
}

TEST_CASE("sim_env: the hook sees every call and may crash the machine") {
    SimEnv env(1);
    std::vector<std::string> seen;
    env.on_call([&](SimCall call, const std::string& path) {
        seen.push_back(std::string(sim_call_name(call)) + " " + path);
        if (call == SimCall::write) env.crash_lose_all();
    });
    const auto file = create_file(env, "/f");
    CHECK_FALSE(file->write_at(0, "x").ok());
    CHECK(seen == std::vector<std::string>{"create /f", "write /f"});
    CHECK(env.files().empty());
}

TEST_CASE("sim_env: several threads may use it") {
    SimEnv env(1);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&env, t] {
            const std::string path = "/" + std::to_string(t);
            const auto file = env.open(path, OpenMode::create_new);
            for (std::uint64_t i = 0; i < 200; ++i) {
                static_cast<void>(file.value()->write_at(i, "x").ok());
                static_cast<void>(file.value()->sync_data().ok());
            }
        });
    }
    threads.clear();
    for (int t = 0; t < 4; ++t) CHECK(content_of(env, "/" + std::to_string(t)).size() == 200);
    CHECK(env.calls() == 4 * 401);
}

}  // namespace klog
