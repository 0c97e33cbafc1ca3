#include "segment/manifest_format.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/crc32c.h"
#include "tests/support/manifest_golden.h"

using namespace klog;
using namespace klog::testing;

namespace {

constexpr const char* kPath = "/data/seg/manifest";
constexpr const char* kWriter = "klog 0.1.0";
// Offsets in the header, and the length of a row behind it: schemas/manifest.md.
constexpr std::size_t kFileBytesAt = 232;
constexpr std::size_t kPagesAt = 240;
constexpr std::size_t kDirectoryCrcAt = 244;
constexpr std::size_t kRowBytes = 32;

std::string golden_path(const std::string& name) {
    return std::string(KLOG_SOURCE_DIR) + "/schemas/golden/manifest/" + name;
}

std::string read_golden(const std::string& name) {
    std::ifstream file(golden_path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

template <class T>
void set_at(std::string& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Makes the checksums of the directory and of the header fit again.
void reseal(std::string& bytes) {
    std::uint32_t pages = 0;
    std::memcpy(&pages, bytes.data() + kPagesAt, sizeof pages);
    const std::size_t room = bytes.size() - kManifestHeaderBytes;
    const std::size_t directory = std::min<std::size_t>(std::size_t{pages} * kRowBytes, room);
    set_at(bytes, kDirectoryCrcAt,
           crc32c(std::string_view(bytes).substr(kManifestHeaderBytes, directory)));
    set_at(bytes, 508, crc32c(std::string_view(bytes).substr(0, 508)));
}

Code code_of(const std::string& bytes) {
    const auto decoded = decode_manifest(bytes, kPath);
    if (decoded.ok()) return Code::bad_request;  // never an error of it
    CHECK(decoded.error().message.find(kPath) == 0);
    CHECK_FALSE(decoded.error().hint.empty());
    return decoded.error().code;
}

std::string fault_of(const std::function<void(SegmentSetState&)>& change) {
    SegmentSetState state = golden_set();
    change(state);
    const auto decoded = decode_manifest(encode_manifest(state, kWriter), kPath);
    if (decoded.ok()) return "";
    CHECK(decoded.error().code == Code::corrupt);
    CHECK_FALSE(check_segment_set(state, Code::bug, "it").ok());
    return decoded.error().message;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

// With KLOG_WRITE_GOLDEN set the files are written instead; format 1 never needs that again.
TEST_CASE("manifest format: the golden file is what is encoded today, and reads as it always did") {
    const std::string bytes = encode_manifest(golden_set(), kWriter);
    const bool writes = std::getenv("KLOG_WRITE_GOLDEN") != nullptr;
    if (writes) std::ofstream(golden_path("manifest"), std::ios::binary) << bytes;
    CHECK(read_golden("manifest") == bytes);
    const auto decoded = decode_manifest(read_golden("manifest"), kPath);
    REQUIRE(decoded.ok());
    if (writes) std::ofstream(golden_path("dump.txt")) << dump_set(*decoded);
    CHECK(dump_set(*decoded) == read_golden("dump.txt"));
    CHECK(*decoded == golden_set());
}

TEST_CASE("manifest format: an empty set and long ones come back as they were") {
    for (const std::uint64_t segments : {0U, 1U, 127U, 128U, 129U, 700U}) {
        SegmentSetState state = numbered_set(segments);
        state.number = segments + 1;
        const std::string bytes = encode_manifest(state, std::string(100, 'w'));
        const auto decoded = decode_manifest(bytes, kPath);
        REQUIRE(decoded.ok());
        CHECK(*decoded == state);
        CHECK(*manifest_bytes(bytes, kPath) == bytes.size());
    }
}

TEST_CASE("manifest format: an appended segment leaves the pages before it as they were") {
    SegmentSetState state = numbered_set(2 * kManifestPageEntries);
    state.number = 1;
    const std::string before = encode_manifest(state, kWriter);
    state = numbered_set(2 * kManifestPageEntries + 1);
    state.number = 2;
    const std::string after = encode_manifest(state, kWriter);
    const std::size_t pages = 2 * kManifestPageEntries * 128;
    CHECK(before.substr(before.size() - pages) ==
          after.substr(kManifestHeaderBytes + 3 * kRowBytes, pages));
}

TEST_CASE("manifest format: a flip of any byte and any truncation is an error") {
    const std::string bytes = encode_manifest(golden_set(), kWriter);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1U << (at % 8)));
        REQUIRE_MESSAGE(code_of(flipped) == Code::corrupt, "flip at ", at);
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        REQUIRE_MESSAGE(code_of(bytes.substr(0, size)) == Code::corrupt, "cut at ", size);
    }
    CHECK(code_of(bytes + '\0') == Code::corrupt);
    CHECK(code_of(bytes + bytes) == Code::corrupt);
}

TEST_CASE("manifest format: lengths and counts that lie are refused, whatever they claim") {
    const std::string good = encode_manifest(golden_set(), kWriter);
    const std::size_t row = kManifestHeaderBytes;
    for (const std::uint32_t value : {0U, 1U, 127U, 129U, 0x7fffffffU, 0xffffffffU}) {
        // File length (both halves), number of pages; count, entry length and length of a page.
        for (const std::size_t at : {kFileBytesAt, kFileBytesAt + 4, kPagesAt, row + 8, row + 12,
                                     row + 16, row + 40, row + 44, row + 48}) {
            std::string bytes = good;
            std::uint32_t old = 0;
            std::memcpy(&old, bytes.data() + at, sizeof old);
            if (old == value) continue;
            set_at(bytes, at, value);
            reseal(bytes);
            CHECK_MESSAGE(code_of(bytes) == Code::corrupt, "at ", at, " value ", value);
        }
    }
}

TEST_CASE("manifest format: bytes behind the last page are damage") {
    std::string bytes = encode_manifest(golden_set(), kWriter) + "more";
    set_at(bytes, kFileBytesAt, std::uint64_t{bytes.size()});
    reseal(bytes);
    CHECK(code_of(bytes) == Code::corrupt);
}

TEST_CASE("manifest format: what a later version wrote is refused by its name, or passed over") {
    const std::string good = encode_manifest(golden_set(), "klog 9.1");
    const auto changed = [&good](std::size_t at, auto value) {
        std::string bytes = good;
        set_at(bytes, at, value);
        reseal(bytes);
        const auto decoded = decode_manifest(bytes, kPath);
        if (decoded.ok()) return Code::bad_request;
        CHECK(contains(decoded.error().message, "klog 9.1"));
        return decoded.error().code;
    };
    CHECK(changed(8, std::uint32_t{2}) == Code::bad_request);  // a later format that 1 may read
    CHECK(changed(12, std::uint32_t{2}) == Code::format_unknown);
    CHECK(changed(16, std::uint64_t{4}) == Code::format_unknown);
    CHECK(changed(24, std::uint64_t{4}) == Code::bad_request);  // a compatible bit
    const std::size_t row = kManifestHeaderBytes;
    CHECK(changed(row, std::uint32_t{3}) == Code::format_unknown);      // forks
    CHECK(changed(row + 4, std::uint32_t{2}) == Code::format_unknown);  // another log
    // A page that is not critical: garbage stands last.
    std::string bytes = good;
    set_at(bytes, row + 3 * kRowBytes, std::uint32_t{9});
    set_at(bytes, row + 3 * kRowBytes + 24, std::uint32_t{0});
    reseal(bytes);
    const auto decoded = decode_manifest(bytes, kPath);
    REQUIRE(decoded.ok());
    CHECK(decoded->garbage.empty());
    CHECK(decoded->logs == golden_set().logs);
}

TEST_CASE("manifest format: entries of a later version may be longer") {
    SegmentSetState state = numbered_set(3);
    state.number = 1;
    const std::string good = encode_manifest(state, kWriter);
    std::string pages;
    const std::size_t first = kManifestHeaderBytes + kRowBytes;
    for (std::size_t i = 0; i < 3; ++i) pages += good.substr(first + i * 128, 128) + "laterbit";
    std::string bytes = good.substr(0, first) + pages;
    set_at(bytes, kManifestHeaderBytes + 12, std::uint32_t{136});
    set_at(bytes, kManifestHeaderBytes + 16, static_cast<std::uint32_t>(pages.size()));
    set_at(bytes, kManifestHeaderBytes + 20, crc32c(pages));
    set_at(bytes, kFileBytesAt, std::uint64_t{bytes.size()});
    reseal(bytes);
    const auto decoded = decode_manifest(bytes, kPath);
    REQUIRE_MESSAGE(decoded.ok(), (decoded.ok() ? "" : decoded.error().message));
    CHECK(*decoded == state);
}

TEST_CASE("manifest format: a set that contradicts itself is damage, and says where") {
    using State = SegmentSetState;
    CHECK(fault_of([](State&) {}).empty());
    CHECK(contains(fault_of([](State& s) { s.logs[1].erase(s.logs[1].begin() + 4); }),
                   "segment 6 of log 1 covers seqs 51 to 60, but what stands before it ends at 40: "
                   "a hole"));
    CHECK(contains(fault_of([](State& s) { s.logs[1].erase(s.logs[1].begin()); }), "a hole"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].covered.last = {51}; }), "an overlap"));
    CHECK(contains(fault_of([](State& s) { std::swap(s.logs[1][4], s.logs[1][5]); }), "a hole"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].covered = {}; }), "covers no seq"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].covered.first = {51}; }), "covers no"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].held.last = {51}; }), "it holds"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].held.first = {40}; }), "it holds"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].records = 11; }), "it holds 11 records"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].records = 0; }), "it holds 0 records"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].held = {}; }), "it holds 10 records"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].segment_id = 4; }), "named twice"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].segment_id = 0; }), "its number"));
    CHECK(contains(fault_of([](State& s) { s.next_segment_id = 5; }), "its number is not below 5"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].log_id = LogId::system; }), "another log"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].root_bytes = 5000; }), "its root"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].last_time = {9}; }), "run backwards"));
    CHECK(contains(fault_of([](State& s) { s.logs[1][4].first_time = {9}; }), "begins before"));
    CHECK(contains(fault_of([](State& s) { s.number = 0; }), "no number"));
    CHECK(contains(fault_of([](State& s) { s.sealed = {}; }), "no sealed WAL file"));
    CHECK(contains(fault_of([](State& s) { s.sealed.end = 4095; }), "where none can end"));
    CHECK(contains(fault_of([](State& s) { s.settings_checkpoint[0] = 8; }), "its segments end"));
    CHECK(contains(fault_of([](State& s) { s.garbage[0].segment_id = 5; }), "counts or is named"));
    CHECK(contains(fault_of([](State& s) { s.garbage[0].segment_id = 999; }), "was never made"));
    CHECK(contains(fault_of([](State& s) { s.garbage[0].log_id = static_cast<LogId>(7); }),
                   "unknown log"));
}
