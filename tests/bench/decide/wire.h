// As much of the protobuf wire format as the peers' appends take: varints and fields of bytes.
#ifndef KLOG_BENCH_DECIDE_WIRE_H
#define KLOG_BENCH_DECIDE_WIRE_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/bench/decide/load.h"

namespace klog::decide::wire {

void put_varint(std::string& out, std::uint64_t number);
void put_number(std::string& out, unsigned field, std::uint64_t number);
void put_bytes(std::string& out, unsigned field, std::string_view bytes);
// `size` bytes, big-endian.
void put_big_endian(std::string& out, std::uint64_t number, std::size_t size);
[[nodiscard]] std::uint64_t big_endian(std::string_view bytes);

struct Field {
    unsigned number = 0;
    std::uint64_t value = 0;
    std::string_view bytes;
};

// Takes a message's next field off `message`; nullopt at its end. Ends the program where the
// message is damaged.
[[nodiscard]] std::optional<Field> next_field(std::string_view& message);

// What both peers call an append with a condition, laid out alike: events (type, tags, value) in
// field 1, the condition (a query of one item, the position behind which it looks) in field 2.
class AppendMessage {
public:
    AppendMessage(std::size_t writer, std::size_t batch);
    // Valid until the next call. `after` 0 looks at all events.
    [[nodiscard]] std::string_view make(std::uint64_t after);

private:
    Events events_;
    std::size_t batch_;
    std::string start_;  // of an event: its type and tag
    std::string query_;
    std::string event_;
    std::string message_;
};

}  // namespace klog::decide::wire

#endif  // KLOG_BENCH_DECIDE_WIRE_H
