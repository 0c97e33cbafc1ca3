// Plays a corpus without libFuzzer: each file as it is, each of its beginnings, and with single
// bytes changed, the same ones in every run. Arguments: files and folders.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"

namespace {

constexpr std::size_t kBeginningsMax = 300;
constexpr int kChangesPerFile = 300;

void play(const std::string& bytes) {
    // A copy of just this size, so that the address sanitizer sees one byte too far.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::size_t play_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    play(bytes);
    const std::size_t step = bytes.size() / kBeginningsMax + 1;
    std::size_t played = 1;
    for (std::size_t size = 0; size < bytes.size(); size += step, ++played) {
        play(bytes.substr(0, size));
    }
    std::mt19937 random(1);
    for (int i = 0; i < kChangesPerFile && !bytes.empty(); ++i, ++played) {
        std::string changed = bytes;
        changed[random() % changed.size()] = static_cast<char>(random());
        play(changed);
    }
    return played;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::filesystem::path> paths;
    for (int i = 1; i < argc; ++i) {
        if (!std::filesystem::is_directory(argv[i])) {
            paths.emplace_back(argv[i]);
            continue;
        }
        for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::size_t played = 0;
    for (const auto& path : paths) {
        // Behind a crash this line names the file.
        std::printf("%s\n", path.filename().c_str());
        std::fflush(stdout);
        played += play_file(path);
    }
    std::printf("%zu files, %zu inputs\n", paths.size(), played);
    return paths.empty() ? 1 : 0;
}
