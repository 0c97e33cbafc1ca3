#include "cli/completion_live.h"

#include <algorithm>
#include <set>

#include "cli/json_text.h"
#include "cli/lines.h"
#include "cli/options.h"
#include "cli/request.h"

namespace klog::cli {
namespace {

// With the start of klog itself this stays below what a person notices. A daemon far away may need
// more, so a variable can say so.
constexpr std::chrono::milliseconds kBudget{80};
constexpr const char* kBudgetVariable = "KLOG_COMPLETION_TIMEOUT";
constexpr std::size_t kPageRows = 200;
constexpr std::size_t kPageBytesMax = 1U << 20U;
// The greatest character: behind everything that begins with what stands before it.
constexpr std::string_view kGreatest = "\xF4\x8F\xBF\xBF";

// What is typed of a topic: whole levels, then the beginning of one.
struct Typed {
    explicit Typed(const std::string& text)
        : parents(text.substr(0, text.rfind('/') + 1)),
          begun(text.substr(parents.size())),
          levels(static_cast<std::size_t>(std::count(text.begin(), text.end(), '/'))),
          wild(parents.find_first_of("*+") != std::string::npos) {}

    std::string parents;
    std::string begun;
    std::size_t levels;
    bool wild;
};

std::string filter_of(const Typed& typed) {
    // Topics of klog itself match only a filter that says so.
    if (typed.parents.empty()) return typed.begun.starts_with('$') ? typed.begun + "*/>" : ">";
    return typed.parents + ">";
}

// A name that stands before `text` and, as good as surely, behind everything else that does.
std::string just_before(const std::string& text) {
    std::string name = text;
    while (!name.empty() && (static_cast<unsigned char>(name.back()) & 0xC0U) == 0x80U) {
        name.pop_back();
    }
    if (name.empty()) return name;
    const auto last = static_cast<unsigned char>(name.back());
    name.pop_back();
    if (last <= ' ' || last >= 0x80U) return name;
    name.push_back(static_cast<char>(last - 1));
    return name.append(kGreatest);
}

// The next level of `topic` behind so many of them, with its slash if there is one. Empty where the
// topic has no such level.
std::string_view level_of(std::string_view topic, std::size_t levels) {
    std::size_t begin = 0;
    for (; levels > 0; --levels) {
        const std::size_t slash = topic.find('/', begin);
        if (slash == std::string_view::npos) return {};
        begin = slash + 1;
    }
    const std::size_t end = topic.find('/', begin);
    return topic.substr(begin, end == std::string_view::npos ? end : end + 1 - begin);
}

std::string count_note(std::string_view line) {
    const std::string count(member(line, "records").value_or("?"));
    return count + (count == "1" ? " record" : " records");
}

}  // namespace

LiveValues::LiveValues(const Context& context)
    : context_(context), deadline_(std::chrono::steady_clock::now()) {
    const auto given = context.environment(kBudgetVariable);
    const auto wait = given ? parse_wait(kBudgetVariable, *given) : kBudget;
    deadline_ += wait ? *wait : kBudget;
}

std::chrono::milliseconds LiveValues::left() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ -
                                                                 std::chrono::steady_clock::now());
}

bool LiveValues::ask(const std::string& target, const Each& each) {
    if (left().count() <= 0) return false;
    if (!client_) {
        auto client = http::Client::connect(context_.url(), left());
        if (!client) return false;
        client_ = std::move(client).value();
    }
    if (!client_->send(make_request(context_, "GET", target)) || left().count() <= 0) return false;
    const auto head = client_->read_head(left());
    if (!head || head->status != 200 || left().count() <= 0) return false;
    const auto body = client_->read_all(kPageBytesMax, left());
    if (!body) return false;
    LineSplitter lines;
    lines.feed(*body, [&each](std::string_view line) {
        each(line);
        return true;
    });
    return true;
}

std::vector<Candidate> LiveValues::topics(const std::string& typed) {
    const Typed parts(typed);
    std::vector<Candidate> found;
    std::set<std::string, std::less<>> known;
    std::string after = parts.wild ? "" : just_before(typed);
    bool more = true;
    while (more && found.size() < kCandidatesMax) {
        std::size_t rows = 0;
        std::string last;
        bool beyond = false;
        Target target("/v1/topics");
        target.add("filter", filter_of(parts)).add("limit", std::to_string(kPageRows));
        target.add_given("after", after);
        more = ask(target.text(), [&](std::string_view line) {
            ++rows;
            last = text_member(line, "topic");
            const std::string_view level = level_of(last, parts.levels);
            if (!level.starts_with(parts.begun) || level.empty()) {
                beyond = beyond || (!parts.wild && last > typed);
                return;
            }
            if (known.contains(level)) return;
            known.emplace(level);
            const bool whole = level.back() != '/';
            found.push_back({parts.parents + std::string(level), whole ? count_note(line) : ""});
        });
        more = more && rows == kPageRows && !beyond;
        // What lies below a level that is known need not be looked at.
        const std::string_view level = level_of(last, parts.levels);
        const bool below = !parts.wild && level.ends_with('/');
        after = below ? parts.parents + std::string(level) + std::string(kGreatest) : last;
    }
    if (found.size() > kCandidatesMax) found.resize(kCandidatesMax);
    return found;
}

std::vector<Candidate> LiveValues::spaces(const std::string& typed) {
    if (typed.find('/') != std::string::npos) return {};
    std::set<std::string> names;  // "orders" and "orders/…" are one space
    for (Candidate& candidate : topics(typed)) {
        if (candidate.text.ends_with('/')) candidate.text.pop_back();
        names.insert(std::move(candidate.text));
    }
    std::vector<Candidate> found;
    found.reserve(names.size());
    for (const std::string& name : names) found.push_back({name, ""});
    return found;
}

std::vector<Candidate> LiveValues::keys(const std::string& space, const std::string& typed,
                                        bool deleted) {
    std::vector<Candidate> found;
    Target target("/v1/spaces");
    target.segment(space).segment("keys").add("limit", std::to_string(kCandidatesMax));
    target.add_given("prefix", typed);
    if (deleted) target.add("deleted", "true");
    ask(target.text(), [&found](std::string_view line) {
        std::string note = "version " + std::string(member(line, "version").value_or("?"));
        const std::string state = text_member(line, "state");
        if (!state.empty()) note += ", " + state;
        found.push_back({text_member(line, "key"), std::move(note)});
    });
    return found;
}

std::vector<Candidate> LiveValues::consumers(const std::string& typed) {
    std::vector<Candidate> found;
    Target target("/v1/consumers");
    target.add("limit", std::to_string(kCandidatesMax));
    target.add_given("after", just_before(typed));
    ask(target.text(), [&](std::string_view line) {
        std::string name = text_member(line, "name");
        if (!name.starts_with(typed)) return;
        found.push_back(
            {std::move(name), "at seq " + std::string(member(line, "position").value_or("?"))});
    });
    return found;
}

}  // namespace klog::cli
