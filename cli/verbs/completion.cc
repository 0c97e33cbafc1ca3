// `klog completion SHELL` prints the script of a shell; the hidden `klog __complete` answers it.
#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/completion_bash.h"
#include "cli/completion_scripts.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

Result<int> run_completion(const std::string& shell) {
    std::string_view script;
    if (shell == "bash") script = kBashScript;
    if (shell == "zsh") script = kZshScript;
    if (shell == "fish") script = kFishScript;
    if (script.empty()) {
        return Error{Code::bad_option, "there is no completion for \"" + shell + "\"",
                     "klog completion bash, zsh or fish"};
    }
    Output out;
    out.append(script);
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_completion(CLI::App& app) {
    const auto shell = std::make_shared<std::string>();
    app.add_option("SHELL", *shell)->required();
    return [shell](Context& context) {
        static_cast<void>(context);
        return run_completion(*shell);
    };
}

std::string_view directive(Completion::Other other) {
    switch (other) {
        case Completion::Other::files:
            return ":files\n";
        case Completion::Other::folders:
            return ":folders\n";
        case Completion::Other::commands:
            return ":commands\n";
        case Completion::Other::none:
            break;
    }
    return "";
}

bool is_open(const Completion& completion) {
    if (completion.candidates.size() != 1) return false;
    const std::string& text = completion.candidates.front().text;
    return text.ends_with('/') || text.ends_with('=');
}

}  // namespace

Verb completion_verb() {
    Verb verb;
    verb.name = "completion";
    verb.summary = "the script that completes klog in a shell";
    verb.synopsis = "bash|zsh|fish";
    verb.examples =
        "  $ klog completion bash > klog.bash\n"
        "  $ klog completion zsh > _klog\n"
        "  $ klog completion fish > klog.fish\n";
    verb.add = add_completion;
    verb.client = true;
    return verb;
}

const Verb& complete_verb() {
    static const Verb kVerb = [] {
        Verb hidden;
        hidden.name = kCompleteVerb;
        hidden.client = true;
        return hidden;
    }();
    return kVerb;
}

Result<int> print_completion(const std::vector<std::string>& args, Context& context) {
    if (args.size() < 2) return 0;
    const bool bash = args[0] == "bash";
    std::vector<std::string> words(args.begin() + 1, args.end() - 1);
    std::string current = args.back();
    BashLine line;
    if (bash) {
        line = read_bash_line(args[1], args.back());
        if (!line.sound) return 0;
        words = line.words;
        if (!words.empty()) words.erase(words.begin());  // the program
        current = line.current;
    }
    Completion completion = complete(words, current, context);
    if (args[0] == "fish") {
        // fish leaves a leading tilde as it is, and would expand it.
        std::erase_if(completion.candidates,
                      [](const Candidate& each) { return each.text.starts_with('~'); });
    }
    Output out;
    out.append(directive(completion.other));
    if (is_open(completion)) out.append(":nospace\n");
    for (const Candidate& candidate : completion.candidates) {
        out.append("=");
        out.append(bash ? bash_text(line, candidate.text) : candidate.text);
        if (!bash && !candidate.note.empty()) out.append("\t" + candidate.note);
        out.append("\n");
    }
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

}  // namespace klog::cli
