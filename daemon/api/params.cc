#include "daemon/api/params.h"

#include <fmt/core.h>

#include <charconv>

#include "daemon/json/record_json.h"

namespace klog::api {

Result<Params> Params::parse(const http::Request& request, std::span<const ParamSpec> known) {
    const auto& query = request.query;
    for (std::size_t i = 0; i < query.size(); ++i) {
        const std::string& name = query[i].first;
        const ParamSpec* spec = nullptr;
        for (const ParamSpec& candidate : known) {
            if (candidate.name == name) spec = &candidate;
        }
        if (spec == nullptr) {
            std::vector<std::string_view> names;
            for (const ParamSpec& candidate : known) names.push_back(candidate.name);
            const std::string_view near = json::nearest_name(name, names);
            return Error{Code::unknown_parameter,
                         fmt::format("unknown parameter '{}'", name.substr(0, 100)),
                         near.empty() ? std::string() : fmt::format("did you mean '{}'?", near)};
        }
        for (std::size_t j = 0; !spec->repeats && j < i; ++j) {
            if (query[j].first == name) {
                return Error{
                    Code::bad_option, fmt::format("the parameter '{}' stands twice", name), {}};
            }
        }
    }
    return Params(request);
}

std::optional<std::string_view> Params::text(std::string_view name) const {
    for (const auto& [key, value] : request_->query) {
        if (key == name) return value;
    }
    return std::nullopt;
}

std::vector<std::string> Params::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : request_->query) {
        if (key == name) values.push_back(value);
    }
    return values;
}

Result<bool> Params::flag(std::string_view name) const {
    const auto value = text(name);
    if (!value || *value == "false") return false;
    if (*value == "true") return true;
    return bad_value(name, *value, "true or false");
}

Result<std::optional<std::uint64_t>> Params::number(std::string_view name) const {
    const auto value = text(name);
    if (!value) return std::optional<std::uint64_t>();
    const auto number = parse_number(*value);
    if (!number) return bad_value(name, *value, "a whole number");
    return number;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    return number;
}

Error bad_value(std::string_view name, std::string_view value, std::string_view wanted) {
    return {Code::bad_option, fmt::format("the parameter '{}' is '{}'", name, value.substr(0, 100)),
            fmt::format("{} takes {}", name, wanted)};
}

}  // namespace klog::api
