#include "daemon/api/violations.h"

#include "daemon/json/json_check.h"

namespace klog::api {
namespace {

void append_text(std::string& out, std::string_view name, std::string_view text) {
    out += ",\"";
    out += name;
    out += "\":";
    json::append_quoted(out, text);
}

void append_number(std::string& out, std::string_view name, std::uint64_t number) {
    out += ",\"";
    out += name;
    out += "\":" + std::to_string(number);
}

void append_expected(std::string& out, const Expect& expect) {
    out += ",\"expected\":";
    switch (expect.form) {
        case Expect::Form::any:
            out += "null";
            break;
        case Expect::Form::version:
            out += std::to_string(expect.version);
            break;
        case Expect::Form::absent:
            out += R"("absent")";
            break;
        case Expect::Form::exists:
            out += R"("exists")";
            break;
    }
}

void append_entity(std::string& out, const Violation::Entity& entity, std::string_view last_id) {
    append_text(out, "space", entity.space);
    append_text(out, "key", entity.key);
    append_expected(out, entity.expected);
    append_number(out, "actual", entity.actual.value);
    append_text(out, "state", state_name(entity.state));
    if (entity.state == EntityState::absent) return;
    append_number(out, "last_seq", entity.last_seq.value);
    if (!last_id.empty()) append_text(out, "last_id", last_id);
}

void append_guard(std::string& out, const GuardConflict& guard,
                  const std::optional<std::string>& key) {
    append_text(out, "filter", guard.filter);
    append_number(out, "after", guard.after.value);
    append_number(out, "seq", guard.seq.value);
    append_text(out, "topic", guard.topic);
    if (key) append_text(out, "key", *key);
}

void append_violation(std::string& out, const Violation& violation,
                      const ViolationDetails& details) {
    out += R"({"code":")";
    out += code_name(violation.error.code);
    out.push_back('"');
    if (violation.line != 0) append_number(out, "line", violation.line);
    if (violation.entity) {
        append_entity(out, *violation.entity, details.last_id);
    } else if (violation.guard) {
        append_guard(out, *violation.guard, details.key);
    } else {
        append_text(out, "detail", violation.error.message);
        if (!violation.error.hint.empty()) append_text(out, "hint", violation.error.hint);
    }
    out.push_back('}');
}

ViolationDetails details_of(Log& log, const Violation& violation) {
    ViolationDetails details;
    if (violation.entity && violation.entity->state != EntityState::absent) {
        const Violation::Entity& entity = *violation.entity;
        const auto newest = log.get(entity.space, entity.key, entity.actual);
        if (newest && newest->view.seq == entity.last_seq) details.last_id = newest->view.id;
    }
    if (violation.guard) {
        const auto record = log.record(violation.guard->seq);
        if (record && record->view.has_key) details.key = std::string(record->view.key);
    }
    return details;
}

}  // namespace

std::vector<ViolationDetails> violation_details(Log& log, std::span<const Violation> violations) {
    std::vector<ViolationDetails> details;
    details.reserve(violations.size());
    for (const Violation& violation : violations) details.push_back(details_of(log, violation));
    return details;
}

std::vector<Violation> violations_of(std::uint64_t line, const WriteRecord& record,
                                     const WriteResult& result) {
    std::vector<Violation> violations;
    if (result.conflict) {
        Violation& violation = violations.emplace_back();
        violation.line = line;
        violation.error.code = Code::version_conflict;
        const Conflict& conflict = *result.conflict;
        violation.entity =
            Violation::Entity{std::string(record.topic.substr(0, record.topic.find('/'))),
                              std::string(record.key),
                              conflict.expected,
                              conflict.actual,
                              conflict.state,
                              conflict.last_seq};
    }
    if (result.guard_conflict) {
        Violation& violation = violations.emplace_back();
        violation.line = line;
        violation.error.code = Code::guard_conflict;
        violation.guard = result.guard_conflict;
    }
    return violations;
}

bool has_conflict(const WriteBatch& batch) {
    return std::any_of(batch.results.begin(), batch.results.end(), [](const WriteResult& result) {
        return result.conflict || result.guard_conflict;
    });
}

ConflictDetails conflict_details(Log& log, const WriteBatch& batch) {
    ConflictDetails details;
    for (std::size_t i = 0; i < batch.results.size() && details.size() < kConflictsMax; ++i) {
        const auto violations = violations_of(0, batch.records[i], batch.results[i]);
        if (!violations.empty()) details[i] = violation_details(log, violations);
    }
    return details;
}

std::string violations_text(std::span<const Violation> violations,
                            std::span<const ViolationDetails> details, std::uint64_t left_out) {
    std::string out = "\"violations\":[";
    for (std::size_t i = 0; i < violations.size(); ++i) {
        if (i > 0) out.push_back(',');
        append_violation(out, violations[i], i < details.size() ? details[i] : ViolationDetails{});
    }
    out.push_back(']');
    if (left_out > 0) append_number(out, "violations_left_out", left_out);
    return out;
}

std::string_view state_name(EntityState state) {
    switch (state) {
        case EntityState::absent:
            return "absent";
        case EntityState::live:
            return "live";
        case EntityState::deleted:
            return "deleted";
        case EntityState::closed:
            return "closed";
    }
    return "absent";
}

}  // namespace klog::api
