#include "tests/bench/decide/wire.h"

#include <fmt/format.h>

namespace klog::decide::wire {
namespace {

constexpr unsigned kNumber = 0;
constexpr unsigned kBytes = 2;

[[noreturn]] void damaged() { die("a peer's answer is no message of its protocol"); }

std::uint64_t take_varint(std::string_view& from) {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (from.empty()) damaged();
        const auto byte = static_cast<unsigned char>(from.front());
        from.remove_prefix(1);
        number |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
        if ((byte & 0x80U) == 0) return number;
    }
    damaged();
}

}  // namespace

void put_varint(std::string& out, std::uint64_t number) {
    for (; number >= 0x80U; number >>= 7U) out += static_cast<char>((number & 0x7FU) | 0x80U);
    out += static_cast<char>(number);
}

void put_number(std::string& out, unsigned field, std::uint64_t number) {
    put_varint(out, (field << 3U) | kNumber);
    put_varint(out, number);
}

void put_bytes(std::string& out, unsigned field, std::string_view bytes) {
    put_varint(out, (field << 3U) | kBytes);
    put_varint(out, bytes.size());
    out += bytes;
}

void put_big_endian(std::string& out, std::uint64_t number, std::size_t size) {
    while (size > 0) out += static_cast<char>(number >> (8 * --size));
}

std::uint64_t big_endian(std::string_view bytes) {
    std::uint64_t number = 0;
    for (const char byte : bytes) number = (number << 8U) | static_cast<unsigned char>(byte);
    return number;
}

std::optional<Field> next_field(std::string_view& message) {
    if (message.empty()) return std::nullopt;
    const std::uint64_t tag = take_varint(message);
    Field field;
    field.number = static_cast<unsigned>(tag >> 3U);
    field.value = take_varint(message);
    if ((tag & 7U) == kBytes) {
        if (field.value > message.size()) damaged();
        field.bytes = message.substr(0, field.value);
        message.remove_prefix(field.value);
    } else if ((tag & 7U) != kNumber) {
        damaged();
    }
    return field;
}

AppendMessage::AppendMessage(std::size_t writer, std::size_t batch)
    : events_(writer), batch_(batch) {
    const std::string tag = fmt::format("course/{}", writer);
    put_bytes(start_, 1, "enrolled");
    put_bytes(start_, 2, tag);
    std::string item;
    put_bytes(item, 2, tag);
    put_bytes(query_, 1, item);
}

std::string_view AppendMessage::make(std::uint64_t after) {
    message_.clear();
    for (std::size_t i = 0; i < batch_; ++i) {
        event_ = start_;
        put_bytes(event_, 3, events_.next());
        put_bytes(message_, 1, event_);
    }
    event_.clear();
    put_bytes(event_, 1, query_);
    put_number(event_, 2, after);
    put_bytes(message_, 2, event_);
    return message_;
}

}  // namespace klog::decide::wire
