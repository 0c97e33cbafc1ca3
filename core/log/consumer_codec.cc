// The forms in which consumers stand in the log: schemas/wal.md, "Consumers".
#include <algorithm>

#include "base/coding.h"
#include "log/consumers.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::uint8_t kForm = 1;
constexpr std::uint8_t kAlive = 1;
constexpr std::uint8_t kRemoved = 2;
// Flags of a line of positions.
constexpr std::uint8_t kExact = 1;
constexpr std::uint8_t kLease = 2;
constexpr std::uint8_t kResult = 4;
constexpr std::int64_t kMicrosPerMilli = 1000;

// A line with an empty name: nothing is allocated for more of them than there can be.
constexpr std::uint64_t kLineBytesMin = 4;

Error unreadable(std::string_view what) {
    return Error{Code::corrupt, std::string(what) + " cannot be decoded", {}};
}

void put_filters(std::string& out, const std::vector<std::string>& filters) {
    put_varint(out, filters.size());
    for (const std::string& filter : filters) put_bytes(out, filter);
}

std::vector<std::string> get_filters(ByteReader& in) {
    std::vector<std::string> filters;
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
        filters.emplace_back(in.bytes());
    }
    return filters;
}

std::vector<std::string> sorted(std::vector<std::string> filters) {
    std::sort(filters.begin(), filters.end());
    return filters;
}

}  // namespace

Status check_consumer_name(std::string_view name) {
    if (name.size() > Limits::kConsumerNameBytesMax) {
        return Error{Code::bad_option,
                     "the name of a consumer has " + std::to_string(name.size()) +
                         " bytes, the limit is " + std::to_string(Limits::kConsumerNameBytesMax),
                     {}};
    }
    Status level = check_space(name);
    if (level) return {};
    Error error = std::move(level).error();
    error.code = Code::bad_option;
    const std::string what = "key space";
    for (std::size_t at = error.message.find(what); at != std::string::npos;
         at = error.message.find(what, at)) {
        error.message.replace(at, what.size(), "consumer's name");
    }
    return error;
}

std::string encode_definition(const ConsumerDefinition& definition) {
    std::string out;
    put_u8(out, kForm);
    put_u8(out, kAlive);
    put_fixed(out, definition.created.micros);
    put_varint(out, definition.start.value);
    put_filters(out, definition.filters);
    put_filters(out, definition.not_filters);
    return out;
}

std::string encode_removal() {
    std::string out;
    put_u8(out, kForm);
    put_u8(out, kRemoved);
    return out;
}

Result<std::optional<ConsumerDefinition>> decode_definition(std::string_view value) {
    ByteReader in(value);
    const std::uint8_t form = in.u8();
    const std::uint8_t what = in.u8();
    if (!in.ok() || form != kForm) return unreadable("a consumer's definition");
    if (what == kRemoved) return std::optional<ConsumerDefinition>();
    ConsumerDefinition definition;
    definition.created.micros = in.fixed<std::int64_t>();
    definition.start.value = in.varint();
    definition.filters = get_filters(in);
    definition.not_filters = get_filters(in);
    if (!in.ok() || in.left() != 0 || what != kAlive) return unreadable("a consumer's definition");
    return std::optional<ConsumerDefinition>(std::move(definition));
}

bool same_filters(const ConsumerDefinition& a, const ConsumerDefinition& b) {
    return sorted(a.filters) == sorted(b.filters) && sorted(a.not_filters) == sorted(b.not_filters);
}

// Positions and times count back from the greatest ones, so that a line takes a dozen bytes.
std::string encode_positions(const std::vector<PositionLine>& lines) {
    std::uint64_t base_seq = 0;
    std::int64_t base_time = 0;
    for (const PositionLine& line : lines) {
        base_seq = std::max(base_seq, line.position.value);
        base_time = std::max(base_time, line.active.micros);
    }
    std::string out;
    put_u8(out, kForm);
    put_varint(out, base_seq);
    put_fixed(out, base_time);
    put_varint(out, lines.size());
    for (const PositionLine& line : lines) {
        put_bytes(out, line.name);
        put_u8(out,
               static_cast<std::uint8_t>((line.exact ? kExact : 0U) | (line.lease ? kLease : 0U) |
                                         (line.result.empty() ? 0U : kResult)));
        put_varint(out, base_seq - line.position.value);
        const std::int64_t ago = base_time - std::max<std::int64_t>(line.active.micros, 0);
        put_varint(out, static_cast<std::uint64_t>(ago / kMicrosPerMilli));
        if (line.lease) put_varint(out, *line.lease);
        if (!line.result.empty()) put_bytes(out, line.result);
    }
    return out;
}

Result<std::vector<PositionLine>> decode_positions(std::string_view value) {
    ByteReader in(value);
    const std::uint8_t form = in.u8();
    const std::uint64_t base_seq = in.varint();
    const auto base_time = in.fixed<std::int64_t>();
    std::uint64_t left = in.varint();
    std::vector<PositionLine> lines;
    if (form != kForm || !in.ok() || left > in.left() / kLineBytesMin || base_time < 0) {
        return unreadable("a record of positions");
    }
    lines.reserve(static_cast<std::size_t>(left));
    for (; left > 0; --left) {
        PositionLine line;
        line.name = in.bytes();
        const std::uint8_t flags = in.u8();
        const std::uint64_t back = in.varint();
        const std::uint64_t ago = in.varint();
        if (!in.ok() || back > base_seq ||
            ago > static_cast<std::uint64_t>(base_time / kMicrosPerMilli)) {
            return unreadable("a record of positions");
        }
        line.position.value = base_seq - back;
        line.active.micros = base_time - static_cast<std::int64_t>(ago) * kMicrosPerMilli;
        line.exact = (flags & kExact) != 0;
        if ((flags & kLease) != 0) line.lease = in.varint();
        if ((flags & kResult) != 0) line.result = in.bytes();
        lines.push_back(line);
    }
    if (!in.ok() || in.left() != 0) return unreadable("a record of positions");
    return lines;
}

}  // namespace klog
