#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "env_contract.h"
#include "klog/env.h"

namespace klog {
namespace {

class TempFolder {
public:
    TempFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "klog-env-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TempFolder() { std::filesystem::remove_all(path_); }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

mode_t mode_of(const std::string& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777U;
}

}  // namespace

TEST_CASE("posix_env: keeps the contract of Env") {
    const TempFolder folder;
    test::check_env_contract(*make_posix_env(), folder.path());
}

TEST_CASE("posix_env: keeps the contract of Env without syncing") {
    const TempFolder folder;
    test::check_env_contract(*make_posix_env({.sync = false}), folder.path());
}

TEST_CASE("posix_env: files and folders are for their owner alone") {
    const TempFolder folder;
    const auto env = make_posix_env();
    REQUIRE(env->create_dirs(folder.path() + "/a/b").ok());
    REQUIRE(env->open(folder.path() + "/a/b/file", OpenMode::create_new).ok());
    REQUIRE(env->lock(folder.path() + "/a/b/lock").ok());
    CHECK(mode_of(folder.path() + "/a") == 0700);
    CHECK(mode_of(folder.path() + "/a/b") == 0700);
    CHECK(mode_of(folder.path() + "/a/b/file") == 0600);
    CHECK(mode_of(folder.path() + "/a/b/lock") == 0600);
}

TEST_CASE("posix_env: folders are made relative to the working folder, with spare slashes") {
    const TempFolder folder;
    const auto env = make_posix_env();
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path());
    CHECK(env->create_dirs("one").ok());
    CHECK(env->create_dirs("two//three///").ok());
    CHECK(env->create_dirs(".").ok());
    CHECK(env->create_dirs("/").ok());
    std::filesystem::current_path(before);
    CHECK(env->list_dir(folder.path()).value() == std::vector<std::string>{"one", "two"});
    CHECK(env->list_dir(folder.path() + "/two").value() == std::vector<std::string>{"three"});
}

TEST_CASE("posix_env: only with syncing does a folder have to be there to be synced") {
    const TempFolder folder;
    const Status missing = make_posix_env()->sync_dir(folder.path() + "/none");
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().code == Code::not_found);
    CHECK(make_posix_env({.sync = false})->sync_dir(folder.path() + "/none").ok());
}

TEST_CASE("posix_env: a full disk is disk_full") {
    const auto env = make_posix_env();
    auto full = env->open("/dev/full", OpenMode::read_write);
    REQUIRE(full.ok());
    const Status status = full.value()->write_at(0, "x");
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::disk_full);
    CHECK(status.error().message == "cannot write /dev/full: No space left on device");
}

TEST_CASE("posix_env: a file that may grow no further is disk_full, and keeps what fitted") {
    const TempFolder folder;
    const auto env = make_posix_env();
    auto file = env->open(folder.path() + "/file", OpenMode::create_new);
    REQUIRE(file.ok());
    struct rlimit before {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit small = before;
    small.rlim_cur = 100;
    auto* const action = ::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const Status status = file.value()->write_at(50, std::string(100, 'x'));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    static_cast<void>(::signal(SIGXFSZ, action));
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::disk_full);
    CHECK(*file.value()->size() == 100);
}

TEST_CASE("posix_env: what the system forbids is not_allowed") {
    // Nobody may unlink in /proc, root neither.
    const Status status = make_posix_env()->remove("/proc/version");
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == Code::not_allowed);
}

TEST_CASE("posix_env: a lock ends with its process and keeps other processes out") {
    const TempFolder folder;
    const auto env = make_posix_env();
    const std::string path = folder.path() + "/lock";
    int to_parent[2];
    int to_child[2];
    REQUIRE(::pipe(to_parent) == 0);
    REQUIRE(::pipe(to_child) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto held = env->lock(path);
        char byte = held.ok() ? 'y' : 'n';
        if (::write(to_parent[1], &byte, 1) != 1) ::_exit(1);
        // Ends when the parent closes its side, still holding the lock.
        ::close(to_child[1]);
        ::_exit(::read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    char byte = 0;
    REQUIRE(::read(to_parent[0], &byte, 1) == 1);
    CHECK(byte == 'y');
    const auto refused = env->lock(path);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::locked);
    ::close(to_child[1]);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(env->lock(path).ok());
    for (const int fd : {to_parent[0], to_parent[1], to_child[0]}) ::close(fd);
}

}  // namespace klog
