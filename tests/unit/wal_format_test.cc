#include "segment/wal_format.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/coding.h"
#include "base/crc32c.h"
#include "env/sim_env.h"
#include "tests/support/wal_dump.h"
#include "tests/support/wal_golden.h"

using namespace klog;
using namespace klog::testing;

namespace {

std::string golden_path(const std::string& name) {
    return std::string(KLOG_SOURCE_DIR) + "/schemas/golden/wal/" + name;
}

std::string read_golden(const std::string& name) {
    std::ifstream in(golden_path(name), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

FrameHeader any_frame() {
    FrameHeader frame;
    frame.header_bytes = kFrameHeaderBytes;
    frame.payload_bytes = 77;
    frame.payload_crc = 0x01020304;
    frame.prev_crc = 0x05060708;
    frame.wal_id = 3;
    frame.offset = 8192;
    frame.incarnation = 4;
    frame.epoch = 5;
    frame.synced_upto = 4096;
    frame.log_id = LogId::system;
    frame.first_seq = {9};
    frame.count = 2;
    frame.base_time = {-1};
    frame.txn_first_seq = 8;
    frame.txn_count = 3;
    frame.nonce[11] = 1;
    return frame;
}

}  // namespace

TEST_CASE("wal format: a file header comes back") {
    WalFileHeader header = golden_header(7);
    header.previous_wal_id = 6;
    header.previous_end = 123456;
    header.previous_chain = 99;
    header.epoch = 2;
    header.settings_checkpoint = {5, 6};
    header.compatible_bits = 0x80;  // unknown ones are no reason to refuse
    const std::string bytes = encode_file_header(header);
    REQUIRE(bytes.size() == kWalFileHeaderBytes);
    const auto back = decode_file_header(bytes, "f");
    REQUIRE(back.ok());
    CHECK(dump_header(*back) == dump_header(header));
}

TEST_CASE("wal format: a long writer is cut, not run over") {
    WalFileHeader header = golden_header(1);
    header.writer = std::string(200, 'w');
    const auto back = decode_file_header(encode_file_header(header), "f");
    REQUIRE(back.ok());
    CHECK(back->writer == std::string(63, 'w'));
    CHECK(back->store_uuid == header.store_uuid);
}

TEST_CASE("wal format: every flip and truncation of a file header is seen") {
    const std::string bytes = encode_file_header(golden_header(1));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1U << (at % 8)));
        const auto result = decode_file_header(flipped, "f");
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Code::corrupt);
    }
    for (std::size_t length = 0; length < bytes.size(); length += 5) {
        CHECK_FALSE(decode_file_header(bytes.substr(0, length), "f").ok());
    }
}

TEST_CASE("wal format: what a later version made incompatible is refused by the writer's name") {
    WalFileHeader header = golden_header(1);
    header.writer = "klog 7.2";
    header.incompatible_bits = 1;
    auto refused = decode_file_header(encode_file_header(header), "wal/1");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::format_unknown);
    CHECK(refused.error().message.find("klog 7.2") != std::string::npos);
    CHECK(refused.error().message.find("wal/1") != std::string::npos);
    header.incompatible_bits = 0;
    header.format = 3;
    header.min_reader = 2;
    refused = decode_file_header(encode_file_header(header), "wal/1");
    CHECK(refused.error().code == Code::format_unknown);
    header.min_reader = 1;  // a later format that this version can read
    CHECK(decode_file_header(encode_file_header(header), "wal/1").ok());
}

TEST_CASE("wal format: a frame header comes back, and every flip of it is seen") {
    FrameHeader frame = any_frame();
    std::string bytes(kFrameHeaderBytes, '\0');
    encode_frame_header(frame, 42, bytes.data());
    const auto back = decode_frame_header(bytes, 42, 3, 8192);
    REQUIRE(back.has_value());
    CHECK(back->header_crc == frame.header_crc);
    CHECK(back->payload_bytes == 77);
    CHECK(back->payload_crc == 0x01020304);
    CHECK(back->prev_crc == 0x05060708);
    CHECK(back->incarnation == 4);
    CHECK(back->epoch == 5);
    CHECK(back->synced_upto == 4096);
    CHECK(back->log_id == LogId::system);
    CHECK(back->first_seq.value == 9);
    CHECK(back->count == 2);
    CHECK(back->base_time.micros == -1);
    CHECK(back->txn_first_seq == 8);
    CHECK(back->txn_count == 3);
    CHECK(back->nonce == frame.nonce);
    CHECK(back->total_bytes() == 208);
    CHECK_FALSE(decode_frame_header(bytes, 43, 3, 8192).has_value());
    CHECK_FALSE(decode_frame_header(bytes, 42, 4, 8192).has_value());
    CHECK_FALSE(decode_frame_header(bytes, 42, 3, 8200).has_value());
    CHECK_FALSE(decode_frame_header(bytes.substr(1), 42, 3, 8192).has_value());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ static_cast<char>(1U << (bit % 8)));
        CHECK_FALSE(decode_frame_header(flipped, 42, 3, 8192).has_value());
    }
}

TEST_CASE("wal format: a header that claims what cannot be is no header") {
    std::string bytes(kFrameHeaderBytes, '\0');
    const auto accepted = [&bytes](FrameHeader frame) {
        encode_frame_header(frame, 42, bytes.data());
        return decode_frame_header(bytes, 42, 3, 8192).has_value();
    };
    FrameHeader frame = any_frame();
    CHECK(accepted(frame));
    frame.payload_bytes = kFrameBytesMax + 1;
    CHECK_FALSE(accepted(frame));
    frame = any_frame();
    frame.header_bytes = 120;
    CHECK_FALSE(accepted(frame));
    frame = any_frame();
    frame.synced_upto = 8200;  // behind itself
    CHECK_FALSE(accepted(frame));
}

TEST_CASE("wal format: frames with unknown types, flags, codecs or critical fields are refused") {
    const std::string bytes(kFrameHeaderBytes, '\0');
    const auto code_of = [](const FrameHeader& frame, const std::string& whole) {
        const auto known = check_frame_known(frame, whole, "f");
        return known.ok() ? Code::bug : known.error().code;
    };
    CHECK(code_of(any_frame(), bytes) == Code::bug);
    FrameHeader frame = any_frame();
    frame.type = static_cast<FrameType>(3);
    CHECK(code_of(frame, bytes) == Code::format_unknown);
    for (const unsigned flag : {4U, 8U, 16U, 128U}) {
        frame = any_frame();
        frame.flags = static_cast<std::uint8_t>(flag);
        CHECK(code_of(frame, bytes) == Code::format_unknown);
    }
    frame = any_frame();
    frame.codec = 1;
    CHECK(code_of(frame, bytes) == Code::format_unknown);
    frame = any_frame();
    frame.header_bytes = kFrameHeaderBytes + 8;
    CHECK(code_of(frame, bytes + std::string("\x50\x03"
                                             "abc\0\0\0",
                                             8)) == Code::bug);
    CHECK(code_of(frame, bytes + std::string("\x51\x03"
                                             "abc\0\0\0",
                                             8)) == Code::format_unknown);
    CHECK(code_of(frame, bytes + std::string("\x50\x33"
                                             "abc\0\0\0",
                                             8)) == Code::corrupt);
}

TEST_CASE("wal format: the clean marker comes back, and every flip of it is seen") {
    CleanMarker marker;
    marker.incarnation = 3;
    marker.wal_id = 4;
    marker.end = 5000;
    marker.chain = 6;
    marker.next_seqs = {7, 8};
    marker.settings_checkpoint = {0, 1ULL << 40U};
    const std::string bytes = encode_clean_marker(marker);
    REQUIRE(bytes.size() == kCleanMarkerBytes);
    const auto back = decode_clean_marker(bytes, "clean");
    REQUIRE(back.ok());
    CHECK(back->end == 5000);
    CHECK(back->next_seqs == marker.next_seqs);
    CHECK(back->settings_checkpoint == marker.settings_checkpoint);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ static_cast<char>(1U << (bit % 8)));
        CHECK_FALSE(decode_clean_marker(flipped, "clean").ok());
    }
    CHECK_FALSE(decode_clean_marker(bytes.substr(0, 127), "clean").ok());
}

// With KLOG_WRITE_GOLDEN set the files are written instead; format 1 never needs that again.
TEST_CASE("wal format: the golden files are what is encoded today") {
    for (const auto& file : golden_files()) {
        if (std::getenv("KLOG_WRITE_GOLDEN") != nullptr) {
            std::ofstream(golden_path(file.first), std::ios::binary) << file.second;
        }
        CHECK_MESSAGE(read_golden(file.first) == file.second, file.first);
    }
}

TEST_CASE("wal format: the golden files are read as they always were") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/data/wal").ok());
    for (const auto& [name, bytes] : golden_files()) {
        REQUIRE(env.write_file("/data/wal/" + name, read_golden(name)).ok());
    }
    WalOptions options;
    options.dir = "/data";
    auto opened = Wal::open(env, options, {});
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().message));
    CHECK(opened->report.clean);
    REQUIRE(opened->clean_next_seqs.has_value());
    CHECK((*opened->clean_next_seqs)[1] == 13);
    CHECK(opened->settings_checkpoint[0] == 1);
    const std::string dump = dump_log(*opened->wal, 2);
    if (std::getenv("KLOG_WRITE_GOLDEN") != nullptr) std::ofstream(golden_path("dump.txt")) << dump;
    CHECK(dump == read_golden("dump.txt"));
}
