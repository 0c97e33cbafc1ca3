// A set of segments from bytes that somebody made: checksums that fit say nothing about the rest.
#include <algorithm>
#include <cstring>
#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "segment/manifest_format.h"
#include "tests/fuzz/fuzz.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

// Offsets in the header and in a row of the directory: schemas/manifest.md.
constexpr std::size_t kFileBytesAt = 232;
constexpr std::size_t kPagesAt = 240;
constexpr std::size_t kDirectoryCrcAt = 244;
constexpr std::size_t kHeaderCrcAt = 508;
constexpr std::size_t kRowBytes = 32;
constexpr std::size_t kPageBytesAt = 16;
constexpr std::size_t kPageCrcAt = 20;

template <class T>
void set_at(std::string& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Makes each checksum fit that lies in the file.
void reseal(std::string& bytes, bool length) {
    if (bytes.size() < kManifestHeaderBytes) return;
    const std::string_view all = bytes;
    if (length) set_at(bytes, kFileBytesAt, std::uint64_t{bytes.size()});
    const std::size_t rows =
        std::min<std::size_t>(load_fixed<std::uint32_t>(bytes.data() + kPagesAt),
                              (bytes.size() - kManifestHeaderBytes) / kRowBytes);
    std::size_t page_at = kManifestHeaderBytes + rows * kRowBytes;
    for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t row = kManifestHeaderBytes + i * kRowBytes;
        const std::size_t page_bytes = load_fixed<std::uint32_t>(bytes.data() + row + kPageBytesAt);
        const std::string_view page = all.substr(page_at, page_bytes);
        set_at(bytes, row + kPageCrcAt, crc32c(page));
        page_at += page.size();
    }
    set_at(bytes, kDirectoryCrcAt, crc32c(all.substr(kManifestHeaderBytes, rows * kRowBytes)));
    set_at(bytes, kHeaderCrcAt, crc32c(all.substr(0, kHeaderCrcAt)));
}

void judge(const std::string& bytes) {
    static_cast<void>(manifest_bytes(bytes, "manifest"));
    const auto state = decode_manifest(bytes, "manifest");
    if (!state.ok()) {
        require(state.error().code == Code::corrupt || state.error().code == Code::format_unknown,
                "what is wrong with bytes is corrupt or unknown");
        return;
    }
    require(check_segment_set(*state, Code::bug, "set").ok(), "what is read is sound");
    const auto again = decode_manifest(encode_manifest(*state, "fuzz"), "manifest");
    require(again.ok() && *again == *state, "what was read comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    const std::uint8_t how = in.byte();
    std::string bytes(in.rest());
    judge(bytes);
    reseal(bytes, (how & 1U) != 0);
    judge(bytes);
    return 0;
}
