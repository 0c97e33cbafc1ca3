// What the fuzz targets share. Each *_fuzz.cc is one target: libFuzzer's entry point, linked with
// libFuzzer in the preset `fuzz`, and elsewhere with replay_main.cc, which plays the corpus.
#ifndef KLOG_TESTS_FUZZ_FUZZ_H
#define KLOG_TESTS_FUZZ_FUZZ_H

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace klog::fuzz {

// Ends the process, so that the input counts as a find.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "fuzz: this does not hold: %s\n", what);
    std::abort();
}

// Takes an input apart.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size)
        : rest_(reinterpret_cast<const char*>(data), size) {}

    [[nodiscard]] bool empty() const { return rest_.empty(); }
    [[nodiscard]] std::string_view rest() const { return rest_; }
    // 0 where nothing is left.
    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return value;
    }
    std::uint64_t number(std::size_t bytes) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) value = value << 8U | byte();
        return value;
    }
    std::string_view bytes(std::size_t size) {
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(taken.size());
        return taken;
    }
    // Up to the separator, which is taken too.
    std::string_view until(char separator) {
        const std::string_view taken = rest_.substr(0, rest_.find(separator));
        rest_.remove_prefix(taken.size() == rest_.size() ? taken.size() : taken.size() + 1);
        return taken;
    }

private:
    std::string_view rest_;
};

}  // namespace klog::fuzz

#endif  // KLOG_TESTS_FUZZ_FUZZ_H
