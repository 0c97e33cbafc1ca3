#include "cli/completion.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <map>
#include <optional>
#include <utility>

#include "cli/args.h"
#include "cli/completion_live.h"

namespace klog::cli {
namespace {

// What can stand in one place: words that are fixed, or something that is looked up.
struct Place {
    enum class Kind {
        words,
        topics,
        filter,
        spaces,
        keys,
        consumers,
        verbs,
        contexts,
        files,
        folders
    };
    Kind kind = Kind::words;
    std::vector<std::string> words;
};

// Options whose values can be completed, by long name: an option means the same in every verb.
const Place* place_of_option(const std::string& name) {
    using Kind = Place::Kind;
    static const std::map<std::string, Place, std::less<>> kPlaces = {
        {"ack", {Kind::words, {"local", "bucket"}}},
        {"as", {Kind::consumers, {}}},
        {"color", {Kind::words, {"auto", "always", "never"}}},
        {"config", {Kind::files, {}}},
        {"context", {Kind::contexts, {}}},
        {"cursor-file", {Kind::files, {}}},
        {"data-dir", {Kind::folders, {}}},
        {"dir", {Kind::folders, {}}},
        {"expect", {Kind::words, {"absent", "exists"}}},
        {"expect-none", {Kind::filter, {}}},
        {"from", {Kind::words, {"start", "end"}}},
        {"key", {Kind::keys, {}}},
        {"listen", {Kind::words, {"127.0.0.1:0"}}},
        {"not", {Kind::filter, {}}},
        {"on-error", {Kind::words, {"stop", "skip"}}},
        {"output", {Kind::words, {"pretty", "ndjson", "json", "value"}}},
        {"prefix", {Kind::keys, {}}},
        {"socket", {Kind::files, {}}},
        {"tenant", {Kind::words, {"default"}}},
        {"to", {Kind::words, {"start", "end"}}},
    };
    const auto found = kPlaces.find(name);
    return found == kPlaces.end() ? nullptr : &found->second;
}

// What `klog bench --list` prints; a test compares them.
const std::vector<std::string>& figures() {
    static const std::vector<std::string> kNames = {
        "raw.1",
        "produce.1",
        "raw.256",
        "produce.256",
        "raw.1024",
        "produce.1024",
        "produce.unbounded",
        "produce.pipe",
        "one.1",
        "one.1.expect",
        "one.32",
        "one.32.expect",
        "one.64",
        "one.64.expect",
        "raw.paced",
        "end-to-end",
        "replay",
        "replay.framed",
        "tail.pipe",
        "get.1",
        "one-shot",
        "start",
        "memory.idle",
        "memory.million",
        "idle-tails",
    };
    return kNames;
}

// An operand as a synopsis names it: "TOPIC", "[FILTER...]", "bash|zsh|fish".
Place place_of_operand(const std::string& name) {
    using Kind = Place::Kind;
    static const std::map<std::string, Kind, std::less<>> kKinds = {
        {"TOPIC", Kind::topics}, {"FILTER", Kind::filter},      {"SPACE", Kind::spaces},
        {"KEY", Kind::keys},     {"VERB", Kind::verbs},         {"DIR", Kind::folders},
        {"FILE", Kind::files},   {"CONSUMER", Kind::consumers},
    };
    if (const auto found = kKinds.find(name); found != kKinds.end()) return {found->second, {}};
    if (name == "WORD") return {Kind::words, figures()};
    const bool fixed = std::none_of(name.begin(), name.end(), [](char letter) {
        return std::isupper(static_cast<unsigned char>(letter)) != 0;
    });
    Place place;
    if (!fixed) return place;
    for (std::size_t at = 0; at <= name.size();) {
        const std::size_t end = std::min(name.find('|', at), name.size());
        place.words.push_back(name.substr(at, end - at));
        at = end + 1;
    }
    return place;
}

// The operands of a verb in their order, out of its synopsis; what repeats fills the rest.
Place place_of_operand(const Verb& verb, std::size_t number) {
    std::string_view text = verb.synopsis.substr(0, verb.synopsis.find('\n'));
    std::size_t depth = 0;
    bool option = false;  // inside of the brackets of an option
    std::vector<std::string> names;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (word == "--") break;
        const bool inside = depth > 0;
        depth += static_cast<std::size_t>(std::count(word.begin(), word.end(), '['));
        depth -= static_cast<std::size_t>(std::count(word.begin(), word.end(), ']'));
        if (!inside) option = word.starts_with("[-") || word.starts_with('-');
        if (option || inside || word == "[options]") continue;
        std::string name(word);
        std::erase_if(name, [](char letter) { return letter == '[' || letter == ']'; });
        const bool repeats = name.ends_with("...");
        if (repeats) name.resize(name.size() - 3);
        names.push_back(name);
        if (repeats && names.size() <= number) names.resize(number + 1, name);
    }
    return number < names.size() ? place_of_operand(names[number]) : Place{};
}

// The words before the cursor, sorted as args.cc would.
class Line {
public:
    Line() : options(options_of(nullptr)) {}

    void take(const std::string& word) {
        // A lone dash and negative numbers are operands.
        const bool option_like = word.size() > 1 && word[0] == '-' &&
                                 std::isdigit(static_cast<unsigned char>(word[1])) == 0;
        if (pending) {
            given.emplace_back(pending->name, word);
            pending.reset();
        } else if (behind_dashes || !option_like) {
            take_operand(word);
        } else if (word == "--" && verb != nullptr) {
            behind_dashes = true;
        } else if (word.starts_with("--")) {
            const std::size_t equals = std::min(word.find('='), word.size());
            const OptionInfo* option = find(word.substr(2, equals - 2));
            const bool value_apart = option != nullptr && !option->value.empty();
            if (option == nullptr) return;
            if (value_apart && equals == word.size()) {
                pending = *option;
            } else {
                given.emplace_back(option->name, word.substr(std::min(equals + 1, word.size())));
            }
        } else {
            take_letters(word);
        }
    }

    [[nodiscard]] const OptionInfo* find(const std::string& name) const {
        const auto found = std::find_if(options.begin(), options.end(),
                                        [&](const auto& each) { return each.name == name; });
        return found == options.end() ? nullptr : &*found;
    }

    [[nodiscard]] bool has(std::string_view name) const {
        return std::any_of(given.begin(), given.end(),
                           [&](const auto& each) { return each.first == name; });
    }

    const Verb* verb = nullptr;
    bool lost = false;  // there is no such verb
    std::vector<OptionInfo> options;
    std::vector<std::pair<std::string, std::string>> given;  // by long name
    std::optional<OptionInfo> pending;                       // its value comes next
    bool behind_dashes = false;
    std::vector<std::string> operands;

private:
    void take_operand(const std::string& word) {
        if (verb != nullptr) return operands.push_back(word);
        for (const Verb& each : verbs()) {
            if (each.name == word) verb = &each;
        }
        lost = lost || verb == nullptr;
        if (verb != nullptr) options = options_of(verb);
    }

    void take_letters(const std::string& word) {
        for (std::size_t i = 1; i < word.size(); ++i) {
            const auto found = std::find_if(options.begin(), options.end(), [&](const auto& each) {
                return each.letter == word[i];
            });
            if (found == options.end()) return;
            if (found->value.empty()) {
                given.emplace_back(found->name, "");
                continue;
            }
            if (i + 1 == word.size()) {
                pending = *found;
            } else {
                given.emplace_back(found->name, word.substr(i + 1));
            }
            return;
        }
    }
};

// The space whose keys count: the operand before, or a first level without a wildcard.
std::string space_of(const Line& line) {
    if (line.operands.empty()) return {};
    const std::string& first = line.operands.front();
    const std::string level = first.substr(0, first.find('/'));
    return level.find_first_of("*+>#") == std::string::npos ? level : "";
}

class Completer {
public:
    Completer(const Line& line, Context& context) : line_(line), context_(context) {}

    Completion fill(const std::string& current) {
        if (line_.lost) return {};
        if (line_.pending) return option_value(line_.pending->name, current, "");
        if (line_.behind_dashes && line_.verb->takes_command) {
            result_.other =
                line_.operands.empty() ? Completion::Other::commands : Completion::Other::files;
            return std::move(result_);
        }
        if (!line_.behind_dashes && current.starts_with('-')) {
            const std::size_t equals = current.find('=');
            if (equals == std::string::npos) return option_names(current);
            return option_value(current.substr(2, equals - 2), current.substr(equals + 1),
                                current.substr(0, equals + 1));
        }
        if (line_.verb == nullptr) return at({Place::Kind::verbs, {}}, current, "");
        if (line_.has("envelope")) return {};
        return at(place_of_operand(*line_.verb, line_.operands.size()), current, "");
    }

private:
    void offer(const std::string& typed, std::string text, std::string_view note) {
        if (text.starts_with(typed))
            result_.candidates.push_back({std::move(text), std::string(note)});
    }

    Completion option_names(const std::string& typed) {
        for (const OptionInfo& option : line_.options) {
            if (option.repeats || !line_.has(option.name)) {
                offer(typed, "--" + option.name, option.description);
            }
        }
        return std::move(result_);
    }

    Completion option_value(const std::string& name, const std::string& typed,
                            const std::string& before) {
        const OptionInfo* option = line_.find(name);
        const Place* place = place_of_option(name);
        if (option == nullptr || option->value.empty() || place == nullptr) return {};
        return at(*place, typed, before);
    }

    // before: what stands in the same word, such as "--output=".
    Completion at(const Place& place, const std::string& typed, const std::string& before) {
        using Kind = Place::Kind;
        switch (place.kind) {
            case Kind::words:
                for (const std::string& word : place.words) offer(typed, word, "");
                break;
            case Kind::verbs:
                for (const Verb& verb : verbs()) offer(typed, std::string(verb.name), verb.summary);
                break;
            case Kind::files:
                result_.other = Completion::Other::files;
                break;
            case Kind::folders:
                result_.other = Completion::Other::folders;
                break;
            case Kind::contexts:
                if (const auto names = config::context_names({{}, context_.environment, {}})) {
                    for (const std::string& name : *names) offer(typed, name, "");
                }
                break;
            case Kind::topics:
            case Kind::filter:
            case Kind::spaces:
            case Kind::keys:
            case Kind::consumers:
                take_live(place.kind, typed);
                break;
        }
        for (Candidate& candidate : result_.candidates) candidate.text.insert(0, before);
        return std::move(result_);
    }

    void take_live(Place::Kind kind, const std::string& typed) {
        for (const auto& [name, value] : line_.given) {
            const bool counts = name == "url" || name == "tenant" || name == "context";
            if (counts && !value.empty()) context_.flags.emplace_back(name, value);
        }
        if (!context_.load()) return;
        LiveValues live(context_);
        const bool wild = typed.find_first_of("*+>#") != std::string::npos;
        if (kind == Place::Kind::spaces) result_.candidates = live.spaces(typed);
        if (kind == Place::Kind::filter || (kind == Place::Kind::topics && !wild)) {
            result_.candidates = live.topics(typed);
        }
        if (kind == Place::Kind::consumers) result_.candidates = live.consumers(typed);
        const std::string space = space_of(line_);
        if (kind == Place::Kind::keys && !space.empty()) {
            result_.candidates = live.keys(space, typed, line_.verb->name == "history");
        }
        // What would be read as an option cannot be offered as an operand.
        if (!line_.behind_dashes && !line_.pending) {
            std::erase_if(result_.candidates,
                          [](const Candidate& each) { return each.text.starts_with('-'); });
        }
    }

    const Line& line_;
    Context& context_;
    Completion result_;
};

}  // namespace

Completion complete(const std::vector<std::string>& words, const std::string& current,
                    Context& context) {
    Line line;
    for (const std::string& word : words) line.take(word);
    Completion completion = Completer(line, context).fill(current);
    auto& candidates = completion.candidates;
    // A line feed or the like would break the line that the candidate stands on.
    std::erase_if(candidates, [](const Candidate& each) {
        return std::any_of(each.text.begin(), each.text.end(), [](char letter) {
            const auto byte = static_cast<unsigned char>(letter);
            return byte < 0x20U || byte == 0x7FU;
        });
    });
    if (candidates.size() > kCandidatesMax) candidates.resize(kCandidatesMax);
    return completion;
}

}  // namespace klog::cli
