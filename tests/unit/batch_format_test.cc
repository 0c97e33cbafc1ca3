// The framed form of reads.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/support/batch_golden.h"

using namespace klog;
using namespace klog::testing;

namespace {

std::string golden_path(const std::string& name) {
    return std::string(KLOG_SOURCE_DIR) + "/schemas/golden/batch/" + name;
}

std::string read_golden(const std::string& name) {
    std::ifstream in(golden_path(name), std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

// A header with a field changed, and its checksum right again.
std::string changed(std::string bytes, std::size_t at, const std::string& field) {
    bytes.replace(at, field.size(), field);
    std::string crc;
    put_fixed(crc, crc32c(std::string_view(bytes).substr(0, 44)));
    return bytes.replace(44, 4, crc);
}

std::string records_frame(std::uint32_t count = 3) {
    std::string out;
    BatchRecords records(out, Seq{7}, kGoldenTime);
    for (std::uint32_t i = 0; i < count; ++i) records.add(golden_record(7 + i, "a/b", "1"));
    records.finish();
    return out;
}

std::string code_of(const std::string& stream) {
    const std::string dump = dump_batch(stream, stream.size());
    return dump.substr(0, dump.find('\n'));
}

}  // namespace

TEST_CASE("batch format: records come back, however the bytes are cut") {
    std::string stream = records_frame();
    append_mark(stream, 12, BatchHeader::kAtHead);
    append_last(stream, BatchType::end);
    const std::string whole = dump_batch(stream, stream.size());
    CHECK(whole.find("seq 9 ") != std::string::npos);
    CHECK(whole.ends_with("ended\n"));
    for (const std::size_t step : {1U, 7U, 47U, 48U, 49U, 200U})
        CHECK(dump_batch(stream, step) == whole);
    CHECK(dump_batch(stream.substr(0, stream.size() - 1), 1000).ends_with("not whole\n"));
}

TEST_CASE("batch format: a producing session is nobody's business") {
    RecordView record = golden_record(7, "a/b", "1");
    record.session.bytes.fill(1);
    record.session_line = 3;
    std::string out;
    BatchRecords records(out, Seq{7}, kGoldenTime);
    records.add(record);
    records.finish();
    CHECK(dump_batch(out, out.size()).find("session") == std::string::npos);
    CHECK(out == records_frame(1));
}

TEST_CASE("batch format: packed frames need the dictionary that came last") {
    std::string stream;
    append_packed(stream, BatchCodec::zstd_dictionary, 1, 4, kGoldenDictionary);
    CHECK(code_of(stream) == "corrupt");
    const std::string golden = golden_batch();
    const std::string dump = dump_batch(golden, 100);
    CHECK(dump.find("seq 28 ") != std::string::npos);
    CHECK(dump.find("seq 24 ") != std::string::npos);
    // Another dictionary in between.
    std::string other = golden_batch_plain();
    BatchHeader dictionary;
    dictionary.type = BatchType::dictionary;
    append_batch_frame(other, dictionary, "nothing of the sort");
    append_packed(other, BatchCodec::zstd_dictionary, 25, 4, kGoldenDictionary);
    CHECK(dump_batch(other, other.size()).find("seq 28 ") == std::string::npos);
}

TEST_CASE("batch format: a frame unpacks to what it says, or is refused") {
    const std::string payload = batch_payload(1, 4);
    for (const int more : {-1, 1}) {
        BatchHeader header;
        header.codec = BatchCodec::zstd;
        header.count = 4;
        header.first_seq = Seq{1};
        header.base_time = kGoldenTime;
        header.payload_bytes = static_cast<std::uint32_t>(static_cast<int>(payload.size()) + more);
        std::string stream;
        append_batch_frame(stream, header, zstd_packed(payload));
        CHECK(code_of(stream) == "corrupt");
    }
}

TEST_CASE("batch format: an error says what and ends it") {
    std::string stream = records_frame(1);
    append_last(stream, BatchType::error, 0,
                encode_batch_problem({500, "corrupt", "a block is bad"}));
    const std::string dump = dump_batch(stream, 10);
    CHECK(dump.find("500 corrupt: a block is bad\n") != std::string::npos);
    CHECK(dump.ends_with("ended\n"));
    stream += records_frame(1);
    CHECK(dump_batch(stream, stream.size()).ends_with("corrupt\n"));
    CHECK_FALSE(decode_batch_problem("\x05").ok());
}

TEST_CASE("batch format: every changed bit and every cut is seen") {
    const std::string stream = golden_batch();
    const std::string whole = dump_batch(stream, stream.size());
    for (std::size_t bit = 0; bit < stream.size() * 8; ++bit) {
        std::string flipped = stream;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ static_cast<char>(1U << (bit % 8)));
        const std::string dump = dump_batch(flipped, flipped.size());
        REQUIRE_FALSE(dump.ends_with("ended\n"));
        const std::size_t end = dump.rfind('\n', dump.size() - 2) + 1;
        REQUIRE_MESSAGE(whole.starts_with(dump.substr(0, end)), "bit " << bit);
    }
    for (std::size_t size = 1; size < stream.size(); ++size) {
        REQUIRE(dump_batch(stream.substr(0, size), 1000).ends_with("not whole\n"));
    }
}

TEST_CASE("batch format: what is unknown is refused or passed over") {
    const std::string frame = records_frame();
    CHECK(code_of(changed(frame, 4, "\x06")) == "format_unknown");
    CHECK(code_of(changed(frame, 4, std::string(1, '\0'))) == "format_unknown");
    CHECK(code_of(changed(frame, 5, "\x03")) == "format_unknown");
    CHECK(code_of(changed(frame, 8, "\x04")) == "format_unknown");
    CHECK(code_of(changed(frame, 9, "\x80")) == "format_unknown");
    CHECK(code_of(changed(frame, 10, "\x01")).starts_with("frame type 1"));
    // Extra header bytes are passed over, and belong to the checksum.
    std::string longer = frame;
    longer.insert(48, "later...");
    longer[6] = 56;
    std::string crc;
    put_fixed(crc, crc32c("later...", crc32c(std::string_view(longer).substr(0, 44))));
    longer.replace(44, 4, crc);
    CHECK(dump_batch(longer, 1) == dump_batch(frame, 1000));
    longer[50] = 'x';
    CHECK(code_of(longer) == "corrupt");
}

TEST_CASE("batch format: sizes that cannot be are refused before anything is allocated") {
    const std::string frame = records_frame();
    std::string large;
    put_fixed(large, static_cast<std::uint32_t>(kBatchPayloadBytesMax + 1));
    CHECK(code_of(changed(frame, 12, large)) == "corrupt");
    CHECK(code_of(changed(frame, 16, large)) == "corrupt");
    CHECK(code_of(changed(frame, 16, "\x01")) == "corrupt");
    CHECK(code_of(changed(frame, 20, std::string(4, '\0'))) == "corrupt");
    CHECK(code_of(changed(frame, 6, "\x28")) == "corrupt");
    CHECK(code_of(changed(frame, 6, "\x31")) == "corrupt");
    CHECK(code_of(changed(frame, 7, "\x20")) == "corrupt");
    CHECK(code_of(changed(frame, 4, "\x03")) == "corrupt");  // a mark with a payload
    std::string dictionary;
    append_last(dictionary, BatchType::dictionary);
    CHECK(code_of(dictionary) == "corrupt");
    CHECK(code_of("KBAT") == "not whole");
    CHECK(code_of("<htm") == "corrupt");
    CHECK(code_of("<") == "corrupt");
}

// With KLOG_WRITE_GOLDEN set the files are written instead; version 1 never needs that again.
TEST_CASE("batch format: the golden stream is read as it always was") {
    if (std::getenv("KLOG_WRITE_GOLDEN") != nullptr) {
        std::ofstream(golden_path("stream.batch"), std::ios::binary) << golden_batch();
        std::ofstream(golden_path("dump.txt")) << dump_batch(golden_batch(), 1000);
    }
    const std::string stream = read_golden("stream.batch");
    CHECK(dump_batch(stream, 33) == read_golden("dump.txt"));
    CHECK(stream.starts_with(golden_batch_plain()));
    CHECK(dump_batch(golden_batch(), 1000) == read_golden("dump.txt"));
}
