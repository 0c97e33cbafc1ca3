#include "base/coding.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace klog {

TEST_CASE("coding: fixed integers are little endian") {
    std::string out;
    put_u8(out, 0xfe);
    put_fixed<std::uint16_t>(out, 0x0102);
    put_fixed<std::uint32_t>(out, 0x03040506);
    put_fixed<std::uint64_t>(out, 0x0708090a0b0c0d0eULL);
    CHECK(out == "\xfe\x02\x01\x06\x05\x04\x03\x0e\x0d\x0c\x0b\x0a\x09\x08\x07");
    ByteReader in(out);
    CHECK(in.u8() == 0xfe);
    CHECK(in.fixed<std::uint16_t>() == 0x0102);
    CHECK(in.fixed<std::uint32_t>() == 0x03040506);
    CHECK(in.fixed<std::uint64_t>() == 0x0708090a0b0c0d0eULL);
    CHECK(in.left() == 0);
    CHECK(in.ok());
}

TEST_CASE("coding: varints round-trip at every power of two") {
    std::string out;
    for (unsigned bit = 0; bit < 64; ++bit) {
        const std::uint64_t power = std::uint64_t{1} << bit;
        for (const std::uint64_t v : {power - 1, power, power + 1}) {
            out.clear();
            put_varint(out, v);
            ByteReader in(out);
            CHECK(in.varint() == v);
            CHECK(in.ok());
            CHECK(in.left() == 0);
        }
    }
    out.clear();
    put_varint(out, std::numeric_limits<std::uint64_t>::max());
    CHECK(out.size() == 10);
    ByteReader in(out);
    CHECK(in.varint() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("coding: an overflowing, over-long or cut varint is a failure") {
    for (const std::string& bytes :
         {std::string(9, '\xff') + '\x02', std::string(10, '\x80') + '\0', std::string(11, '\xff'),
          std::string("\x80"), std::string()}) {
        ByteReader in(bytes);
        CHECK(in.varint() == 0);
        CHECK_FALSE(in.ok());
        CHECK(in.left() == 0);
    }
}

TEST_CASE("coding: byte strings keep their zeros and point into the input") {
    const std::string value("a\0b", 3);
    std::string out;
    put_bytes(out, value);
    put_bytes(out, "");
    ByteReader in(out);
    const std::string_view got = in.bytes();
    CHECK(got == value);
    CHECK(got.data() == out.data() + 1);
    CHECK(in.bytes().empty());
    CHECK(in.ok());
}

TEST_CASE("coding: every read past the end gives zero, and so does all that follows") {
    std::string out;
    put_bytes(out, "hello");
    put_fixed<std::uint32_t>(out, 7);
    for (std::size_t n = 0; n < out.size(); ++n) {
        ByteReader in(std::string_view(out).substr(0, n));
        const std::string_view text = in.bytes();
        const auto number = in.fixed<std::uint32_t>();
        CHECK_FALSE(in.ok());
        CHECK((text.empty() || text == "hello"));
        CHECK(number == 0);
        CHECK(in.u8() == 0);
        CHECK(in.raw(1).empty());
    }
    std::string huge;
    put_varint(huge, std::numeric_limits<std::uint64_t>::max());
    huge += "x";
    ByteReader in(huge);
    CHECK(in.bytes().empty());
    CHECK_FALSE(in.ok());
}

}  // namespace klog
