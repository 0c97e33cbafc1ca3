#include "segment/record_codec.h"

#include <doctest/doctest.h>

#include "base/coding.h"

using namespace klog;

namespace {

constexpr Time kBase{1'700'000'000'000'000};

RecordView simple(std::uint64_t seq, std::string_view topic, std::string_view value) {
    RecordView record;
    record.seq = {seq};
    record.time = kBase;
    record.topic = topic;
    record.value = value;
    return record;
}

// A record by hand: what stands behind the length.
std::string body(std::uint8_t kind, std::uint16_t bits, std::string_view rest) {
    std::string out;
    put_u8(out, kind);
    put_fixed(out, bits);
    out += std::string("\0\0\0", 3);  // seq, time, version
    put_bytes(out, "t");
    out += rest;
    return out;
}

std::string payload_of(std::string_view record_body) {
    std::string out;
    put_bytes(out, record_body);
    return out;
}

Result<bool> decode_one(const std::string& payload, RecordView& record) {
    RecordDecoder decoder(payload, Seq{1}, kBase, 1);
    return decoder.next(record);
}

std::string full_payload() {
    std::string payload;
    RecordEncoder encoder(payload, Seq{5}, kBase);
    const std::string headers = encode_headers({{"a", "1"}, {"b", ""}});
    RecordView record = simple(7, "shop/orders", R"({"n":1})");
    record.version = {3};
    record.time = {kBase.micros + 12};
    record.has_key = true;
    record.key = "o-1";
    record.id = "id-1";
    record.headers = headers;
    record.has_event_time = true;
    record.event_time = {kBase.micros - 5'000'000};
    record.session.bytes.fill(0x11);
    record.session_line = 300;
    encoder.add(record);
    encoder.add(simple(8, "shop/orders", ""));
    RecordView bytes = simple(9, "shop/other", std::string_view("\0\xff", 2));
    bytes.encoding = Encoding::bytes;
    bytes.kind = Kind::tombstone;
    encoder.add(bytes);
    return payload;
}

}  // namespace

TEST_CASE("record codec: a plain record is these bytes") {
    std::string payload;
    RecordEncoder encoder(payload, Seq{1}, kBase);
    encoder.add(simple(1, "t", "1"));
    encoder.add(simple(2, "t", "2"));
    const std::string first("\x09\x00\x00\x01\x00\x00\x00\x01t1", 10);
    const std::string second("\x08\x00\x00\x00\x01\x00\x00\x00\x32", 9);
    CHECK(payload == first + second);
    CHECK(encoder.count() == 2);
}

TEST_CASE("record codec: all fields come back") {
    const std::string payload = full_payload();
    RecordDecoder decoder(payload, Seq{5}, kBase, 3);
    RecordView record;
    REQUIRE(decoder.next(record).value());
    CHECK(record.seq.value == 7);
    CHECK(record.version.value == 3);
    CHECK(record.time.micros == kBase.micros + 12);
    CHECK(record.topic == "shop/orders");
    CHECK(record.key == "o-1");
    CHECK(record.id == "id-1");
    REQUIRE(decode_headers(record.headers).size() == 2);
    CHECK(decode_headers(record.headers)[0].value == "1");
    CHECK(record.has_event_time);
    CHECK(record.event_time.micros == kBase.micros - 5'000'000);
    CHECK(record.session.bytes[15] == 0x11);
    CHECK(record.session_line == 300);
    CHECK(record.value == R"({"n":1})");
    REQUIRE(decoder.next(record).value());
    CHECK(decoder.record_offset() > 0);
    CHECK(record.topic == "shop/orders");
    CHECK_FALSE(record.has_key);
    CHECK(record.session.empty());
    REQUIRE(decoder.next(record).value());
    CHECK(record.topic == "shop/other");
    CHECK(record.kind == Kind::tombstone);
    CHECK(record.encoding == Encoding::bytes);
    CHECK(record.value == std::string_view("\0\xff", 2));
    CHECK_FALSE(decoder.next(record).value());
}

TEST_CASE("record codec: fields that are written later are skipped") {
    std::string rest;
    put_varint(rest, 70'000);  // schema_seq
    put_varint(rest, 9);       // settings_seq
    rest += "value";
    RecordView record;
    const std::string payload = payload_of(body(0, 0x118, rest));
    REQUIRE(decode_one(payload, record).ok());
    CHECK(record.value == "value");
}

TEST_CASE("record codec: an unknown extra field is skipped, a critical one refused") {
    const auto with_tag = [](std::uint64_t tag) {
        std::string tlv;
        put_varint(tlv, tag);
        put_bytes(tlv, "later");
        std::string rest;
        put_bytes(rest, tlv);
        return payload_of(body(0, 0x180, rest + "value"));
    };
    RecordView record;
    const std::string optional = with_tag(40U << 1U);
    REQUIRE(decode_one(optional, record).ok());
    CHECK(record.value == "value");
    const auto refused = decode_one(with_tag((40U << 1U) | 1U), record);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::format_unknown);
    CHECK(refused.error().message.find("critical extra field 40") != std::string::npos);
}

TEST_CASE("record codec: unknown kinds, presence bits and encodings are refused") {
    RecordView record;
    const auto code_of = [&record](const std::string& record_body) {
        const std::string payload = payload_of(record_body);
        const auto result = decode_one(payload, record);
        return result.ok() ? Code::bug : result.error().code;
    };
    CHECK(code_of(body(7, 0x100, "")) == Code::format_unknown);
    CHECK(code_of(body(0, 0x300, "")) == Code::format_unknown);
    CHECK(code_of(body(0, 0x104, "\x02")) == Code::format_unknown);
    CHECK(code_of(body(6, 0x100, "")) == Code::bug);  // the last kind that is reserved
}

TEST_CASE("record codec: a reference to no topic and a wrong count are damage") {
    std::string reference = body(0, 0, "");
    RecordView record;
    CHECK(decode_one(payload_of(reference), record).error().code == Code::corrupt);

    const std::string payload = full_payload();
    RecordDecoder few(payload, Seq{5}, kBase, 2);
    REQUIRE(few.next(record).ok());
    REQUIRE(few.next(record).ok());
    CHECK(few.next(record).error().code == Code::corrupt);
    RecordDecoder many(payload, Seq{5}, kBase, 4);
    for (int i = 0; i < 3; ++i) REQUIRE(many.next(record).ok());
    CHECK(many.next(record).error().code == Code::corrupt);
}

TEST_CASE("record codec: seqs and times that overflow are damage") {
    RecordView record;
    const std::string payload = payload_of(body(0, 0x100, ""));
    RecordDecoder fits(payload, Seq{~0ULL}, Time{INT64_MAX}, 1);
    CHECK(fits.next(record).ok());
    std::string seq(body(0, 0x100, ""));
    seq[3] = 1;
    const std::string over_seq = payload_of(seq);
    RecordDecoder seqs(over_seq, Seq{~0ULL}, kBase, 1);
    CHECK(seqs.next(record).error().code == Code::corrupt);
    std::string time(body(0, 0x100, ""));
    time[4] = 1;
    const std::string over_time = payload_of(time);
    RecordDecoder times(over_time, Seq{1}, Time{INT64_MAX}, 1);
    CHECK(times.next(record).error().code == Code::corrupt);
}

TEST_CASE("record codec: every truncation is an error") {
    const std::string payload = full_payload();
    for (std::size_t length = 0; length < payload.size(); ++length) {
        const std::string cut = payload.substr(0, length);
        RecordDecoder decoder(cut, Seq{5}, kBase, 3);
        RecordView record;
        bool failed = false;
        for (int i = 0; i < 4 && !failed; ++i) failed = !decoder.next(record).ok();
        CHECK_MESSAGE(failed, "cut at ", length);
    }
}

TEST_CASE("record codec: flipped bytes never read outside the payload") {
    const std::string payload = full_payload();
    std::size_t refused = 0;
    for (std::size_t at = 0; at < payload.size(); ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string flipped = payload;
            flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1U << bit));
            RecordDecoder decoder(flipped, Seq{5}, kBase, 3);
            RecordView record;
            while (true) {
                const auto more = decoder.next(record);
                if (!more.ok()) ++refused;
                if (!more.ok() || !more.value()) break;
                const auto inside = [&flipped](std::string_view view) {
                    return view.empty() ||
                           (view.data() >= flipped.data() &&
                            view.data() + view.size() <= flipped.data() + flipped.size());
                };
                CHECK(inside(record.topic));
                CHECK(inside(record.key));
                CHECK(inside(record.id));
                CHECK(inside(record.headers));
                CHECK(inside(record.value));
            }
        }
    }
    CHECK(refused > payload.size());
}

TEST_CASE("record codec: many topics are each written once while they do not collide") {
    std::string payload;
    RecordEncoder encoder(payload, Seq{1}, kBase);
    std::vector<std::string> topics;
    for (int i = 0; i < 3000; ++i) topics.push_back("device/" + std::to_string(i));
    for (std::uint64_t i = 0; i < 6000; ++i) encoder.add(simple(i + 1, topics[i % 3000], "1"));
    RecordDecoder decoder(payload, Seq{1}, kBase, 6000);
    RecordView record;
    std::uint32_t second_half = 0;
    for (std::uint64_t i = 0; i < 6000; ++i) {
        REQUIRE(decoder.next(record).value());
        REQUIRE(record.topic == topics[i % 3000]);
        if (i == 3000) second_half = decoder.record_offset();
    }
    CHECK_FALSE(decoder.next(record).value());
    CHECK(payload.size() - second_half < 3000 * 13);  // references, not names
}

TEST_CASE("record codec: encoded_bytes_max is an upper bound") {
    std::string payload;
    RecordEncoder encoder(payload, Seq{1}, Time{0});
    RecordView record = simple(~0ULL, "t", "v");
    record.time = {INT64_MAX};
    record.version = {~0ULL};
    record.has_key = true;
    record.has_event_time = true;
    record.event_time = {INT64_MIN};
    record.encoding = Encoding::bytes;
    record.session.bytes.fill(1);
    record.session_line = ~0ULL;
    encoder.add(record);
    CHECK(payload.size() <= encoded_bytes_max(record));
}
