#include "log/expectation.h"

#include <string>

namespace klog {
namespace {

std::string expectation(const Expect& expect) {
    if (expect.form == Expect::Form::absent) return "no live record";
    if (expect.form == Expect::Form::exists) return "a live record";
    return "version " + std::to_string(expect.version);
}

}  // namespace

bool holds(const Expect& expect, const HeadEntry& head) {
    switch (expect.form) {
        case Expect::Form::any:
            return true;
        case Expect::Form::version:
            return head.version.value == expect.version;
        case Expect::Form::absent:
            return head.state == EntityState::absent || head.state == EntityState::deleted;
        case Expect::Form::exists:
            return head.state == EntityState::live || head.state == EntityState::closed;
    }
    return false;
}

Error conflict_error(const Expect& expect, const HeadEntry& head) {
    std::string actual = "version " + std::to_string(head.version.value);
    if (head.state == EntityState::absent) actual = "nothing";
    if (head.state == EntityState::deleted) actual += " (deleted)";
    return Error{Code::version_conflict, "expected " + expectation(expect) + ", found " + actual,
                 "read the newest version and try again"};
}

Error closed_error() { return Error{Code::closed, "the entity is closed", {}}; }

}  // namespace klog
