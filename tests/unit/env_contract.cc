#include "env_contract.h"

#include <doctest/doctest.h>

#include <array>
#include <set>

namespace klog::test {
namespace {

std::unique_ptr<File> must_open(Env& env, const std::string& path, OpenMode mode) {
    auto file = env.open(path, mode);
    REQUIRE_MESSAGE(file.ok(), (file.ok() ? "" : file.error().message));
    return std::move(file).value();
}

template <class T>
void check_refused(const Result<T>& result, Code code, const std::string& path) {
    REQUIRE_FALSE(result.ok());
    CHECK(code_name(result.error().code) == code_name(code));
    CHECK_MESSAGE(result.error().message.find(path) != std::string::npos, result.error().message);
}

void check_open_modes(Env& env, const std::string& folder) {
    const std::string path = folder + "/modes";
    check_refused(env.open(path, OpenMode::read), Code::not_found, path);
    check_refused(env.open(path, OpenMode::read_write), Code::not_found, path);
    check_refused(env.open(folder + "/none/x", OpenMode::create_new), Code::not_found, folder);
    must_open(env, path, OpenMode::create_new);
    check_refused(env.open(path, OpenMode::create_new), Code::locked, path);
    const auto reader = must_open(env, path, OpenMode::read);
    CHECK_FALSE(reader->write_at(0, "x").ok());
    CHECK_FALSE(reader->reserve(0, 4096).ok());
    CHECK(reader->size().value() == 0);
}

void check_bytes(Env& env, const std::string& folder) {
    const std::string path = folder + "/bytes";
    const auto file = must_open(env, path, OpenMode::create_new);
    REQUIRE(file->write_at(0, "hello world").ok());
    REQUIRE(file->write_at(6, "klog").ok());
    CHECK(read_all(env, path) == "hello klogd");
    std::array<char, 16> buffer{};
    CHECK(file->read_at(6, buffer).value() == 5);
    CHECK(std::string_view(buffer.data(), 5) == "klogd");
    CHECK(file->read_at(11, buffer).value() == 0);
    CHECK(file->read_at(5000, buffer).value() == 0);
    CHECK(file->read_at(0, std::span<char>()).value() == 0);
    REQUIRE(file->write_at(20, "").ok());
    CHECK(file->size().value() == 11);

    REQUIRE(file->write_at(1500, "far").ok());
    CHECK(file->size().value() == 1503);
    CHECK(read_all(env, path) == "hello klogd" + std::string(1489, '\0') + "far");
    REQUIRE(file->truncate(5).ok());
    REQUIRE(file->truncate(8).ok());
    CHECK(read_all(env, path) == std::string("hello\0\0\0", 8));
    REQUIRE(file->sync_data().ok());
    CHECK(read_all(env, path) == std::string("hello\0\0\0", 8));

    std::string large(300'000, '\0');
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 % 251);
    REQUIRE(file->write_at(1, large).ok());
    CHECK(read_all(env, path) == "h" + large);
}

void check_room(Env& env, const std::string& folder) {
    const std::string path = folder + "/room";
    const auto file = must_open(env, path, OpenMode::create_new);
    REQUIRE(file->reserve(0, 300'000).ok());
    CHECK(file->size().value() == 300'000);
    REQUIRE(file->write_at(1, "klog").ok());
    REQUIRE(file->reserve(300'000, 300'001).ok());
    REQUIRE(file->reserve(300'001, 300'001).ok());
    REQUIRE(file->sync_data().ok());
    CHECK(read_all(env, path) == std::string(1, '\0') + "klog" + std::string(299'996, '\0'));
    CHECK(env.free_bytes(folder) > 0);
    CHECK(env.free_bytes(folder + "/none") > 0);  // nobody can say
}

void check_names(Env& env, const std::string& folder) {
    const std::string dir = folder + "/names";
    REQUIRE(env.create_dirs(dir + "/deep/er").ok());
    REQUIRE(env.create_dirs(dir + "/deep/er").ok());
    CHECK(env.list_dir(dir).value() == std::vector<std::string>{"deep"});
    CHECK(env.list_dir(dir + "/deep/er").value().empty());
    check_refused(env.list_dir(dir + "/none"), Code::not_found, dir);

    const auto first = must_open(env, dir + "/b", OpenMode::create_new);
    REQUIRE(first->write_at(0, "first").ok());
    const auto second = must_open(env, dir + "/a", OpenMode::create_new);
    REQUIRE(second->write_at(0, "second").ok());
    CHECK(env.list_dir(dir).value() == std::vector<std::string>{"a", "b", "deep"});
    CHECK(env.exists(dir + "/a").value());
    CHECK(env.exists(dir + "/deep").value());
    CHECK_FALSE(env.exists(dir + "/c").value());
    CHECK_FALSE(env.exists(dir + "/a/c").value());
    CHECK_FALSE(env.create_dirs(dir + "/a").ok());
    CHECK_FALSE(env.create_dirs(dir + "/a/c").ok());

    REQUIRE(env.rename(dir + "/a", dir + "/b").ok());
    CHECK(env.list_dir(dir).value() == std::vector<std::string>{"b", "deep"});
    CHECK(read_all(env, dir + "/b") == "second");
    check_refused(env.rename(dir + "/a", dir + "/b"), Code::not_found, dir + "/a");
    REQUIRE(env.rename(dir + "/b", dir + "/deep/b").ok());
    CHECK(env.list_dir(dir).value() == std::vector<std::string>{"deep"});
    REQUIRE(env.sync_dir(dir).ok());

    REQUIRE(env.remove(dir + "/deep/b").ok());
    check_refused(env.remove(dir + "/deep/b"), Code::not_found, dir + "/deep/b");
    CHECK_FALSE(env.remove(dir + "/deep").ok());
    CHECK(env.list_dir(dir + "/deep").value() == std::vector<std::string>{"er"});

    // An open file outlives its name, as the reader of a removed or replaced file counts on.
    std::array<char, 8> buffer{};
    CHECK(second->read_at(0, buffer).value() == 6);
    CHECK(first->read_at(0, buffer).value() == 5);
}

void check_locks(Env& env, const std::string& folder) {
    const std::string path = folder + "/lock";
    check_refused(env.lock(folder + "/none/lock"), Code::not_found, folder);
    {
        auto held = env.lock(path);
        REQUIRE(held.ok());
        check_refused(env.lock(path), Code::locked, path);
        CHECK(env.lock(folder + "/other_lock").ok());
        CHECK(env.exists(path).value());
    }
    CHECK(env.lock(path).ok());
    {
        auto held = env.lock_read_only(path);
        REQUIRE(held.ok());
        check_refused(env.lock(path), Code::locked, path);
        check_refused(env.lock_read_only(path), Code::locked, path);
    }
    // Where there is no file none is made, and nobody else makes it meanwhile.
    check_refused(env.lock_read_only(folder + "/none/lock"), Code::not_found, folder);
    REQUIRE(env.create_dirs(folder + "/bare").ok());
    const std::string bare = folder + "/bare/lock";
    {
        auto held = env.lock_read_only(bare);
        REQUIRE(held.ok());
        CHECK_FALSE(env.exists(bare).value());
        check_refused(env.lock(bare), Code::locked, folder);
        CHECK_FALSE(env.exists(bare).value());
        check_refused(env.lock_read_only(bare), Code::locked, folder);
    }
    {
        auto held = env.lock(bare);
        REQUIRE(held.ok());
        check_refused(env.lock_read_only(bare), Code::locked, bare);
    }
    CHECK(env.lock_read_only(bare).ok());
}

void check_clock_and_random(Env& env) {
    std::uint64_t before = env.monotonic_micros();
    for (int i = 0; i < 100; ++i) {
        const std::uint64_t after = env.monotonic_micros();
        CHECK(after >= before);
        before = after;
    }
    // Between 2020 and 2100: it counts microseconds, not something else.
    CHECK(env.now().micros > 1'577'836'800'000'000);
    CHECK(env.now().micros < 4'102'444'800'000'000);

    std::set<std::array<std::uint8_t, 16>> keys;
    for (int i = 0; i < 50; ++i) {
        std::array<std::uint8_t, 16> key{};
        env.random(key);
        keys.insert(key);
    }
    CHECK(keys.size() == 50);
    env.random({});
}

}  // namespace

std::string read_all(Env& env, const std::string& path) {
    const auto file = must_open(env, path, OpenMode::read);
    const auto size = file->size();
    REQUIRE(size.ok());
    std::string bytes(static_cast<std::size_t>(size.value()), '?');
    const auto n = file->read_at(0, bytes);
    REQUIRE_MESSAGE(n.ok(), (n.ok() ? "" : n.error().message));
    CHECK(n.value() == bytes.size());
    return bytes;
}

void check_env_contract(Env& env, const std::string& folder) {
    check_open_modes(env, folder);
    check_bytes(env, folder);
    check_room(env, folder);
    check_names(env, folder);
    check_locks(env, folder);
    check_clock_and_random(env);
}

}  // namespace klog::test
