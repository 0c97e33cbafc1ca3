#include "daemon/json/members.h"

#include <fmt/core.h>

#include <charconv>

#include "daemon/json/record_json.h"

namespace klog::json {
namespace {

// A string as it stands. Errors: bad_record where it is none.
Status take_raw(Scanner& in, std::string_view name, RawString& raw) {
    if (in.peek() == '"') return in.scan_string(raw) ? Status() : in.error();
    if (!in.scan_value()) return in.error();
    return bad_record(fmt::format("'{}' is not a string", name));
}

Status decode(std::string_view raw, std::string_view name, std::string& out) {
    if (decode_string(raw, out)) return {};
    return bad_record(fmt::format("'{}' holds half a surrogate pair", name));
}

// Any value, as it is written.
Status take_written(Scanner& in, std::string_view& out) {
    const char* const begin = in.position();
    if (!in.scan_value()) return in.error();
    out = {begin, static_cast<std::size_t>(in.position() - begin)};
    return {};
}

}  // namespace

Error bad_record(std::string message, std::string hint) {
    return {Code::bad_record, std::move(message), std::move(hint)};
}

Status note_once(bool& seen, std::string_view name) {
    if (seen) return bad_record(fmt::format("the member '{}' stands twice", name));
    seen = true;
    return {};
}

Status take_text(Scanner& in, std::string_view name, std::string& out) {
    RawString raw;
    KLOG_TRY(take_raw(in, name, raw));
    out.clear();
    if (raw.escaped) return decode(raw.bytes, name, out);
    out = raw.bytes;
    return {};
}

Status take_text(Scanner& in, std::string_view name, WriteBatch& batch, std::string_view& out) {
    RawString raw;
    KLOG_TRY(take_raw(in, name, raw));
    if (!raw.escaped) {
        out = raw.bytes;
        return {};
    }
    std::string decoded;
    KLOG_TRY(decode(raw.bytes, name, decoded));
    out = batch.keep(std::move(decoded));
    return {};
}

Status take_number(Scanner& in, std::string_view name, std::uint64_t& out) {
    std::string_view text;
    KLOG_TRY(take_written(in, text));
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, out);
    if (parsed.ec == std::errc{} && parsed.ptr == end) return {};
    return bad_record(fmt::format("'{}' is {}", name, text.substr(0, 40)),
                      fmt::format("'{}' takes a whole number from 0", name));
}

Status take_version(Scanner& in, std::string_view name, Expect& out) {
    std::string_view text;
    KLOG_TRY(take_written(in, text));
    const bool word = text == R"("absent")" || text == R"("exists")";
    const Result<Expect> expect = parse_expect(word ? text.substr(1, text.size() - 2) : text);
    if (!expect || (!word && expect->form != Expect::Form::version)) {
        return bad_record(fmt::format("'{}' is {}", name, text.substr(0, 40)),
                          R"(a version such as 7, "absent" or "exists")");
    }
    out = *expect;
    return {};
}

}  // namespace klog::json
