// A run from bytes that somebody made: checksums that fit say nothing about the rest.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "env/sim_env.h"
#include "index/run_format.h"
#include "index/runs.h"
#include "tests/fuzz/fuzz.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::uint64_t kNumber = 1;
const std::string kDir = "/index/1";

template <class T>
void set_at(std::string& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

void reseal_header(std::string& bytes) {
    constexpr std::size_t kCrcAt = kRunHeaderBytes - sizeof(std::uint32_t);
    set_at(bytes, kCrcAt, crc32c(std::string_view(bytes).substr(0, kCrcAt)));
}

void reseal_buckets(std::string& bytes, RunTable table, const RunSection& section,
                    std::uint32_t seed) {
    const std::uint64_t entry_bytes = run_layout(table, section).entry_bytes;
    const auto start = [&](std::uint64_t bucket) -> std::uint64_t {
        if (bucket == section.buckets) return section.count;
        return load_fixed<std::uint32_t>(bytes.data() + section.starts_offset +
                                         bucket * kRunStartBytes);
    };
    for (std::uint64_t bucket = 0; bucket < section.buckets; ++bucket) {
        const std::uint64_t first = start(bucket);
        const std::uint64_t last = start(bucket + 1);
        if (first > last || last > section.count) return;
        const std::uint64_t at =
            section.entries_offset + first * entry_bytes + bucket * kRunBucketCrcBytes;
        const std::uint64_t size = (last - first) * entry_bytes;
        set_at(bytes, at + size,
               crc32c({bytes.data() + at, size}, run_section_seed(seed, table, bucket)));
    }
}

// Makes each checksum fit that lies in the file.
void reseal(std::string& bytes) {
    if (bytes.size() < kRunHeaderBytes) return;
    reseal_header(bytes);
    auto header = decode_run_header(bytes, "run");
    if (!header.ok() || header->file_bytes != bytes.size()) return;
    const std::uint32_t seed = run_file_seed(header->store_uuid, header->number);
    for (std::size_t i = 0; i < kRunTables; ++i) {
        const auto table = static_cast<RunTable>(i);
        RunSection& section = header->sections[i];
        const std::string_view all = bytes;
        section.starts_crc =
            crc32c(all.substr(section.starts_offset, section.buckets * kRunStartBytes),
                   run_section_seed(seed, table, kRunStartsBucket));
        section.filter_crc = crc32c(all.substr(section.filter_offset, section.filter_bytes),
                                    run_section_seed(seed, table, kRunFilterBucket));
        reseal_buckets(bytes, table, section, seed);
    }
    bytes.replace(0, kRunHeaderBytes, encode_run_header(*header));
}

// Whatever is in it: opening, looking up and reading all of it come to an end, with an answer or
// with an error that says what kind it is.
void judge(const std::string& bytes) {
    const auto header = decode_run_header(bytes, "run");
    if (!header.ok()) {
        require(header.error().code == Code::corrupt || header.error().code == Code::format_unknown,
                "what is wrong with a header is corrupt or unknown");
    }
    SimEnv env(1);
    require(env.create_dirs(kDir).ok(), "a folder is made");
    require(env.write_file(kDir + "/" + run_file_name(kNumber), bytes).ok(), "a file is written");
    std::vector<std::string> notices;
    const auto set = RunSet::open(env, kDir, header.ok() ? header->store_uuid : HashKey{}, notices);
    require(set.ok(), "a set is opened whatever lies there");
    if ((*set)->runs() == 0) return;
    const auto dump = (*set)->dump();
    if (!dump.ok()) {
        require(dump.error().code == Code::corrupt, "what is wrong with a run is corrupt");
        return;
    }
    require(std::is_sorted(dump->heads.begin(), dump->heads.end(),
                           [](const auto& a, const auto& b) { return a.first < b.first; }),
            "entries are sorted");
    std::vector<Hash128> hashes;
    for (const auto& [hash, head] : dump->heads) hashes.push_back(hash);
    std::vector<std::optional<HeadEntry>> found(hashes.size());
    require((*set)->find_heads(hashes, found).ok(), "what was read once is read again");
    for (std::size_t i = 0; i < found.size(); ++i) {
        // A filter that somebody made may deny what is there; nothing else is ever told.
        require(!found[i] || *found[i] == dump->heads[i].second, "an answer is what is there");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Input in(data, size);
    std::string bytes(in.rest());
    judge(bytes);
    reseal(bytes);
    judge(bytes);
    return 0;
}
