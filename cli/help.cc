#include "cli/help.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace klog::cli {
namespace {

constexpr std::size_t kNameColumns = 28;

std::string pad(std::string text, std::size_t columns) {
    if (text.size() + 2 > columns) return text + "  ";
    text.append(columns - text.size(), ' ');
    return text;
}

std::string names_of(const CLI::Option& option) {
    std::string names =
        option.get_snames().empty() ? "    " : "-" + option.get_snames().front() + ", ";
    names += "--" + option.get_lnames().front();
    if (option.get_items_expected_max() > 0) names += " " + option.get_type_name();
    return names;
}

std::string format_group(const CLI::App& app, bool global) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_lnames().empty()) continue;
        if ((option->get_group() == kGlobalGroup) != global) continue;
        text += "  " + pad(names_of(*option), kNameColumns) + option->get_description() + "\n";
    }
    return text;
}

}  // namespace

std::string format_overview(const CLI::App& app) {
    std::string text =
        "klog keeps events: topics, keys, versions, and a tail with wildcards.\n\n"
        "usage: klog VERB [operands] [options]\n\n";
    for (const Verb& verb : verbs()) {
        text += "  " + pad(std::string(verb.name), 12) + std::string(verb.summary) + "\n";
    }
    text += "\nGLOBAL OPTIONS\n" + format_group(app, true);
    text += "\n`klog help VERB` shows a verb's options and examples, `man klog` the rest.\n";
    return text;
}

std::string format_help(const Verb& verb, const CLI::App& app) {
    std::string text = "klog " + std::string(verb.name) + ": " + std::string(verb.summary) + "\n\n";
    text += "usage: klog " + std::string(verb.name);
    if (!verb.synopsis.empty()) text += " " + std::string(verb.synopsis);
    text += "\n";
    const std::string own = format_group(app, false);
    if (!own.empty()) text += "\nOPTIONS\n" + own;
    text += "\nGLOBAL OPTIONS\n" + format_group(app, true);
    if (!verb.examples.empty()) text += "\nEXAMPLES\n" + std::string(verb.examples);
    text += "\n`man klog-" + std::string(verb.name) + "` says it all.\n";
    return text;
}

}  // namespace klog::cli
