#include "daemon/http/uri.h"

#include <algorithm>
#include <cstddef>

#include "daemon/http/client.h"

namespace klog::http {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Result<std::string> decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
            const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
            if (low < 0) {
                return Error{Code::bad_request,
                             "there is a % without two hexadecimal digits in the target",
                             "write a percent sign as %25"};
            }
            out.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
        }
    }
    return out;
}

// Four decimal numbers below 256, of which the first is 127.
bool is_loopback_v4(std::string_view text) {
    int parts = 0;
    while (true) {
        const std::size_t dot = text.find('.');
        const std::string_view part = text.substr(0, dot);
        if (part.empty() || part.size() > 3 || !std::all_of(part.begin(), part.end(), is_digit)) {
            return false;
        }
        int value = 0;
        for (const char c : part) value = value * 10 + (c - '0');
        if (value > 255 || (parts == 0 && value != 127)) return false;
        ++parts;
        if (dot == std::string_view::npos) return parts == 4;
        text.remove_prefix(dot + 1);
    }
}

}  // namespace

Result<std::vector<std::string>> split_path(std::string_view path) {
    std::vector<std::string> segments;
    if (path.empty() || path == "/") return segments;
    path.remove_prefix(1);
    while (true) {
        const std::size_t slash = path.find('/');
        KLOG_TRY_ASSIGN(std::string segment, decode(path.substr(0, slash), false));
        if (segment.find('\0') != std::string::npos) {
            return Error{Code::bad_request, "there is a NUL in the path", ""};
        }
        segments.push_back(std::move(segment));
        if (slash == std::string_view::npos) return segments;
        path.remove_prefix(slash + 1);
    }
}

Result<std::vector<std::pair<std::string, std::string>>> split_query(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> out;
    while (!query.empty()) {
        const std::size_t amp = query.find('&');
        const std::string_view piece = query.substr(0, amp);
        query.remove_prefix(amp == std::string_view::npos ? query.size() : amp + 1);
        if (piece.empty()) continue;
        const std::size_t equals = piece.find('=');
        KLOG_TRY_ASSIGN(std::string name, decode(piece.substr(0, equals), true));
        std::string value;
        if (equals != std::string_view::npos) {
            KLOG_TRY_ASSIGN(value, decode(piece.substr(equals + 1), true));
        }
        out.emplace_back(std::move(name), std::move(value));
    }
    return out;
}

bool is_loopback_host(std::string_view host) {
    std::string name;
    std::string_view port;
    if (!host.empty() && host.front() == '[') {
        const std::size_t close = host.find(']');
        if (close == std::string_view::npos || host.substr(0, close + 1) != "[::1]") return false;
        port = host.substr(close + 1);
        name = "[::1]";
    } else {
        const std::size_t colon = host.find(':');
        name = host.substr(0, colon);
        if (colon != std::string_view::npos) port = host.substr(colon);
    }
    if (!port.empty()) {
        if (port.front() != ':' || port.size() > 6) return false;
        port.remove_prefix(1);
        if (!std::all_of(port.begin(), port.end(), is_digit)) return false;
    }
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (name == "localhost" || name == "[::1]" || is_loopback_v4(name)) return true;
    constexpr std::string_view kBelow = ".localhost";
    return name.size() > kBelow.size() &&
           std::string_view(name).substr(name.size() - kBelow.size()) == kBelow;
}

std::string encode_component(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out.push_back(c);
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out.push_back('%');
        out.push_back(kHexDigits[byte >> 4U]);
        out.push_back(kHexDigits[byte & 15U]);
    }
    return out;
}

}  // namespace klog::http
