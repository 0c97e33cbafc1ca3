#include "cli/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <utility>

#include "cli/completion.h"
#include "cli/help.h"
#include "cli/suggest.h"

namespace klog::cli {
namespace {

// What CLI11 writes the global options into.
struct Globals {
    std::string url;
    std::string tenant;
    std::string context;
    std::string timeout;
    std::string output;
    std::string color;
    bool quiet = false;
    bool verbose = false;
    bool help = false;
};

void add_globals(CLI::App& app, Globals& globals) {
    const auto group = [](CLI::Option* option) { option->group(kGlobalGroup); };
    group(app.add_option("--url", globals.url,
                         "where the daemon listens: unix:///path or http://host:port")
              ->type_name("URL"));
    group(app.add_option("--tenant", globals.tenant, "the tenant to work in")->type_name("NAME"));
    group(
        app.add_option("--context", globals.context, "a context of klog.yaml")->type_name("NAME"));
    group(app.add_option("--timeout", globals.timeout, "how long to wait, such as 500ms or 5s")
              ->type_name("D"));
    group(app.add_option("-o,--output", globals.output, "pretty, ndjson, json or value")
              ->type_name("MODE"));
    group(app.add_option("--color", globals.color, "auto, always or never")->type_name("WHEN"));
    group(app.add_flag("-q,--quiet", globals.quiet, "nothing on stderr but errors"));
    group(app.add_flag("-v,--verbose", globals.verbose, "say more on stderr"));
    group(app.add_flag("-h,--help", globals.help, "show this help"));
}

void note_flags(const Globals& globals, Context& context) {
    const auto note = [&context](const char* name, const std::string& value) {
        if (!value.empty()) context.flags.emplace_back(name, value);
    };
    note("url", globals.url);
    note("tenant", globals.tenant);
    note("context", globals.context);
    note("timeout", globals.timeout);
    note("output", globals.output);
    note("color", globals.color);
    context.quiet = globals.quiet;
    context.verbose = globals.verbose;
}

Error usage(std::string message, std::string hint) {
    return Error{Code::usage, std::move(message), std::move(hint)};
}

std::vector<std::string> verb_names() {
    std::vector<std::string> names;
    for (const Verb& verb : verbs()) names.emplace_back(verb.name);
    return names;
}

Result<const Verb*> find_verb(const std::string& name) {
    for (const Verb& verb : verbs()) {
        if (verb.name == name) return &verb;
    }
    const std::string near = nearest(name, verb_names());
    return usage("there is no verb \"" + name + "\"", near.empty() ? "klog help" : "klog " + near);
}

// Sorts arguments into options with their values, and operands, by the names that an app knows.
class Sorter {
public:
    Sorter(const CLI::App& app, std::string help) : app_(app), help_(std::move(help)) {}

    // Reads arguments from `at` on. With stop_at_operand it ends before the first operand.
    Status sort(const std::vector<std::string>& args, std::size_t& at, bool stop_at_operand) {
        for (; at < args.size(); ++at) {
            const std::string& arg = args[at];
            if (arg == "--") {
                if (stop_at_operand) return {};
                operands.insert(operands.end(), args.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                                args.end());
                at = args.size();
                return {};
            }
            if (is_operand(arg)) {
                if (stop_at_operand) return {};
                operands.push_back(arg);
                continue;
            }
            KLOG_TRY(arg.starts_with("--") ? take_long(args, at) : take_short(args, at));
        }
        return {};
    }

    // As CLI11 reads them without doubt: "--name=value" and "--name".
    std::vector<std::string> options;
    std::vector<std::string> operands;

private:
    // A dash alone and a negative number are operands (no option is a digit).
    static bool is_operand(const std::string& arg) {
        if (arg.size() < 2 || arg[0] != '-') return true;
        return std::isdigit(static_cast<unsigned char>(arg[1])) != 0;
    }

    static bool takes_value(const CLI::Option& option) {
        return option.get_items_expected_max() > 0;
    }

    const CLI::Option* find(const std::string& name) const {
        for (const CLI::Option* option : app_.get_options()) {
            if (name.size() == 1 && option->check_sname(name)) return option;
            if (name.size() > 1 && option->check_lname(name)) return option;
        }
        return nullptr;
    }

    Error unknown(const std::string& shown) const {
        std::vector<std::string> names;
        for (const CLI::Option* option : app_.get_options()) {
            for (const std::string& name : option->get_lnames()) names.push_back(name);
        }
        const std::string near = shown.starts_with("--") ? nearest(shown.substr(2), names) : "";
        return usage("there is no option " + shown, near.empty() ? help_ : "--" + near);
    }

    Status add(const CLI::Option& option, const std::string& shown,
               const std::optional<std::string>& value) {
        const std::string name = "--" + option.get_lnames().front();
        if (!value) {
            options.push_back(name);
            return {};
        }
        if (value->empty()) return usage("the value of " + shown + " is empty", help_);
        options.push_back(name + "=" + *value);
        return {};
    }

    Status take_long(const std::vector<std::string>& args, std::size_t& at) {
        const std::string& arg = args[at];
        const std::size_t equals = arg.find('=');
        const std::string shown = arg.substr(0, equals);
        const CLI::Option* option = shown.size() > 3 ? find(shown.substr(2)) : nullptr;
        if (option == nullptr) return unknown(shown);
        if (!takes_value(*option)) {
            if (equals != std::string::npos) return usage(shown + " takes no value", help_);
            return add(*option, shown, std::nullopt);
        }
        if (equals != std::string::npos) return add(*option, shown, arg.substr(equals + 1));
        return add_next(*option, shown, args, at);
    }

    Status add_next(const CLI::Option& option, const std::string& shown,
                    const std::vector<std::string>& args, std::size_t& at) {
        if (at + 1 >= args.size()) return usage(shown + " needs a value", help_);
        ++at;
        return add(option, shown, args[at]);
    }

    // -q, -qv, -k KEY, -kKEY.
    Status take_short(const std::vector<std::string>& args, std::size_t& at) {
        const std::string& arg = args[at];
        for (std::size_t i = 1; i < arg.size(); ++i) {
            const std::string shown = std::string("-") + arg[i];
            const CLI::Option* option = find(std::string(1, arg[i]));
            if (option == nullptr) return unknown(i == 1 && arg.size() > 2 ? arg : shown);
            if (!takes_value(*option)) {
                KLOG_TRY(add(*option, shown, std::nullopt));
                continue;
            }
            if (i + 1 == arg.size()) return add_next(*option, shown, args, at);
            return add(*option, shown, arg.substr(i + 1));
        }
        return {};
    }

    const CLI::App& app_;
    std::string help_;
};

// Marks an operand that goes into a list, so that CLI11 does not look into it.
constexpr char kListMark = '\x01';
constexpr const char* kListGroup = "operands";

bool takes_list(const CLI::App& app) {
    const auto options = app.get_options();
    return std::any_of(options.begin(), options.end(),
                       [](const CLI::Option* option) { return option->get_group() == kListGroup; });
}

// Hands sorted arguments to CLI11, which checks counts and fills in the verb's variables.
Status feed(CLI::App& app, const Sorter& sorter, const std::string& help) {
    std::vector<std::string> line = sorter.options;
    line.emplace_back("--");
    const std::string mark = takes_list(app) ? std::string(1, kListMark) : std::string();
    for (const std::string& operand : sorter.operands) line.push_back(mark + operand);
    std::reverse(line.begin(), line.end());
    try {
        app.parse(std::move(line));
    } catch (const CLI::RequiredError& error) {
        const std::string what = error.what();
        return usage(what.substr(0, what.find(' ')) + " is missing", help);
    } catch (const CLI::ExtrasError&) {
        return usage("\"" + sorter.operands.back() + "\" is one operand too many", help);
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string what = error.what();
        return usage(what.substr(0, what.find_first_of(": ")) + " is given more than once", help);
    } catch (const CLI::ParseError& error) {
        return usage(error.what(), help);
    }
    return {};
}

std::unique_ptr<CLI::App> make_app(const std::string& name) {
    auto app = std::make_unique<CLI::App>("", name);
    // --help is an option like any other here: CLI11's own would throw out of the parse.
    app->set_help_flag();
    return app;
}

// Everything behind the first "--" belongs to the command that a verb runs.
std::vector<std::string> cut_command(const std::vector<std::string>& args, Context& context) {
    const auto dashes = std::find(args.begin(), args.end(), "--");
    if (dashes == args.end()) return args;
    context.command.assign(dashes + 1, args.end());
    return {args.begin(), dashes};
}

}  // namespace

void add_operands(CLI::App& app, std::vector<std::string>& operands) {
    app.add_option("OPERANDS", operands)->group(kListGroup)->transform([](const std::string& text) {
        return text.substr(1);
    });
}

std::vector<OptionInfo> options_of(const Verb* verb) {
    Globals globals;
    const auto app = make_app("klog");
    Run run;  // owns what the verb's options write into
    if (verb != nullptr) run = verb->add(*app);
    add_globals(*app, globals);
    std::vector<OptionInfo> found;
    for (const CLI::Option* option : app->get_options()) {
        if (option->get_lnames().empty()) continue;
        OptionInfo info;
        info.name = option->get_lnames().front();
        if (!option->get_snames().empty()) info.letter = option->get_snames().front().front();
        if (option->get_items_expected_max() > 0) info.value = option->get_type_name();
        info.description = option->get_description();
        info.repeats = option->get_items_expected_max() > 1;
        found.push_back(std::move(info));
    }
    return found;
}

Result<std::string> help_text(const std::string& name) {
    if (name.empty()) {
        Globals globals;
        const auto app = make_app("klog");
        add_globals(*app, globals);
        return format_overview(*app);
    }
    KLOG_TRY_ASSIGN(const Verb* verb, find_verb(name));
    Globals globals;
    const auto app = make_app("klog");
    const Run run = verb->add(*app);
    add_globals(*app, globals);
    return format_help(*verb, *app);
}

Result<Parsed> parse_args(const std::vector<std::string>& args, Context& context) {
    Parsed parsed;
    if (!args.empty() && args[0] == kCompleteVerb) {
        // What follows are words of somebody's command line and no arguments of this one.
        parsed.verb = &complete_verb();
        parsed.run = [words = std::vector<std::string>(args.begin() + 1, args.end())](
                         Context& around) -> Result<int> {
            return print_completion(words, around);
        };
        return parsed;
    }
    Globals globals;
    const auto before = make_app("klog");
    add_globals(*before, globals);
    bool version = false;
    before->add_flag("--version", version, "");
    Sorter first(*before, "klog help");
    std::size_t at = 0;
    KLOG_TRY(first.sort(args, at, true));
    KLOG_TRY(feed(*before, first, "klog help"));
    if (version) {
        KLOG_TRY_ASSIGN(parsed.verb, find_verb("version"));
        at = args.size();
    } else if (at >= args.size() || globals.help) {
        if (globals.help && at < args.size()) {
            KLOG_TRY_ASSIGN(parsed.help, help_text(args[at]));
            return parsed;
        }
        KLOG_TRY_ASSIGN(parsed.help, help_text(""));
        if (!globals.help) return usage("which verb?", "klog help");
        return parsed;
    } else {
        KLOG_TRY_ASSIGN(parsed.verb, find_verb(args[at]));
    }

    std::vector<std::string> rest = args;
    if (at < args.size()) rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
    if (version) std::erase(rest, "--version");
    if (parsed.verb->takes_command) rest = cut_command(rest, context);
    const std::string help = "klog " + std::string(parsed.verb->name) + " --help";
    globals = Globals{};
    const auto app = make_app("klog");
    parsed.run = parsed.verb->add(*app);
    add_globals(*app, globals);
    Sorter sorter(*app, help);
    std::size_t from = 0;
    KLOG_TRY(sorter.sort(rest, from, false));
    if (std::find(sorter.options.begin(), sorter.options.end(), "--help") != sorter.options.end()) {
        parsed.help = format_help(*parsed.verb, *app);
        return parsed;
    }
    KLOG_TRY(feed(*app, sorter, help));
    note_flags(globals, context);
    return parsed;
}

}  // namespace klog::cli
