#include "index/key_index_block.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kControlEscape = "u00";  // and two digits

bool must_escape(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20U; }

void append_escaped(std::string& out, std::string_view key) {
    if (std::none_of(key.begin(), key.end(), must_escape)) {
        out.append(key);
        return;
    }
    for (const char c : key) {
        const auto byte = static_cast<unsigned char>(c);
        if (!must_escape(c)) {
            out.push_back(c);
        } else if (byte < 0x20U) {
            out.append("\\").append(kControlEscape);
            out.push_back(kHex[byte >> 4U]);
            out.push_back(kHex[byte & 0xfU]);
        } else {
            out.push_back('\\');
            out.push_back(c);
        }
    }
}

// The character that an escape stands for, of those that append_escaped() writes. `at` is behind
// the backslash, and behind the escape afterwards.
std::optional<char> unescape(std::string_view text, std::size_t& at) {
    if (at >= text.size()) return std::nullopt;
    if (text[at] == '"' || text[at] == '\\') return text[at++];
    const std::size_t digits = at + kControlEscape.size();
    if (text.substr(at, kControlEscape.size()) != kControlEscape || digits + 2 > text.size()) {
        return std::nullopt;
    }
    const std::size_t high = kHex.find(text[digits]);
    const std::size_t low = kHex.find(text[digits + 1]);
    if (high > 1 || low == std::string_view::npos) return std::nullopt;
    at = digits + 2;
    return static_cast<char>(high * 16 + low);
}

}  // namespace

bool KeyBlockBuilder::add(std::string_view key) {
    const std::size_t before = block_.text.size();
    append(key);
    const std::size_t bytes = block_.text.size() + 1 + block_.first.size() + key.size();
    if (!empty() && bytes > kBlockBytesMax) {
        block_.text.resize(before);
        return false;
    }
    count_in(key);
    return true;
}

void KeyBlockBuilder::add_anyway(std::string_view key) {
    append(key);
    count_in(key);
}

void KeyBlockBuilder::append(std::string_view key) {
    block_.text.append(empty() ? "[\"" : ",\"");
    append_escaped(block_.text, key);
    block_.text.push_back('"');
}

void KeyBlockBuilder::count_in(std::string_view key) {
    if (empty()) block_.first = key;
    block_.last = key;
    ++block_.count;
}

KeyBlock KeyBlockBuilder::take() {
    KLOG_ASSERT(!empty());
    block_.text.push_back(']');
    block_.crc = crc32c(block_.text);
    return std::exchange(block_, {});
}

bool KeyBlockKeys::decode(KeyBlock block) {
    block_ = std::move(block);
    spans_.clear();
    if (block_.text.size() > std::numeric_limits<std::uint32_t>::max()) return false;
    if (crc32c(block_.text) != block_.crc || !take_apart()) return false;
    if (spans_.empty() || spans_.size() != block_.count) return false;
    return (*this)[0] == block_.first && (*this)[spans_.size() - 1] == block_.last;
}

bool KeyBlockKeys::take_apart() {
    std::string& text = block_.text;
    const bool escaped = text.find('\\') != std::string::npos;
    std::size_t at = 0;
    for (char before = '[';; before = ',') {
        if (text.size() - at < 2 || text[at] != before || text[at + 1] != '"') return false;
        at += 2;
        const std::size_t begin = at;
        std::size_t end = at;  // of the key with its escapes undone; never ahead of `at`
        for (;;) {
            const std::size_t stop = escaped ? text.find_first_of("\"\\", at) : text.find('"', at);
            if (stop == std::string::npos) return false;
            if (end != at) text.replace(end, stop - at, text, at, stop - at);
            end += stop - at;
            at = stop + 1;
            if (text[stop] == '"') break;
            const std::optional<char> c = unescape(text, at);
            if (!c) return false;
            text[end++] = *c;
        }
        spans_.push_back(
            {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin)});
        const std::size_t n = spans_.size();
        if (n > 1 && (*this)[n - 2] >= (*this)[n - 1]) return false;
        if (at < text.size() && text[at] == ']') return at + 1 == text.size();
    }
}

std::size_t KeyBlockKeys::lower_bound(std::string_view key) const {
    const auto at = std::partition_point(spans_.begin(), spans_.end(), [&](const Span& span) {
        return std::string_view(block_.text.data() + span.at, span.bytes) < key;
    });
    return static_cast<std::size_t>(at - spans_.begin());
}

std::size_t KeyBlockKeys::upper_bound(std::string_view key) const {
    const std::size_t at = lower_bound(key);
    return at < size() && (*this)[at] == key ? at + 1 : at;
}

}  // namespace klog
