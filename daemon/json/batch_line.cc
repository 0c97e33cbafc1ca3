#include "daemon/json/batch_line.h"

#include <fmt/core.h>

#include <array>

#include "daemon/json/guard_json.h"
#include "daemon/json/members.h"
#include "daemon/json/record_json.h"

namespace klog::json {
namespace {

constexpr std::string_view kGuardForm =
    R"({"guard":{"space":"orders","key":"7","expect":3}} or {"guard":{"none":["orders/7/+"]}})";
constexpr std::string_view kAckForm = R"({"ack":{"consumer":"mailer","seq":42}})";

// `form` is what hints show where no name is near.
Error unknown_member(std::string_view name, std::string_view where,
                     std::span<const std::string_view> known, std::string_view form) {
    const std::string_view near = nearest_name(name, known);
    return bad_record(fmt::format("unknown member '{}' in {}", name.substr(0, 100), where),
                      near.empty() ? std::string(form) : fmt::format("did you mean '{}'?", near));
}

// The value at the position as an object. Errors: bad_record where it is none.
Status expect_object(Scanner& in, std::string_view name, std::string_view form) {
    if (in.peek() == '{') return {};
    if (!in.scan_value()) return in.error();
    return bad_record(fmt::format("'{}' is not an object", name), std::string(form));
}

// What the value of `guard` says: of an entity, or over filters.
class GuardLine {
public:
    GuardLine(Scanner& in, WriteBatch& batch) : in_(in), batch_(batch) {}

    Status read(std::uint64_t line) {
        guard_.line = line;
        KLOG_TRY(expect_object(in_, "guard", kGuardForm));
        KLOG_TRY(walk_members(in_, [this](std::string_view name) { return take(name); }));
        const bool entity = has_space_ || has_key_ || has_expect_;
        if (entity && members_.any()) {
            return bad_record("a guard is of an entity or over filters, not both",
                              std::string(kGuardForm));
        }
        return entity ? check_entity() : members_.check();
    }
    // Precondition: read() held, and nothing follows on the line.
    void add() {
        if (members_.any()) guard_.filters = batch_.keep(std::move(members_.guard));
        batch_.atomic->guards.push_back(guard_);
    }

private:
    Status take(std::string_view name) {
        static constexpr std::array<std::string_view, 6> kNames = {"space", "key", "expect",
                                                                   "none",  "not", "after"};
        if (GuardMembers::knows(name)) return members_.take(in_, name);
        if (name == "space") {
            KLOG_TRY(note_once(has_space_, name));
            return take_text(in_, name, batch_, guard_.space);
        }
        if (name == "key") {
            KLOG_TRY(note_once(has_key_, name));
            return take_text(in_, name, batch_, guard_.key);
        }
        if (name != "expect") return unknown_member(name, "a guard", kNames, kGuardForm);
        KLOG_TRY(note_once(has_expect_, name));
        return take_version(in_, name, guard_.expect);
    }

    [[nodiscard]] Status check_entity() const {
        if (has_space_ && has_key_ && has_expect_) return {};
        const std::string_view missing = !has_space_ ? "space" : !has_key_ ? "key" : "expect";
        return bad_record(fmt::format("a guard of an entity has no '{}'", missing),
                          std::string(kGuardForm));
    }

    Scanner& in_;
    WriteBatch& batch_;
    BatchGuard guard_;
    GuardMembers members_;
    bool has_space_ = false;
    bool has_key_ = false;
    bool has_expect_ = false;
};

class AckLine {
public:
    AckLine(Scanner& in, WriteBatch& batch) : in_(in), batch_(batch) {}

    Status read(std::uint64_t line) {
        ack_.line = line;
        KLOG_TRY(expect_object(in_, "ack", kAckForm));
        KLOG_TRY(walk_members(in_, [this](std::string_view name) { return take(name); }));
        if (!has_consumer_ || !has_seq_) {
            return bad_record(fmt::format("an ack has no '{}'", has_consumer_ ? "seq" : "consumer"),
                              std::string(kAckForm));
        }
        return {};
    }
    void add() { batch_.atomic->acks.push_back(ack_); }

private:
    Status take(std::string_view name) {
        static constexpr std::array<std::string_view, 4> kNames = {"consumer", "seq", "lease",
                                                                   "result"};
        if (name == "consumer") {
            KLOG_TRY(note_once(has_consumer_, name));
            return take_consumer();
        }
        if (name == "seq") {
            KLOG_TRY(note_once(has_seq_, name));
            return take_number(in_, name, ack_.seq.value);
        }
        if (name == "lease") {
            KLOG_TRY(note_once(has_lease_, name));
            return take_number(in_, name, ack_.lease.emplace());
        }
        if (name != "result") return unknown_member(name, "an ack", kNames, kAckForm);
        KLOG_TRY(note_once(has_result_, name));
        return take_result();
    }

    Status take_consumer() {
        KLOG_TRY(take_text(in_, "consumer", batch_, ack_.consumer));
        if (!ack_.consumer.empty() && ack_.consumer.size() <= Limits::kConsumerNameBytesMax) {
            return {};
        }
        return bad_record(fmt::format("a consumer's name has 1 to {} bytes, this one {}",
                                      Limits::kConsumerNameBytesMax, ack_.consumer.size()));
    }

    Status take_result() {
        const char* const begin = in_.position();
        if (!in_.scan_value()) return in_.error();
        ack_.result = {begin, static_cast<std::size_t>(in_.position() - begin)};
        if (ack_.result.size() <= Limits::kAckResultBytesMax) return {};
        return bad_record(fmt::format("'result' holds {} bytes, at most {} are allowed",
                                      ack_.result.size(), Limits::kAckResultBytesMax),
                          "what is longer is a record of its own");
    }

    Scanner& in_;
    WriteBatch& batch_;
    BatchAck ack_;
    bool has_consumer_ = false;
    bool has_seq_ = false;
    bool has_lease_ = false;
    bool has_result_ = false;
};

// The line's only member, whose name was passed.
template <class Kind>
Status parse_alone(Scanner& in, WriteBatch& batch, std::string_view name, std::uint64_t line) {
    Kind kind(in, batch);
    in.skip_space();
    if (!in.take(':')) return in.error();
    in.skip_space();
    KLOG_TRY(kind.read(line));
    in.skip_space();
    if (in.peek() == ',') {
        return bad_record(fmt::format("'{}' has a line of its own", name),
                          "a record's own guard stands in it as 'expect'");
    }
    if (!in.take('}') || !in.finish()) return in.error();
    kind.add();
    return {};
}

}  // namespace

Status parse_batch_line(char* text, std::size_t size, std::size_t value_bytes_max,
                        WriteBatch& batch, std::uint64_t line) {
    Scanner in(text, size, line);
    RawString name;
    in.skip_space();
    if (in.peek() == '{' && in.take('{')) {
        in.skip_space();
        if (in.peek() == '"' && in.scan_string(name)) {
            if (name.bytes == "guard") return parse_alone<GuardLine>(in, batch, "guard", line);
            if (name.bytes == "ack") return parse_alone<AckLine>(in, batch, "ack", line);
        }
    }
    WriteRecord& record = batch.records.emplace_back();
    record.line = line;
    Status status = parse_envelope(text, size, value_bytes_max, batch, record,
                                   {.first_line = line, .atomic = true});
    if (!status) batch.records.pop_back();
    return status;
}

}  // namespace klog::json
