// Is it JSON? The checker against a grammar written down once more, in the plainest way.
#include <string>
#include <vector>

#include "base/utf8.h"
#include "daemon/json/json_check.h"
#include "fuzz/fuzz.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

// RFC 8259, at most kDepthMax levels. Precondition: the text is UTF-8.
class Grammar {
public:
    explicit Grammar(std::string_view text) : text_(text) {}
    bool document() {
        space();
        if (!value(1)) return false;
        space();
        return at_ == text_.size();
    }

private:
    [[nodiscard]] char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    bool word(std::string_view wanted) {
        if (text_.substr(at_, wanted.size()) != wanted) return false;
        at_ += wanted.size();
        return true;
    }
    void space() {
        while (take(' ') || take('\t') || take('\n') || take('\r')) {
        }
    }
    bool digits() {
        const std::size_t before = at_;
        while (now() >= '0' && now() <= '9') ++at_;
        return at_ > before;
    }
    bool number() {
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (!digits()) return false;
        }
        return true;
    }
    bool hex4() {
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = now();
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
                return false;
            }
        }
        return true;
    }
    bool string() {
        if (!take('"')) return false;
        while (at_ < text_.size()) {
            const char c = text_[at_++];
            if (c == '"') return true;
            if (static_cast<unsigned char>(c) < 0x20) return false;
            if (c != '\\') continue;
            const char escape = now();
            ++at_;
            if (escape == 'u'
                    ? !hex4()
                    : std::string_view("\"\\/bfnrt").find(escape) == std::string_view::npos) {
                return false;
            }
        }
        return false;
    }
    bool members(std::size_t depth, char close, bool names) {
        if (depth > json::kDepthMax) return false;
        ++at_;
        space();
        if (take(close)) return true;
        do {
            space();
            if (names) {
                if (!string()) return false;
                space();
                if (!take(':')) return false;
                space();
            }
            if (!value(depth + 1)) return false;
            space();
        } while (take(','));
        return take(close);
    }
    bool value(std::size_t depth) {
        switch (now()) {
            case '{':
                return members(depth, '}', true);
            case '[':
                return members(depth, ']', false);
            case '"':
                return string();
            case 't':
                return word("true");
            case 'f':
                return word("false");
            case 'n':
                return word("null");
            default:
                return number();
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    const std::string text(in.rest());
    const bool is_json =
        find_invalid_utf8(text) == std::string_view::npos && Grammar(text).document();
    std::string ours = text;
    const auto checked = json::Checker().check(ours.data(), text.size());
    require(checked.ok() == is_json, "the checker and the grammar agree");
    if (!checked.ok()) return 0;
    const std::string kept(*checked);
    require(kept.find_first_of("\r\n") == std::string::npos, "one line");
    require(!kept.empty() && kept.front() != ' ' && kept.back() != ' ', "no white space around it");
    std::string again = kept;
    const auto twice = json::Checker().check(again.data(), kept.size());
    require(twice.ok() && *twice == kept, "what was kept is kept as it is");
    for (const char* pointer : {"", "/a", "/0", "/a/b", "/a/0"}) {
        static_cast<void>(json::text_at(kept, *json::parse_pointer(pointer)));
    }
    return 0;
}
