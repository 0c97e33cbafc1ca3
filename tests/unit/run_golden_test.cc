// The bytes of a run, as schemas/run.md says them.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "env/sim_env.h"
#include "index/run_format.h"
#include "index/runs.h"

namespace klog {
namespace {

constexpr std::array<std::uint8_t, 16> kStore{7, 7, 7};
const std::string kDir = "/index/1";

std::string golden_path(const std::string& name) {
    return std::string(KLOG_SOURCE_DIR) + "/schemas/golden/run/" + name;
}

RunContents golden_contents() {
    RunContents out;
    for (std::uint64_t n = 0; n < 20; ++n) {
        const Hash128 hash{n << 59U, n};
        out.heads.emplace_back(
            hash, HeadEntry{static_cast<EntityState>(1 + n % 3), Version{n * 40}, Seq{n + 1}});
        if (n % 2 == 0) {
            out.ids.emplace_back(
                hash, IdEntry{Hash128{n, ~n}, Seq{n + 1}, Version{1}, Time{1'764'400'000'000'000}});
        }
    }
    out.sessions.emplace_back(Hash128{1, 2},
                              SessionEntry{300, Seq{20}, Version{9}, Time{1'764'400'000'000'000}});
    out.covered_upto = Seq{20};
    out.last_time = Time{1'764'400'000'000'000};
    out.wal_id = 3;
    out.wal_offset = 4096;
    out.settings_seq = 2;
    return out;
}

}  // namespace

// With KLOG_WRITE_GOLDEN set the file is written instead; format 2 never needs that again.
TEST_CASE("run format: the golden file is what is written today, and reads as it always did") {
    SimEnv env(1);
    std::vector<std::string> notices;
    const std::string name = run_file_name(1);
    {
        const auto set = RunSet::open(env, kDir, kStore, notices);
        REQUIRE(set.ok());
        REQUIRE((*set)->add(golden_contents()).ok());
    }
    const std::string bytes = *env.read_file(kDir + "/" + name);
    const char* writes = std::getenv("KLOG_WRITE_GOLDEN");
    if (writes != nullptr) std::ofstream(golden_path(name), std::ios::binary) << bytes;
    std::ifstream file(golden_path(name), std::ios::binary);
    const std::string golden{std::istreambuf_iterator<char>(file), {}};
    CHECK(golden == bytes);

    SimEnv other(2);
    REQUIRE(other.create_dirs(kDir).ok());
    REQUIRE(other.write_file(kDir + "/" + name, golden).ok());
    const auto set = RunSet::open(other, kDir, kStore, notices);
    REQUIRE(set.ok());
    CHECK(notices.empty());
    const auto dump = (*set)->dump();
    REQUIRE(dump.ok());
    CHECK(dump->heads == golden_contents().heads);
    CHECK(dump->ids == golden_contents().ids);
    CHECK(dump->sessions == golden_contents().sessions);
    CHECK((*set)->watermark().settings_seq == 2);
}

}  // namespace klog
