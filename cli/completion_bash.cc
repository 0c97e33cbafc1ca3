#include "cli/completion_bash.h"

#include <cctype>

namespace klog::cli {
namespace {

bool is_space(char letter) { return letter == ' ' || letter == '\t' || letter == '\n'; }

// Inside of double quotes a backslash is one but before these.
bool is_escapable(char letter) {
    return letter == '"' || letter == '\\' || letter == '$' || letter == '`';
}

// Reads words and notes how things stand at one offset.
class Reader {
public:
    Reader(std::string_view line, std::size_t cut) : line_(line), cut_(cut) {}

    BashLine read() {
        for (std::size_t at = 0; at < line_.size(); ++at) {
            if (at == cut_) note();
            at = step(at);
            // An escape that ends behind the cut began before it.
            if (at >= cut_ && !noted_) note();
        }
        if (!noted_) note();
        result_.current = word_;
        result_.sound = result_.words.size() == noted_words_;
        return std::move(result_);
    }

private:
    // The last offset that belongs to what begins at `at`.
    std::size_t step(std::size_t at) {
        const char letter = line_[at];
        const bool more = at + 1 < line_.size();
        if (quote_ == '\0' && is_space(letter)) {
            if (begun_) result_.words.push_back(word_);
            word_.clear();
            begun_ = false;
            return at;
        }
        begun_ = true;
        if (quote_ != '\0' && letter == quote_) {
            quote_ = '\0';
        } else if (quote_ == '\0' && (letter == '\'' || letter == '"')) {
            quote_ = letter;
            quoted_at_ = at + 1;
        } else if (letter == '\\' && quote_ != '\'') {
            if (!more) return at;
            if (quote_ == '"' && !is_escapable(line_[at + 1])) word_.push_back(letter);
            word_.push_back(line_[at + 1]);
            return at + 1;
        } else {
            word_.push_back(letter);
        }
        return at;
    }

    void note() {
        noted_ = true;
        noted_words_ = result_.words.size();
        result_.kept = word_;
        result_.quote = quote_;
        result_.behind_quote = quote_ != '\0' && quoted_at_ == cut_;
    }

    std::string_view line_;
    std::size_t cut_;
    BashLine result_;
    std::string word_;
    bool begun_ = false;
    char quote_ = '\0';
    std::size_t quoted_at_ = 0;
    bool noted_ = false;
    std::size_t noted_words_ = 0;
};

bool is_plain(char letter) {
    constexpr std::string_view kPlain = "_@%+=:,./-";
    const auto byte = static_cast<unsigned char>(letter);
    return byte >= 0x80U || std::isalnum(byte) != 0 ||
           kPlain.find(letter) != std::string_view::npos;
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char letter : text) {
        if (!is_plain(letter)) out.push_back('\\');
        out.push_back(letter);
    }
    return out;
}

std::string inside_single(std::string_view text) {
    std::string out;
    for (const char letter : text) {
        if (letter == '\'') {
            out += "'\\''";
        } else {
            out.push_back(letter);
        }
    }
    return out;
}

std::string inside_double(std::string_view text) {
    std::string out;
    for (const char letter : text) {
        if (letter == '!') {  // history, which no backslash hides here
            out += "\"'!'\"";
            continue;
        }
        if (is_escapable(letter)) out.push_back('\\');
        out.push_back(letter);
    }
    return out;
}

}  // namespace

BashLine read_bash_line(std::string_view line, std::string_view replaced) {
    const std::size_t cut = line.ends_with(replaced) ? line.size() - replaced.size() : line.size();
    return Reader(line, cut).read();
}

std::string bash_text(const BashLine& line, std::string_view text) {
    text.remove_prefix(line.kept.size());
    if (line.quote == '\0') return escape(text);
    std::string out = line.quote == '\'' ? inside_single(text) : inside_double(text);
    if (out.empty()) return out;
    // Readline drops the opening quote where the text begins with one, and adds no closing one
    // where the text ends with one: here both are part of the text.
    if (out.back() == line.quote) out.push_back(line.quote);
    if (line.behind_quote && out.front() == line.quote) out.insert(0, 1, line.quote);
    return out;
}

}  // namespace klog::cli
