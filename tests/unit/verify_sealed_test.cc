// klog/verify.h on directories of which the first WAL files are sealed.
#include <doctest/doctest.h>

#include <map>

#include "klog/verify.h"
#include "segment/manifest_format.h"
#include "tests/support/sealed_wal.h"

using namespace klog;
using namespace klog::testing;

namespace {

constexpr const char* kManifest = "/data/seg/manifest";

// By name.
std::map<std::string, VerifiedFile> verify(Env& env, bool live = false) {
    std::map<std::string, VerifiedFile> files;
    VerifyOptions options;
    options.dir = "/data";
    options.live = live;
    options.on_file = [&files](const VerifiedFile& file) {
        // Nothing is told twice.
        CHECK_MESSAGE(files.emplace(file.name, file).second, file.name);
    };
    REQUIRE(verify_store(env, options).ok());
    return files;
}

std::string damage_of(const std::map<std::string, VerifiedFile>& files) {
    std::string text;
    for (const auto& [name, file] : files) {
        CHECK((file.finding == FileFinding::damaged) == file.error.has_value());
        // The helper makes none.
        if (file.kind == FileKind::segment) continue;
        if (file.error) text += name + ": " + file.error->message + "\n";
    }
    return text;
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("verify sealed: files that are sealed may be there or not, and do not count") {
    for (const bool close : {false, true}) {
        SealedWal store(5, 3, close);
        REQUIRE(store.env.write_file("/data/wal/" + wal_file_name(1), "no header").ok());
        REQUIRE(store.env.remove("/data/wal/" + wal_file_name(2)).ok());
        const auto files = verify(store.env);
        CHECK(damage_of(files) == "");
        CHECK(files.at("seg/manifest").kind == FileKind::manifest);
        CHECK(files.at("seg/manifest").finding == FileFinding::sound);
        CHECK(files.at("seg/manifest").bytes == store.env.read_file(kManifest)->size());
        CHECK(files.at("wal/" + wal_file_name(1)).finding == FileFinding::not_checked);
        CHECK(has(files.at("wal/" + wal_file_name(3)).note, "sealed"));
        CHECK(files.at("wal/" + wal_file_name(4)).finding == FileFinding::sound);
    }
}

TEST_CASE("verify sealed: names in seg/ are known") {
    SealedWal store(3, 1);
    for (const char* const name : {"seg/manifest.tmp", "seg/1/00000000000000000001.seg",
                                   "seg/1/seal.tmp", "seg/0/notes", "seg/2"}) {
        REQUIRE(store.env.write_file(std::string("/data/") + name, "x").ok());
    }
    const auto files = verify(store.env);
    CHECK(files.at("seg/1/00000000000000000001.seg").kind == FileKind::segment);
    CHECK(files.at("seg/manifest.tmp").kind == FileKind::left_over);
    CHECK(files.at("seg/1/seal.tmp").kind == FileKind::left_over);
    CHECK(files.at("seg/0/notes").kind == FileKind::unknown);
    CHECK(files.at("seg/2").kind == FileKind::unknown);
    CHECK(file_kind_name(FileKind::segment) == "segment");
    CHECK(file_kind_name(FileKind::manifest) == "manifest");
}

TEST_CASE("verify sealed: no flipped byte of the manifest goes unnoticed") {
    SealedWal store(4, 2);
    const std::string bytes = *store.env.read_file(kManifest);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        REQUIRE(store.env.flip(kManifest, at).ok());
        const auto files = verify(store.env);
        const VerifiedFile& manifest = files.at("seg/manifest");
        REQUIRE(manifest.finding == FileFinding::damaged);
        REQUIRE(manifest.offset.has_value());
        CHECK(has(manifest.error->hint, "copy"));
        // The files of the log are not blamed for it.
        for (const auto& [name, file] : files) {
            CHECK((name == "seg/manifest" || file.finding != FileFinding::damaged));
        }
        REQUIRE(store.env.flip(kManifest, at).ok());
    }
}

TEST_CASE("verify sealed: a gap, a wrong link and files that are all gone are damage") {
    SealedWal store(5, 2, true);
    const auto gap = store.env.clone(1);
    REQUIRE(gap->remove("/data/wal/" + wal_file_name(3)).ok());
    CHECK(has(damage_of(verify(*gap)),
              wal_file_name(3) + " is missing, and wal/" + wal_file_name(4) + " follows on it"));
    for (std::uint64_t id = 4; id <= 5; ++id) {
        REQUIRE(gap->remove("/data/wal/" + wal_file_name(id)).ok());
    }
    CHECK(has(damage_of(verify(*gap)), wal_file_name(3) + " is missing, and so is all"));

    const auto changed = [&store](const auto& change) {
        const auto env = store.env.clone(1);
        SegmentSetState set = read_set(*env);
        change(set);
        REQUIRE(env->write_file(kManifest, encode_manifest(set, "t")).ok());
        return damage_of(verify(*env));
    };
    using State = SegmentSetState;
    CHECK(changed([](State&) {}).empty());
    CHECK(has(changed([](State& s) { s.sealed.chain ^= 1U; }), "with another content"));
    CHECK(has(changed([](State& s) { s.store_uuid[0] ^= 1; }), "different stores"));
    // More is sealed than the WAL's first seq leaves room for.
    const std::string overlap = changed([](State& s) {
        s.logs[1].push_back(full_entry(LogId::default_log, s.next_segment_id++,
                                       s.logs[1].back().covered.last.value + 1,
                                       s.logs[1].back().covered.last.value + 1));
    });
    CHECK(has(overlap, "stands behind seq"));
}

TEST_CASE("verify sealed: a manifest that went back or is gone is damage") {
    LivingWal living(4);
    REQUIRE(seal(living.env, *living.wal, 1).ok());
    const std::string before = *living.env.read_file(kManifest);
    REQUIRE(seal(living.env, *living.wal, 2).ok());
    REQUIRE(living.wal->close({1, living.last_seq + 1}, 2).ok());
    living.die();
    CHECK(damage_of(verify(living.env)) == "");
    REQUIRE(living.env.write_file(kManifest, before).ok());
    CHECK(has(damage_of(verify(living.env)),
              "seg/manifest has the number 1, but at the last clean "
              "stop it was 2"));
    REQUIRE(living.env.remove(kManifest).ok());
    CHECK(has(damage_of(verify(living.env)), "seg/manifest has the number 0"));
}

TEST_CASE("verify sealed: beside a sealer nothing looks like damage, whenever one looks") {
    LivingWal living(6);
    SimEnv& env = living.env;
    bool looking = false;
    std::uint64_t looks = 0;
    std::uint64_t sealed = 0;
    // A second process looks between two calls of the first; and the first goes on while it looks.
    const auto seal_next = [&] {
        REQUIRE(seal(env, *living.wal, ++sealed).ok());
        REQUIRE(living.wal->drop_sealed(read_set(env).sealed).ok());
    };
    env.on_call([&](SimCall, const std::string&) {
        if (looking) return;
        looking = true;
        CHECK(damage_of(verify(env, true)) == "");
        ++looks;
        looking = false;
    });
    seal_next();
    seal_next();
    CHECK(looks > 20);
    // All that was there is sealed between any two calls of a look.
    for (std::uint64_t when = 1; when < 60; ++when) {
        CAPTURE(when);
        LivingWal other(4, when);
        std::uint64_t calls = 0;
        bool working = false;
        other.env.on_call([&](SimCall, const std::string&) {
            if (working || ++calls != when) return;
            working = true;
            const std::uint64_t newest = other.wal->files().back().header.wal_id;
            while (other.wal->files().back().header.wal_id == newest) other.commit();
            REQUIRE(seal(other.env, *other.wal, newest).ok());
            REQUIRE(other.wal->drop_sealed(read_set(other.env).sealed).ok());
            // What was a file of the log becomes another one, while that look still has it open.
            while (other.wal->files().back().header.wal_id < newest + 3) other.commit();
            working = false;
        });
        CHECK(damage_of(verify(other.env, true)) == "");
        other.env.on_call(nullptr);
    }
}
