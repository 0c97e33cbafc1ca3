// Input envelopes: one pass over the line, the value's bytes taken as they stand.
#include <fmt/core.h>

#include <array>
#include <optional>

#include "daemon/json/guard_json.h"
#include "daemon/json/members.h"
#include "daemon/json/record_json.h"
#include "daemon/json/scanner.h"

namespace klog::json {
namespace {

enum class Member : std::uint8_t {
    topic,
    key,
    value,
    value_base64,
    kind,
    headers,
    id,
    event_time,
    expect,
    expected_version,
    seq,
    version,
    time,
    meta,
};

constexpr std::array<std::string_view, 14> kMembers = {
    "topic",      "key",    "value",           "value_base64", "kind",    "headers", "id",
    "event_time", "expect", "expectedVersion", "seq",          "version", "time",    "meta"};

std::optional<Member> member_named(std::string_view name) {
    for (std::size_t i = 0; i < kMembers.size(); ++i) {
        if (kMembers[i] == name) return static_cast<Member>(i);
    }
    return std::nullopt;
}

Error unknown_member(std::string_view name, bool atomic) {
    if (name == "guard" || name == "ack") {
        if (atomic) {
            return bad_record(fmt::format("'{}' has a line of its own", name),
                              "a record's own guard stands in it as 'expect'");
        }
        return bad_record(fmt::format("a line of '{}' stands only in an atomic batch", name),
                          "atomic=true, or klog produce --atomic");
    }
    if (name == "space") {
        return bad_record("'space' stands in snapshots, which cannot be produced");
    }
    const std::string_view near = nearest_name(name, kMembers);
    return bad_record(fmt::format("unknown member '{}'", name),
                      near.empty() ? std::string() : fmt::format("did you mean '{}'?", near));
}

// One envelope while it is read.
class EnvelopeParser {
public:
    EnvelopeParser(char* line, std::size_t size, std::size_t value_bytes_max, WriteBatch& batch,
                   WriteRecord& record, EnvelopePlace place)
        : in_(line, size, place.first_line),
          value_bytes_max_(value_bytes_max),
          atomic_(place.atomic),
          batch_(batch),
          record_(record) {}

    Status parse() {
        in_.skip_space();
        if (in_.peek() != '{') {
            if (!in_.scan_value() || !in_.finish()) return in_.error();
            return bad_record("an envelope is a JSON object",
                              R"({"topic":"orders/1/created","value":{}})");
        }
        KLOG_TRY(walk_members(in_, [this](std::string_view name) { return parse_member(name); }));
        if (!in_.finish()) return in_.error();
        return check_whole();
    }

private:
    Status parse_member(std::string_view name) {
        const std::optional<Member> member = member_named(name);
        if (!member) return unknown_member(name, atomic_);
        const std::uint32_t bit = 1U << static_cast<unsigned>(*member);
        if ((seen_ & bit) != 0) {
            return bad_record(fmt::format("the member '{}' stands twice", name));
        }
        seen_ |= bit;
        return parse_value_of(*member);
    }

    Status parse_value_of(Member member) {
        switch (member) {
            case Member::topic:
                return take_text("topic", record_.topic);
            case Member::key:
                record_.has_key = true;
                return take_text("key", record_.key);
            case Member::id:
                return take_id();
            case Member::value:
                return take_value();
            case Member::value_base64:
                return take_base64();
            case Member::kind:
                return take_kind();
            case Member::headers:
                return take_headers();
            case Member::event_time:
                return take_event_time();
            case Member::expect:
            case Member::expected_version:
                return take_expect();
            case Member::seq:
            case Member::version:
            case Member::time:
            case Member::meta:
                return in_.scan_value() ? Status() : in_.error();
        }
        return Error{Code::bug, "an envelope's member has no rule", {}};
    }

    Status take_text(std::string_view name, std::string_view& out) {
        return json::take_text(in_, name, batch_, out);
    }

    Status take_id() {
        KLOG_TRY(take_text("id", record_.id));
        if (record_.id.empty()) return bad_record("'id' is empty");
        if (record_.id.size() > Limits::kIdBytesMax) {
            return bad_record(fmt::format("'id' holds {} bytes, at most {} are allowed",
                                          record_.id.size(), Limits::kIdBytesMax));
        }
        return {};
    }

    Status check_value_size(std::size_t size) const {
        if (size <= value_bytes_max_) return {};
        return Error{
            Code::value_too_large,
            fmt::format("the value holds {} bytes, at most {} are allowed", size, value_bytes_max_),
            {}};
    }

    Status take_value() {
        const char* const begin = in_.position();
        if (!in_.scan_value()) return in_.error();
        record_.value = {begin, static_cast<std::size_t>(in_.position() - begin)};
        record_.encoding = Encoding::json;
        return check_value_size(record_.value.size());
    }

    Status take_base64() {
        std::string_view text;
        KLOG_TRY(take_text("value_base64", text));
        KLOG_TRY_ASSIGN(std::string bytes, parse_base64(text));
        KLOG_TRY(check_value_size(bytes.size()));
        record_.value = batch_.keep(std::move(bytes));
        record_.encoding = Encoding::bytes;
        return {};
    }

    Status take_kind() {
        std::string_view kind;
        KLOG_TRY(take_text("kind", kind));
        if (kind == "plain") return {};
        if (kind == "tombstone") {
            record_.kind = Kind::tombstone;
            return {};
        }
        if (kind == "final") {
            return bad_record("closing an entity ('final') is not supported by this version");
        }
        if (kind == "snapshot") return bad_record("snapshots cannot be produced");
        return bad_record(fmt::format("unknown kind '{}'", kind), "tombstone, or no kind at all");
    }

    Status take_headers() {
        if (!in_.take('{')) return bad_record("'headers' is not an object of strings");
        std::vector<Header> headers;
        in_.skip_space();
        while (in_.peek() != '}') {
            if (!headers.empty()) {
                if (!in_.take(',')) return in_.error();
                in_.skip_space();
            }
            Header header;
            if (in_.peek() != '"') return in_.fail_here() ? Status() : in_.error();
            KLOG_TRY(take_text("headers", header.name));
            in_.skip_space();
            if (!in_.take(':')) return in_.error();
            in_.skip_space();
            KLOG_TRY(take_text(header.name, header.value));
            in_.skip_space();
            headers.push_back(header);
            if (headers.size() > Limits::kHeadersMax) break;  // refused below
        }
        KLOG_TRY_ASSIGN(std::string encoded, checked_headers(headers));
        if (!in_.take('}')) return in_.error();
        record_.headers = batch_.keep(std::move(encoded));
        return {};
    }

    Status take_event_time() {
        std::string_view text;
        KLOG_TRY(take_text("event_time", text));
        Result<Time> time = parse_time(text);
        if (!time) return bad_record("'event_time': " + time.error().message, time.error().hint);
        record_.event_time = *time;
        record_.has_event_time = true;
        return {};
    }

    Status take_expect() {
        if (in_.peek() == '{') return take_guard();
        Expect expect;
        KLOG_TRY(take_version(in_, "expect", expect));
        const Expect& before = record_.expect;
        const bool both = before.form != Expect::Form::any || record_.guard != nullptr;
        if (both && (record_.guard != nullptr || before.form != expect.form ||
                     before.version != expect.version)) {
            return bad_record("'expect' and 'expectedVersion' differ");
        }
        record_.expect = expect;
        return {};
    }

    Status take_guard() {
        if (seen(Member::expect) && seen(Member::expected_version)) {
            return bad_record("'expect' and 'expectedVersion' exclude each other with a guard");
        }
        KLOG_TRY_ASSIGN(GuardExpect read, read_guard(in_));
        record_.expect = read.version;
        record_.guard = batch_.keep(std::move(read.guard));
        return {};
    }

    [[nodiscard]] bool seen(Member member) const {
        return (seen_ & (1U << static_cast<unsigned>(member))) != 0;
    }

    Status check_whole() const {
        if (!seen(Member::topic)) return bad_record("the envelope has no topic");
        const bool both = seen(Member::value) && seen(Member::value_base64);
        if (both) return bad_record("'value' and 'value_base64' exclude each other");
        const bool has_value = seen(Member::value) || seen(Member::value_base64);
        if (!has_value && record_.kind != Kind::tombstone) {
            return bad_record("the envelope has no value",
                              R"(only "kind":"tombstone" may lack one)");
        }
        return {};
    }

    Scanner in_;
    std::size_t value_bytes_max_;
    bool atomic_;
    WriteBatch& batch_;
    WriteRecord& record_;
    std::uint32_t seen_ = 0;
};

}  // namespace

Status parse_envelope(char* line, std::size_t size, std::size_t value_bytes_max, WriteBatch& batch,
                      WriteRecord& record, EnvelopePlace place) {
    return EnvelopeParser(line, size, value_bytes_max, batch, record, place).parse();
}

}  // namespace klog::json
