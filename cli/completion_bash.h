// bash gives a completion the line as it was typed, and takes words as they go into it: what is
// quoted there is read and written here.
#ifndef KLOG_CLI_COMPLETION_BASH_H
#define KLOG_CLI_COMPLETION_BASH_H

#include <string>
#include <string_view>
#include <vector>

namespace klog::cli {

struct BashLine {
    std::vector<std::string> words;  // without quotes; the program's name among them
    std::string current;             // the word at the cursor, without quotes
    // The part of `current` that bash leaves in place: it replaces only what stands behind the
    // last quote, colon or equals sign.
    std::string kept;
    // False: bash would replace more than the word at the cursor, as where its idea of what is
    // quoted differs from ours. Then nothing can be offered.
    bool sound = true;
    char quote = '\0';          // the quote that is open where the replaced text begins
    bool behind_quote = false;  // the replaced text begins right behind it
};

// line: up to the cursor. replaced: what bash will replace, with which the line ends.
[[nodiscard]] BashLine read_bash_line(std::string_view line, std::string_view replaced);

// What to put in place of the replaced text, so that bash reads `text` (which begins with
// line.kept, and is sound). No part of it is ever expanded or run by the shell.
[[nodiscard]] std::string bash_text(const BashLine& line, std::string_view text);

}  // namespace klog::cli

#endif  // KLOG_CLI_COMPLETION_BASH_H
