// A start on files of the log that somebody changed: it refuses, or it serves a beginning of what
// was written, value for value; and what it took up it can go on with.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "fuzz/fuzz.h"
#include "segment/wal.h"
#include "support/wal_testing.h"
#include "support/wal_workload.h"

using namespace klog;
using namespace klog::testing;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::uint64_t kGroups = 9;
constexpr std::size_t kValueBytes = WalWorkload::kValueBytes;
constexpr int kChangesMax = 16;

// Two stores that were written once: one was killed, one closed.
struct Written {
    SimEnv env{3};
    std::vector<std::string> files;
    std::uint64_t records = 0;

    explicit Written(bool close) {
        WalWorkload work(env);
        records = work.live(kGroups, close).durable.size();
        env.kill();
        for (const std::string& path : env.files()) {
            if (path.ends_with(".wal") || path.ends_with("clean")) files.push_back(path);
        }
        require(files.size() >= 2 && records > kGroups, "the workload wrote");
    }
};

Written& written(bool closed) {
    static std::array<Written, 2> stores = {Written(false), Written(true)};
    return stores.at(closed ? 1 : 0);
}

void change(SimEnv& env, const std::string& path, Input& in) {
    auto bytes = env.read_file(path);
    require(bytes.ok(), "a file can be read");
    const std::uint8_t how = in.byte();
    const std::size_t at = bytes->empty() ? 0 : in.number(3) % bytes->size();
    if (how % 4 == 0) {
        bytes->resize(at);
    } else if (how % 4 == 1) {
        const std::size_t length = std::min<std::size_t>(in.number(2), bytes->size() - at);
        std::fill_n(bytes->begin() + static_cast<std::ptrdiff_t>(at), length, '\0');
    } else {
        const std::string_view with = in.bytes(std::min<std::size_t>(how, bytes->size() - at));
        bytes->replace(at, with.size(), with);
    }
    require(env.write_file(path, *bytes).ok(), "a file can be written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    Written& store = written(in.byte() % 2 != 0);
    const auto env = store.env.clone(1);
    for (int i = 0; i < kChangesMax && !in.empty(); ++i) {
        change(*env, store.files[in.byte() % store.files.size()], in);
    }
    auto opened = Wal::open(*env, workload_options(), {});
    if (!opened.ok()) {
        require(!opened.error().message.empty(), "a refusal says why");
        return 0;
    }
    const LogContents held = read_log(*opened->wal, kValueBytes);
    require(held.error.find("is wrong") == std::string::npos,
            "no value is served that was not written");
    require(held.seqs.size() <= store.records, "nothing is invented");
    for (std::size_t i = 0; i < held.seqs.size(); ++i) {
        require(held.seqs[i] == i + 1, "what is served is a beginning of what was written");
    }
    if (!held.error.empty()) return 0;  // damage that shows when it is read
    Frame frame = numbered_frame(held.seqs.size() + 1, 1, kValueBytes);
    require(commit_one(*opened->wal, frame).outcome == CommitOutcome::durable, "it goes on");
    opened->wal.reset();
    env->crash();
    auto again = Wal::open(*env, workload_options(), {});
    require(again.ok(), "what one start took up the next one takes up");
    const LogContents second = read_log(*again->wal, kValueBytes);
    require(second.error.empty() && second.seqs.size() == held.seqs.size() + 1, "and keeps");
    return 0;
}
