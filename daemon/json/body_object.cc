#include "daemon/json/body_object.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "daemon/json/record_json.h"
#include "daemon/json/scanner.h"

namespace klog::json {
namespace {

constexpr std::size_t kTextsMax = 1024;

Error wrong_type(std::string_view name, std::string_view wanted) {
    return {Code::bad_record, fmt::format("'{}' is not {}", name, wanted), {}};
}

Result<std::string> decoded(std::string_view name, std::string_view raw) {
    std::string text;
    Scanner in(raw);
    RawString string;
    if (!in.scan_string(string) || !decode_string(string.bytes, text)) {
        return wrong_type(name, "a string");
    }
    return text;
}

}  // namespace

Result<BodyObject> BodyObject::parse(std::string_view text,
                                     std::span<const std::string_view> known) {
    BodyObject members;
    Scanner in(text);
    in.skip_space();
    if (in.at_end()) return members;
    if (in.peek() != '{') {
        if (!in.scan_value() || !in.finish()) return in.error();
        return Error{Code::bad_record, "the body is not a JSON object", {}};
    }
    if (!in.take('{')) return in.error();
    in.skip_space();
    for (bool first = true; in.peek() != '}'; first = false) {
        if (!first && !in.take(',')) return in.error();
        in.skip_space();
        RawString raw;
        if (!in.scan_string(raw)) return in.error();
        std::string name;
        if (!decode_string(raw.bytes, name)) name = raw.bytes;
        in.skip_space();
        if (!in.take(':')) return in.error();
        in.skip_space();
        const char* const begin = in.position();
        if (!in.scan_value()) return in.error();
        const auto size = static_cast<std::size_t>(in.position() - begin);
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            const std::string_view near = nearest_name(name, known);
            return Error{Code::bad_record, fmt::format("unknown member '{}'", name.substr(0, 100)),
                         near.empty() ? std::string() : fmt::format("did you mean '{}'?", near)};
        }
        if (members.raw(name)) {
            return Error{Code::bad_record, fmt::format("the member '{}' stands twice", name), {}};
        }
        members.members_.emplace_back(std::move(name), std::string_view(begin, size));
        in.skip_space();
    }
    if (!in.take('}') || !in.finish()) return in.error();
    return members;
}

std::optional<std::string_view> BodyObject::raw(std::string_view name) const {
    for (const auto& [key, value] : members_) {
        if (key == name) return value;
    }
    return std::nullopt;
}

Result<std::optional<std::uint64_t>> BodyObject::number(std::string_view name) const {
    const auto value = raw(name);
    if (!value) return std::optional<std::uint64_t>();
    std::uint64_t number = 0;
    const char* const end = value->data() + value->size();
    const auto parsed = std::from_chars(value->data(), end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return wrong_type(name, "a whole number");
    return std::optional<std::uint64_t>(number);
}

Result<std::optional<std::string>> BodyObject::text(std::string_view name) const {
    const auto value = raw(name);
    if (!value) return std::optional<std::string>();
    if (value->front() == '"') {
        KLOG_TRY_ASSIGN(std::string text, decoded(name, *value));
        return std::optional<std::string>(std::move(text));
    }
    const bool digit = value->front() == '-' || (value->front() >= '0' && value->front() <= '9');
    if (!digit) return wrong_type(name, "a string or a number");
    return std::optional<std::string>(std::string(*value));
}

Result<std::vector<std::string>> BodyObject::texts(std::string_view name) const {
    std::vector<std::string> all;
    const auto value = raw(name);
    if (!value) return all;
    if (value->front() == '"') {
        KLOG_TRY_ASSIGN(std::string text, decoded(name, *value));
        all.push_back(std::move(text));
        return all;
    }
    if (value->front() != '[') return wrong_type(name, "an array of strings");
    Scanner in(*value);
    static_cast<void>(in.take('['));
    in.skip_space();
    for (bool first = true; in.peek() != ']'; first = false) {
        if (!first && !in.take(',')) return in.error();
        in.skip_space();
        const char* const begin = in.position();
        if (in.peek() != '"' || !in.scan_value()) return wrong_type(name, "an array of strings");
        const auto size = static_cast<std::size_t>(in.position() - begin);
        KLOG_TRY_ASSIGN(std::string text, decoded(name, std::string_view(begin, size)));
        if (all.size() == kTextsMax) return wrong_type(name, "of a length that makes sense");
        all.push_back(std::move(text));
        in.skip_space();
    }
    return all;
}

}  // namespace klog::json
