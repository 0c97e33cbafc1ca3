// Small JSON objects that requests carry: their members, as they stand in the text.
#ifndef KLOG_DAEMON_JSON_BODY_OBJECT_H
#define KLOG_DAEMON_JSON_BODY_OBJECT_H

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::json {

class BodyObject {
public:
    // An object that holds members of these names only, each once. White space alone is an object
    // without members. Views into text, which must outlive it. Errors: bad_json, bad_record.
    [[nodiscard]] static Result<BodyObject> parse(std::string_view text,
                                                  std::span<const std::string_view> known);

    // The raw bytes of a value.
    [[nodiscard]] std::optional<std::string_view> raw(std::string_view name) const;
    // What is missing is nothing. Errors of all: bad_record, for a value of another type.
    [[nodiscard]] Result<std::optional<std::uint64_t>> number(std::string_view name) const;
    // A string, or a number as it is written.
    [[nodiscard]] Result<std::optional<std::string>> text(std::string_view name) const;
    // An array of strings, or one string.
    [[nodiscard]] Result<std::vector<std::string>> texts(std::string_view name) const;

private:
    std::vector<std::pair<std::string, std::string_view>> members_;
};

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_BODY_OBJECT_H
