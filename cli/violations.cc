#include "cli/violations.h"

#include "cli/json_text.h"
#include "cli/options.h"

namespace klog::cli {
namespace {

// Which entity, what was expected and what is there.
std::string entity_text(std::string_view violation) {
    std::string text = text_member(violation, "space") + " " + text_member(violation, "key");
    const auto expected = member(violation, "expected");
    text += ": expected ";
    text += expected && expected->starts_with('"') ? unquote(*expected)
                                                   : std::string(expected.value_or("another"));
    text += ", but it is at version " + std::string(member(violation, "actual").value_or("?"));
    const std::string state = text_member(violation, "state");
    if (!state.empty()) text += " (" + state + ")";
    return text;
}

// Which record stands against a guard, and against which of its filters.
std::string guard_text(std::string_view violation) {
    std::string text = text_member(violation, "topic") + " at seq " +
                       std::string(member(violation, "seq").value_or("?"));
    const std::string key = text_member(violation, "key");
    if (!key.empty()) text += " (key " + key + ")";
    text += " matches " + text_member(violation, "filter");
    const auto after = member(violation, "after");
    if (after && *after != "0") text += " behind " + std::string(*after);
    return text;
}

// As a shell takes it.
std::string in_quotes(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'') out += "'\\'";
        out.push_back(c);
    }
    return out + "'";
}

std::string guard_hint(std::string_view violation) {
    return "klog tail " + in_quotes(text_member(violation, "filter")) + " --after " +
           std::string(member(violation, "after").value_or("0")) +
           " --no-follow shows what came; then decide anew, from klog head on";
}

ViolationText read_one(std::string_view violation) {
    ViolationText text;
    text.code = text_member(violation, "code");
    text.line = parse_digits(member(violation, "line").value_or("")).value_or(0);
    text.hint = text_member(violation, "hint");
    text.message = text_member(violation, "detail");
    if (member(violation, "actual")) text.message = entity_text(violation);
    if (member(violation, "filter")) {
        text.message = guard_text(violation);
        text.hint = guard_hint(violation);
    }
    return text;
}

}  // namespace

std::vector<ViolationText> read_violations(std::string_view document) {
    std::vector<ViolationText> violations;
    for (const std::string_view one : elements(member(document, "violations").value_or("[]"))) {
        violations.push_back(read_one(one));
    }
    return violations;
}

}  // namespace klog::cli
