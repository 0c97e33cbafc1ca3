// Small texts that queries, envelopes and headers share: expectations, header sets, near names.
#include <fmt/core.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "daemon/json/record_json.h"

namespace klog::json {
namespace {

// How many bytes must be put in, left out or changed to make one name of the other.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, changed});
        }
    }
    return row.back();
}

}  // namespace

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known) {
    constexpr std::size_t kNameBytesMax = 64;
    if (name.size() > kNameBytesMax) return {};
    std::string_view best;
    std::size_t best_distance = name.size() / 3 + 1;
    for (const std::string_view candidate : known) {
        const std::size_t d = distance(name, candidate);
        if (d <= best_distance && (best.empty() || d < best_distance)) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

Result<Expect> parse_expect(std::string_view text) {
    Expect expect;
    if (text == "absent") {
        expect.form = Expect::Form::absent;
        return expect;
    }
    if (text == "exists") {
        expect.form = Expect::Form::exists;
        return expect;
    }
    expect.form = Expect::Form::version;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, expect.version);
    const bool padded = text.size() > 1 && text.front() == '0';
    if (parsed.ec != std::errc{} || parsed.ptr != end || padded) {
        return Error{Code::bad_option, fmt::format("'{}' is not an expected version", text),
                     "a version such as 7, absent, or exists"};
    }
    return expect;
}

Result<std::string> checked_headers(const std::vector<Header>& headers) {
    if (headers.size() > Limits::kHeadersMax) {
        return Error{Code::headers_too_large,
                     fmt::format("a record has at most {} headers", Limits::kHeadersMax),
                     {}};
    }
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < headers.size(); ++i) {
        const Header& header = headers[i];
        bytes += header.name.size() + header.value.size();
        if (header.name.empty()) return Error{Code::bad_record, "a header has no name", {}};
        if (!simdjson::validate_utf8(header.name) || !simdjson::validate_utf8(header.value)) {
            return Error{Code::bad_record, "a header is not UTF-8", {}};
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (headers[j].name == header.name) {
                return Error{
                    Code::bad_record, fmt::format("the header '{}' stands twice", header.name), {}};
            }
        }
    }
    if (bytes > Limits::kHeadersBytesMax) {
        return Error{Code::headers_too_large,
                     fmt::format("headers hold {} bytes, at most {} are allowed", bytes,
                                 Limits::kHeadersBytesMax),
                     {}};
    }
    return encode_headers(headers);
}

}  // namespace klog::json
