// Completion of klog's own command line. The scripts in packaging/completion ask for it through the
// hidden verb `klog __complete`; verbs and options come from the tables that parsing uses, topics
// and keys from the daemon.
//
//   klog __complete bash LINE TEXT      the line up to the cursor, and what of it is replaced
//   klog __complete zsh|fish WORD...    the words behind "klog", the last one (perhaps empty) being
//                                       typed; quotes and backslashes are taken off already
//
// The answer is a line for each candidate, "=" and the text; behind a tab a note (zsh and fish).
// For bash the text stands as it goes into the line, quoted. Lines that begin with ":" say what
// else: ":nospace" (no space behind the only candidate), ":files", ":folders", ":commands" (the
// shell knows those itself). It never fails, says nothing on stderr and starts nothing.
#ifndef KLOG_CLI_COMPLETION_H
#define KLOG_CLI_COMPLETION_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.h"
#include "cli/verb.h"
#include "klog/result.h"

namespace klog::cli {

inline constexpr std::string_view kCompleteVerb = "__complete";
// More than this many help nobody who looks at a terminal.
inline constexpr std::size_t kCandidatesMax = 200;

struct Candidate {
    std::string text;
    std::string note;  // a few words about it
};

struct Completion {
    enum class Other { none, files, folders, commands };
    std::vector<Candidate> candidates;
    Other other = Other::none;
};

// What can stand in place of `current` behind `words` (without "klog"). May ask the daemon, for at
// most 80 ms (KLOG_COMPLETION_TIMEOUT). Loads the context's settings, with the global options among
// the words.
[[nodiscard]] Completion complete(const std::vector<std::string>& words, const std::string& current,
                                  Context& context);

// The hidden verb: not in verbs(), since it takes everything behind its name as words.
[[nodiscard]] const Verb& complete_verb();
// Runs it. Errors: io (standard output).
[[nodiscard]] Result<int> print_completion(const std::vector<std::string>& args, Context& context);

}  // namespace klog::cli

#endif  // KLOG_CLI_COMPLETION_H
